"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

from aiohttp import web

from .answers import answer
from .backend import BACKEND

__all__ = ["list_toolsets"]


async def list_toolsets(request: web.Request) -> web.Response:
    return answer({"toolsets": await request.app[BACKEND].toolsets()})
