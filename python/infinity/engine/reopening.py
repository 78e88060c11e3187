"""A root thread that its model closed opens again when a person speaks to it (THR-4).

Since 0.2 a root is closed by a person or the API only. Under 0.1 the model could close one, to end politely, and the person could say nothing more to it.
"""

from __future__ import annotations

import msgspec

from infinity._core import Delta, Thread
from infinity.abc import Entry, Store, read_entry

TAIL = 256
"""Entries at the end that are looked at: a turn and the results of all its calls."""


async def reopened(store: Store, thread: str, now: int) -> Delta | None:
    """The change that opens the thread again; ``None`` unless it is a root that its model closed."""
    snapshot = await store.load(thread)
    if snapshot is None:
        return None
    state = Thread.load(snapshot)
    if state.parent is not None or state.status != "closed":
        return None
    rows = await store.entries(thread, max(state.position - TAIL, 0) - 1, TAIL)
    if not closed_by_model([read_entry(record) for _, record in rows]):
        return None
    state.reopen()
    state.note("status", msgspec.json.encode({"at": now, "status": "reopened"}))
    return state.delta(now)


def closed_by_model(entries: list[Entry]) -> bool:
    """Whether the last thing that happened is a ``close_thread`` of the model that was carried out, not refused."""
    turn = next((entry for entry in reversed(entries) if entry.kind == "turn"), None)
    said = turn.assistant if turn is not None else []
    calls = [block["id"] for block in said if block.get("name") == "close_thread"]
    results = [block for entry in entries for block in entry.user if block.get("tool_use_id") in calls]
    return any(not block.get("is_error") for block in results)
