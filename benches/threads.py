"""Threads made straight in a home's journal, as many and as long as a bench needs them, before a daemon opens it."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

from infinity._core import Delta, Journal, Thread, Wake

NOW = int(time.time() * 1000)


def text(words: str) -> bytes:
    return json.dumps([{"type": "text", "text": words}]).encode()


def parked(number: int) -> Delta:
    """A thread with a question, a call that was answered, and an active subscription: it waits for events."""
    thread = Thread.create(f"thread_parked_{number:06}", now=NOW, model="scripted/bench")
    thread.add_user(text("Watch the repository and tell me what happens there."), now=NOW)
    call = thread.plan_call(
        f"call_parked_{number:06}",
        provider_id="toolu_1",
        tool="watch_repo",
        toolset="bench",
        arguments=b'{"repository":"octocat/hello"}',
        deadline=None,
        user_id=None,
    )
    arguments = {"repository": "octocat/hello"}
    use = [{"type": "tool_use", "id": call.id, "name": "watch_repo", "input": arguments}]
    thread.add_turn(json.dumps(use).encode(), [call], now=NOW)
    thread.answer(call.id, text("Watching."), now=NOW, event_id=f"event_{number}", subscription=True)
    thread.add_turn(text("I watch it and will tell you."), [], now=NOW)
    return thread.delta(NOW)


def conversation(id: str, entries: int, model: str = "scripted/bench") -> Thread:
    """A thread of ``entries`` short entries, user and assistant in turn; nothing is committed."""
    thread = Thread.create(id, now=NOW, model=model)
    for number in range(entries // 2):
        thread.add_user(text(f"Question {number}: how many parcels left the house today?"), now=NOW)
        thread.add_turn(text(f"Answer {number}: {number * 7} parcels, two of them by night."), [], now=NOW)
    return thread


def write(path: Path, deltas: Iterator[Delta], group: int = 500) -> int:
    """Commit them to the journal at ``path``; how many there were."""
    wake = Wake()
    journal = Journal.open(str(path), wake)
    written = waiting = 0

    def settle() -> int:
        select.select([wake.fileno()], [], [])
        wake.drain()
        finished = journal.finished()
        for _ticket, _value, error in finished:
            if error is not None:
                raise error
        return len(finished)

    for delta in deltas:
        journal.commit(delta)
        written += 1
        waiting += 1
        while waiting >= group:
            waiting -= settle()
    while waiting:
        waiting -= settle()
    journal.close()
    return written
