"""What the model was shown: the request that a turn answers, rendered again from the entries that were there then."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from infinity._core import CoreError
from infinity.engine import past, prefixes
from infinity.engine.request import Sent, rendered
from infinity.errors import from_core

from .backend import Backend
from .entries import own_entry
from .errors import Refused
from .requests import Request
from .responses import Response, ShownParameters, ShownRequest, respond, stored

__all__ = ["get_shown"]


class _Meta(msgspec.Struct):
    model: str = ""
    model_id: str | None = None
    request: Sent | None = None
    prefix: str | None = None


class _Turn(msgspec.Struct):
    kind: str
    meta: _Meta


async def get_shown(backend: Backend, request: Request) -> Response:
    """The request of a turn. 404 for an entry that is no turn; ``exact`` is true if it is what was sent, byte for byte."""
    row, position, text = await own_entry(backend, request)
    turn = msgspec.json.decode(text, type=_Turn)
    if turn.kind != "turn":
        raise Refused(
            404, "not_found", f"entry {position} of thread {row.id} is not a turn and has no request"
        )
    meta, sent = turn.meta, turn.meta.request
    prefix = await prefixes.read(backend.store, meta.prefix) if meta.prefix else None
    thread = await past.before(backend.store, row, position)
    form = sent or Sent(0, 0, 0)
    try:
        messages = rendered(thread, form.images, form.simpler)
    except CoreError as error:
        raise from_core(error) from error
    same = sent is not None and (len(messages), zlib.crc32(messages)) == (sent.bytes, sent.crc32)
    made = respond(
        ShownRequest(
            model=meta.model or None,
            model_id=meta.model_id,
            parameters=ShownParameters(sent.max_tokens) if sent is not None else None,
            system=prefix.system if prefix is not None else None,
            tools=stored(bytes(prefix.tools), list[dict[str, Any]]) if prefix is not None else None,
            messages=stored(messages, list[dict[str, Any]]),
            exact=same and prefix is not None,
        )
    )
    if backend.page_bytes is not None and len(made.body) > backend.page_bytes:
        raise Refused(
            413, "too_large", f"the request of entry {position} has {len(made.body)} bytes; read its entries"
        )
    return made
