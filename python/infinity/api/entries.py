"""Entries: a thread's own history, as it was stored.

The content is passed on as stored JSON and is never decoded, because a page may have megabytes. An entry that is damaged or missing must never be left out in silence (I8):
the page is then the error ``damaged``.
"""

from __future__ import annotations

from typing import NamedTuple

from infinity.abc import ThreadRow, entry_members, read_header
from infinity.errors import BadRequest, DamagedStore, NewerStore

from .backend import Backend
from .cutting import shortened
from .errors import Refused
from .requests import Request, number, page_size
from .responses import DamagedEntries, DamagedEntry, Entries, Entry, ErrorDetail, Response, respond, stored
from .threads import known

__all__ = ["BODIES", "get_entry", "list_entries", "own_entry"]

BODIES = ("whole", "cut")
"""Whether long entries are given whole, or as they are shown at first."""
_NAMED = 20
"""Damaged entries that the text of the error names; all of the page are in ``damaged``."""


async def list_entries(backend: Backend, request: Request) -> Response:
    """By position, from ``after`` on, or the last ones before ``before``. A child's positions go on from where it left its parent.

    Where entries are damaged or missing it is not a history: the response is the error ``damaged``, which names them, with the intact ones of
    the page beside it, and the thread is shown as damaged from then on.
    """
    thread, limit = request.id(), page_size(request.query)
    backwards, whole = "before" in request.query, request.query.get("bodies", "whole")
    if whole not in BODIES:
        raise BadRequest(f"'bodies' must be one of {', '.join(BODIES)}")
    if backwards and "after" in request.query:
        raise BadRequest("give 'after' or 'before', not both")
    # Read first: whatever it speaks of was committed before.
    bounds = _bounds(await known(backend.store, thread))
    if backwards:
        before = min(number(request.query, "before", 0, least=0, most=1 << 62), bounds.end)
        after = max(bounds.start, before - limit) - 1
        limit = max(0, before - after - 1)
    else:
        after = number(request.query, "after", -1, least=-1, most=1 << 62)
    rows = await backend.store.entries(thread, after, limit) if limit else []
    damaged = list(bounds.damaged)
    found: list[tuple[int, bytes]] = []
    expected = max(after + 1, bounds.start)
    for position, record in rows:
        damaged += [_missing(lost) for lost in range(expected, position)]
        expected = position + 1
        try:
            text = _text(position, record)
            found.append((position, text if whole == "whole" else shortened(text)))
        except (DamagedStore, NewerStore) as error:
            damaged.append(DamagedEntry(position, str(error)))
    if backwards or len(rows) < limit:
        damaged += [_missing(lost) for lost in range(expected, min(bounds.end, expected + limit))]
    kept, cut = _fitting(found, backend.page_bytes, backwards=backwards)
    if cut is not None:
        damaged = [each for each in damaged if _is_of(each, cut, backwards=backwards)]
    following = _following(bounds, after, limit, [position for position, _ in rows], cut, backwards=backwards)
    entries = [stored(text, Entry) for _, text in kept]
    if not damaged:
        return respond(Entries(entries, following))
    described = _described(thread, damaged)
    backend.runtime.damage[thread] = described
    answer = DamagedEntries(ErrorDetail("damaged", described), damaged, entries, following)
    return respond(answer, status=503, headers={"Retry-After": "1"})


async def get_entry(backend: Backend, request: Request) -> Response:
    """One entry of a thread's own history, whole. 404 where there is none, the error ``damaged`` where it cannot be read."""
    _, _, text = await own_entry(backend, request)
    return Response(200, text)


async def own_entry(backend: Backend, request: Request) -> tuple[ThreadRow, int, bytes]:
    """The thread that a path names, the position there of one of its own entries, and that entry's JSON; raises as ``get_entry``."""
    thread, text = request.id(), request.parameters["position"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused(404, "not_found", f"thread {thread} has no entry {text[:40]}")
    row, position = await known(backend.store, thread), int(text)
    bounds = _bounds(row)
    rows = await backend.store.entries(thread, position - 1, 1)
    if rows and rows[0][0] == position:
        try:
            return row, position, _text(position, rows[0][1])
        except (DamagedStore, NewerStore) as error:
            raise type(error)(f"entry {position} of thread {thread} is damaged: {error}") from None
    if bounds.start <= position < bounds.end:
        raise DamagedStore(f"entry {position} of thread {thread} is missing; see 'infinity doctor'")
    raise Refused(404, "not_found", f"thread {thread} has no entry {position} of its own")


def _text(position: int, record: bytes) -> bytes:
    return b'{"position":%d,%s}' % (position, entry_members(record))


def _fitting(
    found: list[tuple[int, bytes]], most: int | None, *, backwards: bool
) -> tuple[list[tuple[int, bytes]], int | None]:
    """As many entries as a page may be large, one at least, from the end that is asked for; and the position of the last one where the others do not fit."""
    size = 0
    ordered = found[::-1] if backwards else found
    for count, (position, text) in enumerate(ordered, start=1):
        size += len(text)
        if most is not None and size > most and count < len(ordered):
            kept = ordered[:count]
            return (kept[::-1] if backwards else kept), position
    return found, None


def _is_of(damage: DamagedEntry, cut: int, *, backwards: bool) -> bool:
    """Whether it belongs to a page that ends at ``cut``."""
    at = damage.position
    return at is None or (at >= cut if backwards else at <= cut)


def _following(
    bounds: _Bounds, after: int, limit: int, positions: list[int], cut: int | None, *, backwards: bool
) -> int | None:
    """Where the next page begins, as ``after`` or ``before``; ``None`` at the end."""
    if cut is not None:
        return cut
    if backwards:
        return after + 1 if after + 1 > bounds.start else None
    return positions[-1] if limit and len(positions) == limit else None


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
