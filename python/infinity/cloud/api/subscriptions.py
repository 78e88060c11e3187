"""Subscriptions: which threads are woken by events of which tools, and the user's own way to end one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api import subscriptions
from infinity.api.responses import Answer
from infinity.cloud.function_url import Request

from .body import idempotency_key, path_id

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["delete_subscription", "list_subscriptions"]


async def list_subscriptions(host: Host, request: Request) -> Answer:
    return await subscriptions.listing(host.store, request.query)


async def delete_subscription(host: Host, request: Request) -> Answer:
    thread, call_id = path_id(request), path_id(request, "call_id")
    return await subscriptions.end(host.runtime, host.store, thread, call_id, idempotency_key(request))
