"""One thread that goes from provider to provider, through the real engine and journal."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from infinity import Agent, Runtime, tool
from infinity.message import Action
from infinity.models.registry import Models
from infinity.testing.provider_contract import Subject
from infinity.testing.script import Reply

from .providers import PROVIDERS

ORDER = ["openai-responses", "anthropic", "openai-chat", "bedrock", "openai-responses", "anthropic-sdk"]


@tool
async def parcels(day: str) -> int:
    """How many parcels left the house on a day."""
    return {"monday": 12}.get(day, 0)


def playing(subject: Subject) -> None:
    """First a call with reasoning before it, then the answer, again and again."""
    replies = [
        Reply().think("I must look.", "sig==").call("parcels", day="monday"),
        Reply().think("I have seen.", "sig==").say("There were 12."),
    ]
    assert subject.server is not None
    server = subject.server
    server.respond = lambda _: replies[(len(server.requests) - 1) % 2]


@pytest.mark.trap("M3")
async def test_a_thread_changes_its_provider_again_and_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        subjects = {name: await stack.enter_async_context(PROVIDERS[name]()) for name in set(ORDER)}
        for subject in subjects.values():
            playing(subject)
        providers = {name: subject.model for name, subject in subjects.items()}
        models = Models({"default": f"{ORDER[0]}/x"}, environment={}, providers=providers)
        runtime = await stack.enter_async_context(
            Runtime.open(Agent(tools=[parcels]), tmp_path / "t.db", models=models)
        )
        thread = await runtime.create()
        for name in ORDER:
            await runtime.control(thread, Action.MODEL, f"{name}/{subjects[name].info.id}")
            assert await runtime.ask(thread, "How many on Monday?") == "There were 12."
        for name, subject in subjects.items():
            assert subject.server is not None and subject.server.violations == [], name
        bodies = subjects["openai-responses"].server.bodies  # type: ignore[union-attr]
        thoughts = [[item["type"] for item in body["input"]].count("reasoning") for body in bodies]
        # Its own reasoning is there again after the others have had their say, and only its own.
        assert thoughts == [0, 1, 2, 3]
