"""Threads: create, list, look at one with everything it waits for (I7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api import threads
from infinity.api.requests import NewThread
from infinity.api.responses import Answer, answer
from infinity.cloud.function_url import Request
from infinity.engine.missing import missing
from infinity.errors import ThreadDeleted
from infinity.explanation import Explanation, Here, Reason, explain

from .body import idempotency_key, path_id, read_json
from .models import check_model

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["create_thread", "delete_thread", "get_thread", "list_threads"]


async def create_thread(host: Host, request: Request) -> Answer:
    new = read_json(host, request, NewThread, optional=True)
    if new.model is not None:
        check_model(host, new.model)
    return await threads.create(host.runtime, host.store, new, idempotency_key(request))


async def list_threads(host: Host, request: Request) -> Answer:
    return await threads.listing(host.runtime, host.store, request.query)


async def delete_thread(host: Host, request: Request) -> Answer:
    """202 once it is deleted for everybody: the agent function removes what is left of it. 410 when nothing is."""
    id, now = path_id(request), host.now()
    await host.store.mark_deleted(id, now)
    stone = await host.store.tombstone(id)
    await host.send_erasure(id)
    return answer({"id": id, "deleted_at": stone.at if stone is not None else now}, status=202)


async def get_thread(host: Host, request: Request) -> Answer:
    """Whether a slice runs, only its own function knows; why the last one failed is on record."""
    id = path_id(request)
    row = await host.store.thread(id)
    if row is None:
        return await _not_begun(host, id)
    failing = await host.hints.failing(row.id)
    explanation = await explain(host.store, row.id, Here(failing=failing))
    absent = threads.absent(row.root, await host.store.retired(row.root))
    return await threads.describe(host.runtime, host.store, row, explanation, absent)


async def _not_begun(host: Host, id: str) -> Answer:
    """A thread whose first slice fails has nothing in the database yet; why it fails is on record beside it."""
    absent = await missing(host.store, id)
    failing = None if isinstance(absent, ThreadDeleted) else await host.hints.failing(id)
    if failing is None:
        raise absent
    reason = Reason("failing", f"its first slice failed and is tried again: {failing}")
    return await threads.not_begun(host.runtime, host.store, id, Explanation(id, "waiting", [reason]))
