"""Request bodies: JSON of a known shape, of a bounded size, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from infinity.errors import BadRequest
from infinity.ids import is_id

from .backend import BACKEND
from .failure import Refused

__all__ = ["PAGE", "check_json", "idempotency_key", "number", "page", "path_id", "read_body", "read_json"]

T = TypeVar("T")

BODY_SECONDS = 30.0
"""How long a sender may take over a body (B1)."""
PAGE = 100
LONGEST_PAGE = 1000


def check_json(request: web.Request, rule: str | None = None) -> None:
    """Refuse by the headers alone what cannot be a JSON body of ours."""
    if request.content_type != "application/json":
        raise Refused(415, "content_type", "send 'Content-Type: application/json'", rule)
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(415, "content_type", "send the body as UTF-8", rule)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "content_type", "send the body without Content-Encoding", rule)
    limit = request.app[BACKEND].max_body
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit, rule)


async def read_body(request: web.Request, rule: str | None = None) -> bytes:
    """At most ``max_body`` bytes, whatever the sender announced."""
    limit = request.app[BACKEND].max_body
    pieces = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) > limit:
                    raise _too_large(limit, rule)
    except TimeoutError:
        raise Refused(408, "slow", f"the body did not arrive within {BODY_SECONDS:.0f} s", rule) from None
    return bytes(pieces)


async def read_json(request: web.Request, shape: type[T], *, optional: bool = False) -> T:
    """The body as ``shape``. ``optional``: an absent body stands for the shape's defaults."""
    if optional and not request.can_read_body:
        return shape()
    check_json(request)
    body = await read_body(request)
    if optional and not body:
        return shape()
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def path_id(request: web.Request, name: str = "id") -> str:
    """An id in the path. What cannot be an id is not there."""
    text = request.match_info[name]
    if not is_id(text):
        raise Refused(
            404,
            "not_found",
            f"there is no {name.removesuffix('_id') if name != 'id' else 'thread'} with such an id",
        )
    return text


def idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_id(key):
        raise BadRequest("Idempotency-Key must be 1 to 128 of letters, digits and _.:@+-")
    return key


def page(request: web.Request) -> tuple[int, int]:
    """``after`` and ``limit`` of a listing by position."""
    return number(request, "after", -1, least=-1, most=1 << 62), number(
        request, "limit", PAGE, least=1, most=LONGEST_PAGE
    )


def number(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if (
        not text.removeprefix("-").isascii()
        or not text.removeprefix("-").isdigit()
        or not least <= int(text[:20]) <= most
    ):
        raise BadRequest(f"'{name}' must be a whole number from {least} to {most}")
    return int(text)


def _too_large(limit: int, rule: str | None) -> Refused:
    return Refused(413, "too_large", f"the body is larger than {limit} bytes (limits.message_bytes)", rule)
