"""The adapter between aiohttp and ``infinity.api``: requests, bodies of bounded size and time, responses, errors.

Used by ``local/app.py``, which serves the table of routes, and by the operations that only aiohttp can perform (``event_stream``, ``moving/http``). It decides nothing
about a request: what is refused, and with which status, is the handlers' and ``api/errors.py``'s to say.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from aiohttp import web

from infinity.api.errors import Refused, failure, no_method, no_route, refusal
from infinity.api.requests import Body, Request
from infinity.api.responses import Response
from infinity.errors import StoreError
from infinity.rap.callback_type import PREFIX

from .backend import BACKEND

__all__ = ["error_response", "received", "response"]

logger = logging.getLogger("infinity.api")

BODY_SECONDS = 30.0
"""How long a sender may take over a body (B1)."""
_LEAST_FREE = 1 << 20


class _Body(Body):
    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.announced = request.content_length

    async def read_up_to(self, most: int, rule: str | None = None) -> tuple[bytes, bool]:
        content = self._request.content
        if self.announced is not None and self.announced > most:
            # It will be refused: no more is read than is needed to tell what it was meant to be.
            return (await self._read(min(most, PREFIX), rule))[0], False
        if content.is_eof():
            # It came with the headers, as nearly all do.
            body = content.read_nowait()
            return body[:most], len(body) <= most
        return await self._read(most, rule)

    async def _read(self, most: int, rule: str | None) -> tuple[bytes, bool]:
        pieces = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in self._request.content.iter_any():
                    pieces += piece
                    if len(pieces) > most:
                        return bytes(pieces[:most]), False
        except TimeoutError:
            raise Refused(408, "slow", f"the body did not arrive within {BODY_SECONDS:.0f} s", rule) from None
        return bytes(pieces), True


def received(request: web.Request) -> Request:
    """The request as handlers see it. Nothing of its body has been read."""
    console = request.app[BACKEND].console
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=_Body(request) if request.can_read_body else None,
        parameters=request.match_info,
        limit=request.app[BACKEND].runtime.settings.limits.message_bytes,
        user=console.user if console is not None and console.session_of(request) else None,
    )


def response(made: Response) -> web.Response:
    return web.Response(
        status=made.status, body=made.body, headers=made.headers, content_type="application/json"
    )


def error_response(error: Exception, home: Path) -> web.Response:
    """For an error that a handler, or aiohttp itself, has raised."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return response(no_method(error.allowed_methods))
    if isinstance(error, web.HTTPException):
        if error.status == 404:
            return response(no_route())
        return response(
            refusal(error.status, "bad_request" if error.status < 500 else "internal", error.reason)
        )
    if isinstance(error, StoreError) and _full(home):
        logger.error("a request failed: the disk is full: %s", error)
        error = Refused(507, error.code, str(error))
    return response(failure(error))


def _full(home: Path) -> bool:
    """Whether the disk explains a store that cannot write."""
    try:
        return shutil.disk_usage(home).free < _LEAST_FREE
    except OSError:
        return False
