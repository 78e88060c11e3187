"""Calls: what each of them has been doing, from the turn that made it to its result."""

from __future__ import annotations

from collections.abc import Sequence

from infinity.abc import SPAWN, CallRow, Store, read_entry
from infinity.engine.children import derived
from infinity.errors import DamagedStore, NewerStore

from .backend import Backend
from .errors import Refused
from .requests import Request, number, page_size
from .responses import Response, respond, stored
from .threads import known
from .under_way import CallDone, CallsDone

__all__ = ["get_call", "list_calls"]

_ENTRIES = 500
"""Entries of one look for turns and results."""
_LOOKS = 10


async def list_calls(backend: Backend, request: Request) -> Response:
    """Oldest first, behind ``after``."""
    thread, limit = request.id(), page_size(request.query)
    after = number(request.query, "after", -1, least=-1, most=1 << 62)
    await known(backend.store, thread)
    rows = await backend.store.call_rows(thread, after=after, limit=limit)
    following = rows[-1].number if len(rows) == limit else None
    return respond(CallsDone(await _described(backend.store, thread, rows), following))


async def get_call(backend: Backend, request: Request) -> Response:
    """404 where the thread has no such call."""
    thread, call_id = request.id(), request.id("call_id")
    await known(backend.store, thread)
    rows = await backend.store.call_rows(thread, call=call_id)
    if not rows:
        raise Refused(404, "not_found", f"thread {thread} has no call {call_id}")
    return respond((await _described(backend.store, thread, rows))[0])


async def _described(store: Store, thread: str, rows: Sequence[CallRow]) -> list[CallDone]:
    planned, results = await _in_history(store, thread, rows)
    return [
        CallDone(
            id=row.call.id,
            thread=thread,
            tool=row.call.tool,
            toolset=row.call.toolset,
            arguments=stored(row.call.arguments, dict),
            state=row.state,
            position=row.call.position,
            planned_at=planned.get(row.call.position),
            sent_at=row.sent_at or None,
            ended_at=row.ended_at or None,
            attempts=row.attempts,
            next_at=row.due_at,
            trouble=row.trouble or None,
            deadline=row.call.deadline,
            result=results.get(row.call.id),
            child=await _child(store, thread, row),
        )
        for row in rows
    ]


async def _in_history(
    store: Store, thread: str, rows: Sequence[CallRow]
) -> tuple[dict[int, int], dict[str, int]]:
    """When turns were recorded, by position, and where results are, by call. History is read from the first turn on, and not without end: a result that
    came thousands of entries later is not looked for. An entry that cannot be read says nothing of either; the list of entries names it."""
    planned: dict[int, int] = {}
    results: dict[str, int] = {}
    turns = {row.call.position for row in rows}
    ended = {row.call.id for row in rows if row.state not in ("planned", "sent")}
    after = min(turns, default=0) - 1
    for _ in range(_LOOKS):
        if turns <= planned.keys() and ended <= results.keys():
            break
        page = await store.entries(thread, after, _ENTRIES)
        for position, record in page:
            try:
                entry = read_entry(record)
            except (DamagedStore, NewerStore):
                continue
            if position in turns:
                planned[position] = entry.at
            call_id = entry.meta.get("call_id")
            # Events of a subscription are numbered; its result is not.
            if entry.kind in ("result", "event") and call_id in ended and entry.meta.get("seq") is None:
                results.setdefault(call_id, position)
        if len(page) < _ENTRIES:
            break
        after = page[-1][0]
    return planned, results


async def _child(store: Store, thread: str, row: CallRow) -> str | None:
    """The thread that the call has made."""
    if row.call.tool != SPAWN or row.call.toolset:
        return None
    child = derived(thread, row.call.id)
    return child if await store.thread(child) is not None else None
