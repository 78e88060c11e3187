"""Callbacks: what tool servers send back. The capability in the path is checked before anything else is looked at (CB-5, S1)."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from infinity._core import CoreError
from infinity.api.callbacks import Arrived, receive
from infinity.api.errors import Refused, refusal
from infinity.api.responses import Answer
from infinity.callback_keys import kept_keys
from infinity.cloud.function_url import Request
from infinity.errors import BadRequest, InfinityError
from infinity.rap.callback_type import PREFIX
from infinity.rap.capability import MAX_TOKEN, Capabilities

from .body import check_json
from .failure import answerable

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["post_callback"]

logger = logging.getLogger("infinity.callbacks")

_TOKEN = re.compile(rf"(?=.{{1,{MAX_TOKEN}}}$)v1\.[0-9a-f]{{8}}\.[\w-]+\.[\w-]{{43}}", re.ASCII)
"""What one of ours looks like: for nothing else is the database asked."""


async def post_callback(host: Host, request: Request) -> Answer:
    """200 once it is in the queue, or was (CB-3, CB-4); 4xx tells the sender to stop, 5xx to try again."""
    try:
        thread, call = await _opened(host, request.parameters["token"])
    except Refused:
        raise
    except (InfinityError, OSError) as error:
        return _later(error, "a callback, whose token could not be judged")
    about = f"callback for call {call} of thread {thread}"
    try:
        arrived = _arrive(host, request, thread, call)
        label, answered = await receive(host.runtime, arrived)
    except (InfinityError, CoreError, OSError) as error:
        if answerable(error):
            logger.info("%s: %s", about, _code(error))
            raise
        return _later(error, about)
    logger.info("%s: %s, %d bytes", about, label, len(arrived.body))
    return answered


def _arrive(host: Host, request: Request, thread: str, call: str) -> Arrived:
    """A body comes whole; the platform refuses what is larger than it passes (about 6 MB)."""
    try:
        check_json(request, "CB-6")
        body = request.body.read(host.runtime.settings.limits.callback_bytes, "CB-6", "limits.callback_bytes")
    except Refused as error:
        return Arrived(thread, call, request.body.beginning(PREFIX), error)
    except BadRequest as error:
        refused = Refused(400, error.code, str(error), error.rule)
        return Arrived(thread, call, b"", refused)
    return Arrived(thread, call, body)


async def _opened(host: Host, token: str) -> tuple[str, str]:
    """Thread and call. A process that lives for hours may meet a token of a key that was made since: it looks before it refuses."""
    runtime = host.runtime
    try:
        return runtime.capabilities.open(token)
    except BadRequest as error:
        if not _TOKEN.fullmatch(token):
            raise Refused(403, "capability", str(error), error.rule) from None
    newer = Capabilities(await kept_keys(host.store), host.resources.public_url or None)
    try:
        opened = newer.open(token)
    except BadRequest as error:
        raise Refused(403, "capability", str(error), error.rule) from None
    runtime.capabilities = newer
    return opened


def _later(error: Exception, about: str) -> Answer:
    """A tool server is a stranger: what fails behind the door is for the log, not for it (S9)."""
    logger.error("%s: %s: %s", about, _code(error), error)
    return refusal(503, _code(error), "the message could not be made durable; send it again")


def _code(error: Exception) -> str:
    return error.code if isinstance(error, InfinityError) else "storage"
