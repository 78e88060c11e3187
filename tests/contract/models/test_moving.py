"""A conversation moves from any provider to any other and back: each takes the history of each, and nobody gets another's reasoning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from infinity.abc.model import Turn
from infinity.models.access import Access
from infinity.models.dialects import ROWS
from infinity.models.openai import Api, OpenAIModel, OpenAIOptions
from infinity.models.settings import DialectSettings
from infinity.testing.chat_dialects import THOUGHTS
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.provider_contract import IMAGE, Subject
from infinity.testing.script import Reply

from .providers import KEY, PROVIDERS, TIMEOUTS, Answers, Connect

Message = dict[str, Any]
THOUGHT = "Quietly to myself."
ROUND = Reply().think(THOUGHT, "c2ln").say("Both of them.").call("run", path="a").call("run", path="b")
EVENT = "receive_event__injected"


def chat(row: str) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Subject]:
        answers = Answers()
        async with OpenAIServer(
            answers, api_key=KEY, dialect="openrouter" if row == "plain" else row
        ) as server:
            options = OpenAIOptions(Api.CHAT, dialect=DialectSettings(row=row))
            model = OpenAIModel(Access(KEY, base_url=server.url), TIMEOUTS, options)
            yield Subject(model, model.info("some-model"), answers.set, server)
            await model.close()

    return connect


ALL: dict[str, Connect] = {
    **{name: PROVIDERS[name] for name in ("anthropic", "anthropic-sdk", "bedrock", "openai-responses")},
    **{row: chat(row) for row in ROWS},
}
_TURNS = {
    (replace(dialect, thinking_off=()), THOUGHTS.get(row)): row for row, dialect in reversed(ROWS.items())
}
SOURCES = [name for name in ALL if name not in ROWS and name != "anthropic-sdk"] + [*_TURNS.values()]
"""One of those whose turns are made and kept alike; every one is gone to."""
CLAUDE = frozenset({"anthropic", "anthropic-sdk", "bedrock"})
SILENT = frozenset({"openai", "azure"})
"""They do not hand out their reasoning in Chat Completions."""


def text(words: str) -> Message:
    return {"type": "text", "text": words}


def result(id: str, *content: Message, error: bool = False) -> Message:
    return {"type": "tool_result", "tool_use_id": id, "content": [*content]} | (
        {"is_error": True} if error else {}
    )


def said(turn: Turn, step: int) -> tuple[Message, list[str]]:
    """The turn as history has it, and the ids of its calls."""
    ids = {call.id: f"call_{step:015x}{index:015x}" for index, call in enumerate(turn.calls)}
    blocks = [
        {**block, "id": ids[block["id"]]} if block["type"] == "tool_use" else block for block in turn.blocks
    ]
    return {"role": "assistant", "content": blocks}, [*ids.values()]


def event(step: int, *content: Message) -> list[Message]:
    """A late result: the runtime's own call and its result."""
    id = f"call_event_{step:020x}"
    arguments = {"original_tool_name": "run", "original_tool_call_id": "call_x", "original_args": {}}
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": EVENT, "input": arguments}]},
        {"role": "user", "content": [result(id, *content)]},
    ]


async def told(subject: Subject, reply: Reply, messages: list[Message]) -> Turn:
    turn = await subject.turn(reply, messages)
    assert subject.server is not None
    assert subject.server.violations == [] and subject.server.effects.refused == 0
    return turn


def knows(subject: Subject) -> bool:
    """Whether the last request held the first provider's reasoning."""
    assert subject.server is not None
    return THOUGHT.encode() in subject.server.requests[-1].content


async def moves(subjects: dict[str, Subject], source: str) -> None:
    home = subjects[source]
    start = [{"role": "user", "content": [text("A summary of what was before."), text("go"), IMAGE]}]
    turn, (one, two) = said(await told(home, ROUND, start), 1)
    # One result with a picture; the other call is detached, because the user speaks.
    results = [result(one, text("seen"), IMAGE), result(two, text("still running"))]
    history = [*start, turn, {"role": "user", "content": [*results, text("well?")]}]
    for name, other in subjects.items():
        reply = Reply().think("Other thoughts.", "c2ln").say("Let me see.").call("run", path="c")
        moved, (three,) = said(await told(other, reply, history), 2)
        same = name == source or {name, source} <= CLAUDE
        assert knows(other) is (same and source not in SILENT), f"{source} to {name}"
        back = [
            *history,
            moved,
            {"role": "user", "content": [result(three, text("no such file"), error=True)]},
            {"role": "assistant", "content": [text("A moment.")]},
            {"role": "user", "content": [text("and?")]},
            *event(3, text("the late result"), IMAGE),
        ]
        await told(home, Reply().say("Done."), back)
        assert knows(home) is (source not in SILENT), f"{source} to {name} and back"


@pytest.mark.trap("M3")
async def test_a_conversation_moves_from_every_provider_to_every_other_and_back() -> None:
    async with AsyncExitStack() as stack:
        # One set for all: clients cost more than requests.
        subjects = {name: await stack.enter_async_context(connect()) for name, connect in ALL.items()}
        for source in SOURCES:
            await moves(subjects, source)
