"""Other models answer while a thread's own cannot; the thread returns to it when its probe succeeds, and budgets count all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.slice.scenes import Replies, World

from infinity import Agent
from infinity.abc.model import ModelInfo
from infinity.errors import (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)
from infinity.settings import Limits, Retries, Settings
from infinity.testing.replies import say

SETTINGS = Agent(retries=Retries(completion=2, slices=1))


class Several(Replies):
    """The thread's own model, and two that stand in for it."""

    def __init__(self) -> None:
        super().__init__()
        self.others = {"second": Replies(), "third": Replies()}
        self.missing: ConfigError | None = None
        for name, other in self.others.items():
            other.info = replace(other.info, name=name, provider=name, price=(1, 1, 1, 1))
        self.info = replace(self.info, price=(1, 1, 1, 1))

    def resolve(self, name: str) -> tuple[Replies, ModelInfo]:
        if name in self.others:
            return self.others[name], self.others[name].info
        if self.missing is not None:
            raise self.missing
        return super().resolve(name)

    def fallback_of(self, name: str) -> tuple[str, ...]:
        return ("missing", *self.others) if name in ("", "test/model") else ()


@pytest.fixture
async def several(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "several.db", agent=SETTINGS)
    world.model = Several()
    await world.start()
    try:
        yield world
    finally:
        await world.close()


def others(world: World) -> dict[str, Replies]:
    assert isinstance(world.model, Several)
    return world.model.others


async def made_by(world: World, thread: str) -> list[str]:
    return [entry["meta"]["model"] for entry in await world.history(thread) if entry["kind"] == "turn"]


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("busy", retry_after=900),
        RateLimited("slow", retry_after=900),
        ModelUnavailable("gone"),
        ModelAuthentication("the key has expired", status=401),
        InvalidModelRequest("this form is not taken", status=400),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_another_model_answers_and_the_switch_is_on_record(several: World, error: ModelError) -> None:
    several.model.then(*[error] * 2)
    others(several)["second"].then(say("from the second"))
    thread = await several.thread("go")
    # What is waited for between tries of one completion passes at once.
    await several.until(lambda: bool(several.clock.advance(1)) or bool(others(several)["second"].requests))
    await several.said(thread, "from the second")
    told = await several.noted(thread, "fallback")
    assert (told["model"], str(error) in told["text"]) == ("second", True)
    assert await made_by(several, thread) == ["second"]
    await several.settled(thread)
    assert (await several.runtime.explain(thread)).state == "idle"


async def test_what_the_vendor_does_not_answer_is_not_taken_to_another(several: World) -> None:
    several.model.then(ModelRefused("no"))
    thread = await several.thread("go")
    await several.noted(thread, "problem")
    await several.settled(thread)
    assert not others(several)["second"].requests


async def test_the_next_one_answers_where_the_first_stand_in_fails_as_well(several: World) -> None:
    several.model.then(ModelAuthentication("expired", status=401))
    others(several)["second"].then(ModelAuthentication("expired, too", status=401))
    others(several)["third"].then(say("from the third"))
    thread = await several.thread("go")
    await several.said(thread, "from the third")
    assert await made_by(several, thread) == ["third"]


async def test_when_all_fail_the_problem_is_that_of_the_threads_own_model(several: World) -> None:
    several.model.then(ModelAuthentication("my own key", status=401))
    for other in others(several).values():
        other.then(ModelAuthentication("another key", status=401))
    thread = await several.thread("go")
    assert "my own key" in (await several.noted(thread, "problem"))["text"]


async def test_a_model_that_is_not_configured_right_is_stood_in_for(several: World) -> None:
    thread = await several.runtime.create()
    assert isinstance(several.model, Several)
    several.model.missing = ConfigError("there is no key")
    others(several)["second"].then(say("from the second"))
    await several.runtime.send(thread, "go")
    await several.said(thread, "from the second")


async def test_the_thread_returns_to_its_own_model_when_the_probe_succeeds(several: World) -> None:
    several.model.then(ModelAuthentication("expired", status=401))
    second = others(several)["second"].then(say("one"), say("two"), say("three"))
    thread = await several.thread("go")
    await several.said(thread, "one")
    await several.settled(thread)

    await several.runtime.send(thread, "again")  # The cause stands: its own is not asked.
    await several.said(thread, "two")
    await several.settled(thread)
    assert len(several.model.requests) == 1

    several.clock.advance(61)
    several.model.then(ModelAuthentication("still expired", status=401))
    await several.runtime.send(thread, "and now?")  # A probe that fails costs one request.
    await several.said(thread, "three")
    await several.settled(thread)
    assert (len(several.model.requests), len(second.requests)) == (2, 3)

    several.clock.advance(3_601)
    several.model.then(say("myself"))
    await several.runtime.send(thread, "and now?")
    await several.said(thread, "myself")
    told = await several.noted(thread, "fallback", text="it answers again")
    assert told["instead_of"] == "second"
    assert await made_by(several, thread) == ["second", "second", "second", "test/model"]


async def test_budgets_count_both(tmp_path: Path) -> None:
    world = World(tmp_path / "a.db", agent=replace(SETTINGS, limits=Limits(tree_dollars=0.00002)))
    world.model = Several()
    await world.start()
    try:
        world.model.then(say("mine"), ModelAuthentication("expired", status=401))
        others(world)["second"].then(say("from the second"))
        thread = await world.thread("go")
        await world.said(thread, "mine")
        await world.settled(thread)
        await world.runtime.send(thread, "again")
        await world.said(thread, "from the second")
        await world.settled(thread)
        assert await world.store.spent(thread) == (30, 30)
        await world.runtime.send(thread, "and again")
        assert "have cost" in (await world.noted(thread, "problem", code="budget"))["text"]
    finally:
        await world.close()


async def test_a_stand_in_without_a_price_is_not_asked_under_a_limit_in_money(tmp_path: Path) -> None:
    world = World(tmp_path / "a.db", agent=replace(SETTINGS, limits=Limits(tree_dollars=1.0)))
    world.model = Several()
    others(world)["second"].info = replace(others(world)["second"].info, price=None)
    await world.start()
    try:
        world.model.then(ModelAuthentication("expired", status=401))
        others(world)["third"].then(say("from the third"))
        await world.said(await world.thread("go"), "from the third")
    finally:
        await world.close()


def test_the_fallback_of_a_named_model_is_configured_and_examined() -> None:
    from infinity.models.planning import examine
    from infinity.models.registry import Models

    named: dict[str, Any] = {
        "m": {"model": "scripted/default", "fallback": ["nowhere/x", "scripted/default"]}
    }
    models = Models({"default": "m", "named": named}, environment={})
    assert models.fallback_of("m") == models.fallback_of("") == ("nowhere/x", "scripted/default")
    assert models.fallback_of("scripted/default") == ()
    assert any(
        "nowhere" in problem and "fallback" in problem for problem in examine(models, Settings(), named=True)
    )
