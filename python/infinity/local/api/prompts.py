"""Prompts: what people are asked now."""

from __future__ import annotations

from aiohttp import web

from infinity.api import prompts

from .answers import respond
from .backend import BACKEND

__all__ = ["list_prompts"]


async def list_prompts(request: web.Request) -> web.Response:
    return respond(await prompts.listing(request.app[BACKEND].store, request.query))
