"""Threads for store tests: the core's own objects, so that what is stored is what the engine stores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from infinity._core import Call, Message, Snapshot, Thread
from infinity.abc import Store

NOW = 1_800_000_000_000


def blocks(text: str) -> bytes:
    return json.dumps([{"type": "text", "text": text}]).encode()


def message(thread: str, id: str, kind: str = "user", body: Any = None) -> Message:
    return Message(thread, id, kind, json.dumps(body or {}).encode(), accepted_at=NOW)


async def commit(store: Store, thread: Thread, now: int = NOW) -> list[Message]:
    messages = await store.commit(thread.delta(now))
    thread.committed()
    return messages


async def create(store: Store, id: str = "t", *, now: int = NOW) -> Thread:
    """A thread with one user entry."""
    thread = Thread.create(id, now=now, model="test/model", title=f"about {id}")
    thread.add_user(blocks(f"hello {id}"), now=now)
    await commit(store, thread, now)
    return thread


def call(thread: Thread, *ids: str, tool: str = "build", **spent: Any) -> list[Call]:
    """A turn with these calls, all of them open."""
    calls = [
        thread.plan_call(
            id, provider_id=id, tool=tool, toolset="ci", arguments=b"{}", deadline=None, user_id=None
        )
        for id in ids
    ]
    turn = [{"type": "tool_use", "id": id, "name": tool, "input": {}} for id in ids]
    thread.add_turn(json.dumps(turn).encode(), calls, now=NOW, **spent)
    return calls


async def calling(store: Store, id: str = "t", *calls: str) -> Thread:
    """A thread that waits for these calls."""
    thread = await create(store, id)
    call(thread, *calls)
    await commit(store, thread)
    return thread


def answer(thread: Thread, id: str, **how: Any) -> None:
    thread.answer(id, blocks("done"), now=NOW, event_id=f"event_{id}", **how)


async def snapshot(store: Store, id: str, message_ids: Sequence[str] = ()) -> Snapshot:
    """All there is of a thread."""
    found = await store.load(id, -1, message_ids)
    assert found is not None
    return found
