"""Callbacks: what tool servers send back. The capability in the path is checked before anything else is looked at (CB-5, S1)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from infinity._core import CoreError
from infinity.answers.answer import Answer
from infinity.answers.failure import Refused, refusal
from infinity.answers.outcome import CALLBACK_RULES, accepted
from infinity.errors import BadRequest, InfinityError

from ..door import Request
from .body import check_json, read_body
from .failure import answerable

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["post_callback"]

logger = logging.getLogger("infinity.callbacks")


async def post_callback(host: Host, request: Request) -> Answer:
    """200 once it is in the queue, or was (CB-3, CB-4); 4xx tells the sender to stop, 5xx to try again."""
    try:
        thread, call = host.runtime.capabilities.open(request.parameters["token"])
    except BadRequest as error:
        raise Refused(403, "capability", str(error), error.rule) from None
    try:
        check_json(request, "CB-6")
        body = read_body(host, request, "CB-6")
        outcome = await host.runtime.accept_callback(thread, call, body)
    except (InfinityError, CoreError, OSError) as error:
        if answerable(error):
            logger.info("callback for call %s of thread %s: %s", call, thread, _code(error))
            raise
        # A tool server is a stranger: what fails behind the door is not for it (S9).
        logger.error("callback for call %s of thread %s: %s: %s", call, thread, _code(error), error)
        return refusal(503, _code(error), "the message could not be made durable; send it again")
    logger.info(
        "callback for call %s of thread %s: %s, %d bytes", call, thread, outcome.status.value, len(body)
    )
    return accepted(outcome, rule=CALLBACK_RULES.get(outcome.status))


def _code(error: Exception) -> str:
    return error.code if isinstance(error, InfinityError) else "storage"
