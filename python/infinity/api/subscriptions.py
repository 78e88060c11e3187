"""Subscriptions: which threads are woken by events of which tools, and the user's own way to end one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import UNSET

from infinity.abc import Store, ThreadRow
from infinity.engine.missing import missing
from infinity.errors import DamagedStore, NewerStore
from infinity.explanation import call_began
from infinity.ids import is_id
from infinity.message import Action

from .backend import Backend
from .errors import Refused, taken
from .requests import PAGE, Request, check_cursor, page_size
from .responses import Finding, Response, Subscription, Subscriptions, respond, stored

__all__ = ["end_subscription", "list_subscriptions"]

_HOLDING = ("waiting", "stopped")
"""States in which a thread can have subscriptions."""


async def list_subscriptions(backend: Backend, request: Request) -> Response:
    """Those of ``thread``, the one of ``call_id``, or of all threads. A thread's own are never split."""
    store, query = backend.store, request.query
    limit = page_size(query)
    if (thread := query.get("thread")) is not None:
        row = await store.thread(thread) if is_id(thread) else None
        if row is None:
            raise await missing(store, thread)
        return respond(Subscriptions(await _of(store, row), None))
    if (call_id := query.get("call_id")) is not None:
        return respond(Subscriptions(await _by_id(store, call_id), None))
    found: list[Subscription] = []
    damaged: list[Finding] = []
    following = None
    async for row in _holders(store, query.get("after", "")):
        try:
            found += await _of(store, row)
        except (DamagedStore, NewerStore) as error:
            damaged.append(Finding(row.id, "damaged", str(error)))
        if len(found) >= limit:
            following = f"{row.status}/{row.cursor}"
            break
    return respond(Subscriptions(found, following, damaged or UNSET))


async def end_subscription(backend: Backend, request: Request) -> Response:
    """The same as the agent's own ``cancel_subscription``: no further event is accepted, the tool servers are told (SUB-7)."""
    thread, call_id = request.id(), request.id("call_id")
    key = request.key() or f"unsubscribe.{call_id}"[:128]
    found = await backend.store.find_call(call_id)
    if found is None or found[0].thread != thread or not found[0].subscription:
        raise Refused(404, "not_found", f"thread {thread} has no active subscription {call_id}")
    return taken(await backend.runtime.control(thread, Action.UNSUBSCRIBE, call_id, key=key))


async def _holders(store: Store, cursor: str) -> AsyncIterator[ThreadRow]:
    """Threads that may have subscriptions, from the cursor on."""
    begin, _, after = cursor.partition("/") if cursor else (_HOLDING[0], "", "")
    if cursor:
        check_cursor(after if begin in _HOLDING else "")
    for status in _HOLDING[_HOLDING.index(begin) :]:
        while rows := await store.threads(status=status, after=after, limit=PAGE):
            for row in rows:
                yield row
            after = rows[-1].cursor
        after = ""


async def _by_id(store: Store, call_id: str) -> list[Subscription]:
    found = await store.find_call(call_id) if is_id(call_id) else None
    row = await store.thread(found[0].thread) if found is not None and found[0].subscription else None
    return [] if row is None else [each for each in await _of(store, row) if each.call_id == call_id]


async def _of(store: Store, row: ThreadRow) -> list[Subscription]:
    return [
        Subscription(
            thread=row.id,
            title=row.title,
            status=row.status,
            tool=call.tool,
            toolset=call.toolset,
            call_id=call.id,
            arguments=stored(call.arguments, dict),
            since=await call_began(store, call),
        )
        for call, _ in await store.calls(row.id)
        if call.subscription
    ]
