"""What a run leaves behind: its history, comparable with that of another run, and what must hold of every history."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from infinity.stamps import is_stamp

from .clients import Clients

Entry = dict[str, Any]

_MINTED = re.compile(r"\b(call|thread|event|message|control|choice|sqs)[_.][0-9a-f-]{30,36}\b")
_EVENT = "receive_event__injected"
_TIMES = frozenset({"asked_at", "first_ms", "ms", "started_at", "queued_ms", "request", "prefix"})
"""What completions and slices took, how many bytes a request had that says what time it is, and whether the store took what it began with at that
moment: these differ from run to run."""


@dataclass(frozen=True, slots=True)
class History:
    """One thread's own entries, oldest first."""

    thread: dict[str, Any]
    entries: list[Entry]

    def blocks(self, type: str) -> list[dict[str, Any]]:
        sides = [block for entry in self.entries for side in ("assistant", "user") for block in entry[side]]
        return [block for block in sides if block["type"] == type]

    def plain(self) -> list[str]:
        """Entries without what differs from run to run: minted ids, times, usage. Results that came in a row have no order."""
        plain = [(entry["kind"], _plain(entry)) for entry in self.entries]
        told: list[str] = []
        for kind, group in groupby(plain, key=lambda pair: pair[0]):
            texts = [text for _, text in group]
            told += sorted(texts) if kind == "result" else texts
        return told


async def histories(host: Clients) -> list[History]:
    """Of every thread, as they were created."""
    return [History(thread, await host.entries(thread["id"])) for thread in await host.threads()]


def _plain(entry: Entry) -> str:
    kept = {name: undated(value) for name, value in entry.items() if name not in ("at", "position")}
    return _MINTED.sub(r"\1_#", json.dumps(kept, sort_keys=True))


def undated(value: Any) -> Any:
    """The same without times of completions and slices, where each block that says when something came says only that it does."""
    if isinstance(value, dict):
        if is_stamp(value):
            return {**value, "text": "(time: #)"}
        return {name: undated(each) for name, each in value.items() if name not in _TIMES}
    return [undated(each) for each in value] if isinstance(value, list) else value


def tell(history: History) -> tuple[str, list[str]]:
    return history.thread["status"], history.plain()


async def check(host: Clients) -> list[History]:
    """What must hold after any number of crashes, as the model server and the tool server saw it and as the history tells it."""
    found = await histories(host)
    assert host.model.violations == [], "the API would have refused a request (I4)"
    assert host.model.effects.refused == 0
    for history in found:
        _check_results(host, history)
        await _check_stream(host, history)
    _check_invocations(host, found)
    return found


def _check_results(host: Clients, history: History) -> None:
    """Every call has one result (I4), every message changed history once (I3)."""
    asked = [block["id"] for block in history.blocks("tool_use")]
    results = Counter(block["tool_use_id"] for block in history.blocks("tool_result"))
    assert len(set(asked)) == len(asked), f"a call is twice in {history.thread['id']}"
    twice = [id for id, count in results.items() if count > 1]
    assert not twice, f"answered more than once in {history.thread['id']}: {twice}"
    if history.thread["status"] != "closed":
        assert set(asked) <= set(results), f"not answered: {set(asked) - set(results)}"
    messages = Counter(
        entry["meta"]["message_id"] for entry in history.entries if "message_id" in entry["meta"]
    )
    repeated = [id for id, count in messages.items() if count > 1]
    assert not repeated, f"messages that are in {history.thread['id']} more than once: {repeated}"


async def _check_stream(host: Clients, history: History) -> None:
    """The watcher, which was cut off at every crash, has seen every entry once and in order."""
    watch = host.watches.get(history.thread["id"])
    if watch is None or not history.entries:
        return
    thread = await host.request("GET", f"/v1/threads/{history.thread['id']}")
    await watch.reached(thread["cursor"])
    seen = [event.data["at"] for event in watch.events if event.kind == "entry"]
    assert seen == [entry["at"] for entry in history.entries]


def _check_invocations(host: Clients, found: list[History]) -> None:
    """Every call of a tool left, under one id, for the tool it was meant for (I5); and nothing left that no history knows."""
    offered = {tool["name"] for tool in host.tools.tools}
    asked = {
        block["id"]: (history.thread["id"], block["name"], block["input"])
        for history in found
        for block in history.blocks("tool_use")
        if block["name"] in offered
    }
    arrived = {
        invocation.id: (invocation.group_id, invocation.operation, invocation.arguments)
        for invocation in host.tools.invocations
    }
    assert arrived == asked
    keys = {(invocation.id, invocation.key) for invocation in host.tools.invocations}
    assert len({key for _, key in keys}) == len(arrived) == len(keys), "a repeat had another key"
