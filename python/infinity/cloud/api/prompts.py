"""Prompts: what people are asked now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api import prompts
from infinity.api.responses import Answer
from infinity.cloud.function_url import Request

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["list_prompts"]


async def list_prompts(host: Host, request: Request) -> Answer:
    return await prompts.listing(host.store, request.query)
