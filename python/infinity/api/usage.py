"""What completions have used: turns, tokens by kind, and dollars, summed by day, model, tree or thread."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from infinity.abc import Usage, UsageRow
from infinity.errors import BadRequest

from .backend import Backend
from .requests import Request, number, page_size
from .responses import Response, Used, UsedInAll, respond

__all__ = ["list_usage"]

_BY = ("day", "model", "root", "thread")
_EPOCH = date(1970, 1, 1)
_LONGEST = 18
"""Digits of a cursor."""


async def list_usage(backend: Backend, request: Request) -> Response:
    """Of the days from ``from`` to ``to``, which are UTC; without them of all. What deleted threads have used counts, without saying whose it was."""
    query = request.query
    by = tuple(dict.fromkeys(query.get("by", "day").split(",")))
    if not set(by) <= set(_BY):
        raise BadRequest(f"'by' must be some of {', '.join(_BY)}, separated by commas")
    limit = page_size(query)
    after = number(query, "after", 0, least=0, most=10**_LONGEST)
    since, until = _day(query.get("from"), "from", 0), _day(query.get("to"), "to", 1 << 31)
    rows = await backend.store.usage(
        since=since, until=until, by=by, root=query.get("root"), after=after, limit=limit
    )
    following = str(after + limit) if len(rows) == limit else None
    return respond(UsedInAll([_used(row) for row in rows], following))


def _day(text: str | None, name: str, absent: int) -> int:
    if text is None:
        return absent
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise BadRequest(f"'{name}' must be a day like {datetime.now(UTC).date()}") from None


def _used(row: UsageRow) -> Used:
    day = None if row.day is None else str(_EPOCH + timedelta(days=row.day))
    tokens = Usage(row.input, row.output, row.cache_read, row.cache_write)
    return Used(day, row.model, row.root, row.thread, row.turns, tokens, row.cost / 1_000_000)
