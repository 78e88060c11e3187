"""Entries: a thread's own history, as it was stored.

The content is passed on as stored JSON and is never decoded, because a page may have megabytes. An entry that is damaged or missing must never be left out in silence (I8):
the page is then the error ``damaged``.
"""

from __future__ import annotations

from typing import NamedTuple

from infinity.abc import ThreadRow, entry_members, read_header
from infinity.errors import DamagedStore, NewerStore

from .backend import Backend
from .requests import Request, number, page_size
from .responses import DamagedEntries, DamagedEntry, Entries, Entry, ErrorDetail, Response, respond, stored
from .threads import known

__all__ = ["list_entries"]

_NAMED = 20
"""Damaged entries that the text of the error names; all of the page are in ``damaged``."""


async def list_entries(backend: Backend, request: Request) -> Response:
    """By position, from ``after`` on. A child's positions go on from where it left its parent.

    Where entries are damaged or missing it is not a history: the response is the error ``damaged``, which names them, with the intact ones of
    the page beside it, and the thread is shown as damaged from then on.
    """
    thread = request.id()
    after = number(request.query, "after", -1, least=-1, most=1 << 62)
    limit = page_size(request.query)
    # Read first: whatever it speaks of was committed before.
    start, end, damaged = _bounds(await known(backend.store, thread))
    rows = await backend.store.entries(thread, after, limit)
    entries: list[Entry] = []
    size, position, taken, expected = 0, after, 0, max(after + 1, start)
    for position, record in rows:
        damaged += [_missing(lost) for lost in range(expected, position)]
        expected = position + 1
        taken += 1
        try:
            text = b'{"position":%d,%s}' % (position, entry_members(record))
        except (DamagedStore, NewerStore) as error:
            damaged.append(DamagedEntry(position, str(error)))
            continue
        entries.append(stored(text, Entry))
        size += len(text)
        if backend.page_bytes is not None and size > backend.page_bytes:
            break
    whole = taken == len(rows) < limit
    if whole:
        damaged += [_missing(lost) for lost in range(expected, min(end, expected + limit))]
    following = None if whole else position
    if not damaged:
        return respond(Entries(entries, following))
    described = _described(thread, damaged)
    backend.runtime.damage[thread] = described
    found = DamagedEntries(ErrorDetail("damaged", described), damaged, entries, following)
    return respond(found, status=503, headers={"Retry-After": "1"})


class _Bounds(NamedTuple):
    """Where the thread's own entries begin and end, by its header, and what is wrong with that."""

    start: int
    end: int
    damaged: list[DamagedEntry]


def _bounds(row: ThreadRow) -> _Bounds:
    try:
        header = read_header(row)
    except (DamagedStore, NewerStore) as error:
        return _Bounds(0, 0, [DamagedEntry(None, str(error))])
    return _Bounds(header.own_start, header.position, [])


def _missing(position: int) -> DamagedEntry:
    return DamagedEntry(position, "it is missing")


def _described(thread: str, damaged: list[DamagedEntry]) -> str:
    named = ", ".join(f"{each.position}" for each in damaged[:_NAMED] if each.position is not None)
    more = ", …" if len(damaged) > _NAMED else ""
    what = (
        f"entries of thread {thread} are damaged ({named}{more})"
        if named
        else f"the record of thread {thread} is damaged"
    )
    return f"{what}; the others can still be read. See 'infinity doctor', which can repair them"
