"""Entries: a thread's own history, as it was stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from infinity._core import CoreError, entry_json, header_json
from infinity.abc import Store, ThreadRow
from infinity.api.errors import refusal
from infinity.api.requests import page
from infinity.api.responses import Answer

from .threads import known

__all__ = ["listing"]

_NAMED = 20
"""Damaged entries that the text of the error names; all of the page are in ``damaged``."""


async def listing(
    store: Store,
    thread: str,
    query: Mapping[str, str],
    *,
    most: int | None = None,
    damage: dict[str, str] | None = None,
) -> Answer:
    """By position, from ``after`` on. A child's positions go on from where it left its parent.

    Where entries are damaged or missing it is not a history: the answer is the error ``damaged``, which names them, with the intact ones of
    the page beside it.

    ``most``: bytes after which the page ends early, for hosts whose answers are bounded; ``next`` says where to go on. ``damage``: where a host
    keeps what is known to be damaged.
    """
    after, limit = page(query)
    # Read first: whatever it speaks of was committed before.
    start, end, damaged = _bounds(await known(store, thread))
    rows = await store.entries(thread, after, limit)
    entries: list[bytes] = []
    size, position, taken, expected = 0, after, 0, max(after + 1, start)
    for position, record in rows:
        damaged += [_missing(lost) for lost in range(expected, position)]
        expected = position + 1
        taken += 1
        try:
            entries.append(b'{"position":%d,%s' % (position, entry_json(record).lstrip()[1:]))
        except CoreError as error:
            damaged.append({"position": position, "text": str(error.args[1])})
            continue
        size += len(entries[-1])
        if most is not None and size > most:
            break
    whole = taken == len(rows) < limit
    if whole:
        damaged += [_missing(lost) for lost in range(expected, min(end, expected + limit))]
    following = msgspec.json.encode(None if whole else position)
    body = b'"entries":[' + b",".join(entries) + b'],"next":' + following + b"}"
    if not damaged:
        return Answer(200, b"{" + body)
    told = _told(thread, damaged)
    if damage is not None:
        damage[thread] = told
    refused = refusal(503, "damaged", told)
    return refused._replace(
        body=refused.body[:-1] + b',"damaged":' + msgspec.json.encode(damaged) + b"," + body
    )


def _bounds(row: ThreadRow) -> tuple[int, int, list[dict[str, Any]]]:
    """Where the thread's own entries begin and end, by its header, and what is wrong with that."""
    try:
        header = msgspec.json.decode(header_json(row.header))
    except CoreError as error:
        return 0, 0, [{"position": None, "text": str(error.args[1])}]
    return header["own_start"], header["position"], []


def _missing(position: int) -> dict[str, Any]:
    return {"position": position, "text": "it is missing"}


def _told(thread: str, damaged: list[dict[str, Any]]) -> str:
    named = ", ".join(f"{each['position']}" for each in damaged[:_NAMED] if each["position"] is not None)
    more = ", …" if len(damaged) > _NAMED else ""
    what = (
        f"entries of thread {thread} are damaged ({named}{more})"
        if named
        else f"the record of thread {thread} is damaged"
    )
    return f"{what}; the others can still be read. See 'infinity doctor', which can repair them"
