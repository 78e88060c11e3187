"""What will happen by itself, and what came to nothing: timers, deliveries on their way, discarded messages; of all threads, page by page."""

from __future__ import annotations

import msgspec

from infinity.abc import DiscardRow, OutboxRow, TimerRow
from infinity.errors import BadRequest
from infinity.ids import is_id

from .backend import Backend
from .errors import Refused
from .requests import Nothing, Request, number, page_size
from .responses import Response, respond
from .under_way import Deliveries, Discard, Discards, Retried, Timer, Timers, UnderWay

__all__ = ["list_discards", "list_outbox", "list_timers", "retry_delivery"]

_NEXT = "'after' must be the 'next' of an earlier response"


async def list_timers(backend: Backend, request: Request) -> Response:
    """The earliest first."""
    limit, after = page_size(request.query), request.query.get("after")
    rows = await backend.store.due_timers(None if after is None else _timer_place(after), limit)
    following = ":".join(map(str, rows[-1].place)) if len(rows) == limit else None
    return respond(Timers([_timer(row) for row in rows], following))


async def list_outbox(backend: Backend, request: Request) -> Response:
    """By the next try, those that were never tried first. Not what rests with a conversation that has left."""
    limit, after = page_size(request.query), request.query.get("after")
    rows = await backend.store.deliveries(None if after is None else _delivery_place(after), limit)
    following = ":".join(map(str, rows[-1].place)) if len(rows) == limit else None
    return respond(Deliveries([_delivery(row) for row in rows], following))


async def list_discards(backend: Backend, request: Request) -> Response:
    """The newest first."""
    limit = page_size(request.query)
    before = number(request.query, "after", 0, least=0, most=(1 << 63) - 1) or None
    rows = await backend.store.all_discards(before, limit)
    following = str(rows[-1].number) if len(rows) == limit else None
    return respond(Discards([_discard(row) for row in rows], following))


async def retry_delivery(backend: Backend, request: Request) -> Response:
    """Try now what rests until its next try. 404 where there is no such delivery: it has left, or was taken back."""
    await request.json(Nothing, optional=True)
    key = request.parameters["key"]
    if backend.runtime.hurry(key):
        return respond(Retried("now", key))
    after = ""
    while rows := await backend.store.outbox(after):
        if any(row.key == key for row in rows):
            return respond(Retried("under_way", key))
        after = rows[-1].key
    raise Refused(404, "not_found", f"there is no delivery {key[:200]}")


def _timer_place(cursor: str) -> tuple[int, str, str]:
    due_at, _, rest = cursor.partition(":")
    thread, colon, timer = rest.partition(":")
    if not colon or not _is_time(due_at) or not is_id(thread):
        raise BadRequest(_NEXT)
    return int(due_at), thread, timer


def _delivery_place(cursor: str) -> tuple[int, str]:
    due_at, colon, key = cursor.partition(":")
    if not colon or not _is_time(due_at):
        raise BadRequest(_NEXT)
    return int(due_at), key


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _timer(row: TimerRow) -> Timer:
    body = msgspec.json.decode(row.body)
    return Timer(row.thread, row.id, row.due_at, str(body.get("purpose", row.kind)))


def _delivery(row: OutboxRow) -> UnderWay:
    return UnderWay(
        key=row.key,
        kind=row.kind,
        thread=row.thread,
        call_id=row.call_id,
        target=row.target,
        attempts=row.attempts,
        next_at=row.due_at or None,
        trouble=row.trouble or None,
    )


def _discard(row: DiscardRow) -> Discard:
    return Discard(row.thread, row.message, row.reason, row.at)
