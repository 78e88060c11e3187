"""Health: whether the function reaches its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity._core import __version__
from infinity.api.responses import Answer, answer
from infinity.cloud.function_url import Request

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["get_health"]


async def get_health(host: Host, request: Request) -> Answer:
    """200 while the store answers; else the store's error as 503."""
    await host.store.next_timer()
    return answer({"status": "ok", "version": __version__})
