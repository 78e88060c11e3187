"""Request bodies: JSON of a known shape, of a bounded size, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web

from infinity.api import requests as asked
from infinity.api.requests import check_encoding, too_large

from .backend import BACKEND
from .failure import Refused

__all__ = [
    "check_json",
    "check_type",
    "idempotency_key",
    "path_id",
    "read_body",
    "read_json",
    "read_up_to",
]

T = TypeVar("T")

BODY_SECONDS = 30.0
"""How long a sender may take over a body (B1)."""


def check_type(request: web.Request, rule: str | None = None) -> None:
    """Refuse by its headers what is no JSON in UTF-8."""
    check_encoding(
        request.content_type, request.charset, request.headers.get("Content-Encoding", "identity"), rule
    )


def check_json(request: web.Request, rule: str | None = None) -> None:
    """Refuse by the headers alone what cannot be a JSON body of ours."""
    check_type(request, rule)
    limit = request.app[BACKEND].max_body
    if request.content_length is not None and request.content_length > limit:
        raise too_large(limit, rule)


async def read_body(request: web.Request, rule: str | None = None) -> bytes:
    """At most ``max_body`` bytes, whatever the sender announced."""
    limit = request.app[BACKEND].max_body
    body, whole = await read_up_to(request, limit, rule)
    if not whole:
        raise too_large(limit, rule)
    return body


async def read_up_to(request: web.Request, most: int, rule: str | None = None) -> tuple[bytes, bool]:
    """The body, and whether that is all of it; of a longer one the beginning. ``Refused`` (408) if it does not come in time."""
    if request.content.is_eof():
        # It came with the headers, as nearly all do.
        body = request.content.read_nowait()
        return body[:most], len(body) <= most
    pieces = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) > most:
                    return bytes(pieces[:most]), False
    except TimeoutError:
        raise Refused(408, "slow", f"the body did not arrive within {BODY_SECONDS:.0f} s", rule) from None
    return bytes(pieces), True


async def read_json(request: web.Request, shape: type[T], *, optional: bool = False) -> T:
    """The body as ``shape``. ``optional``: an absent body stands for the shape's defaults."""
    if optional and not request.can_read_body:
        return shape()
    check_json(request)
    body = await read_body(request)
    if optional and not body:
        return shape()
    return asked.decode(body, shape)


def path_id(request: web.Request, name: str = "id") -> str:
    return asked.path_id(request.match_info[name], name)


def idempotency_key(request: web.Request) -> str | None:
    return asked.check_key(request.headers.get("Idempotency-Key"))
