"""Entries: a thread's own history, as it was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api import entries
from infinity.api.responses import Answer
from infinity.cloud.function_url import PAGE_BYTES, Request

from .body import path_id

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["list_entries"]


async def list_entries(host: Host, request: Request) -> Answer:
    return await entries.listing(host.store, path_id(request), request.query, most=PAGE_BYTES)
