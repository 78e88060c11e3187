"""A transport: one POST to a tool server, plain, signed, or to a function in this process.

The response body is never read (INV-4): a result comes as a callback, or not at all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol


class Verdict(StrEnum):
    """What became of a POST; decides whether the outbox tries again."""

    DELIVERED = "delivered"
    """Any 2xx (INV-9)."""
    REFUSED = "refused"
    """Any other answer below 500: never retried (INV-6)."""
    FAILED = "failed"
    """Connection failure, time-out or 5xx: worth another try (INV-5)."""


class Delivery(NamedTuple):
    """The outcome of one POST. A value, not an exception: the other side may do anything."""

    verdict: Verdict
    detail: str = ""
    """For people and the model: ``HTTP 503``, ``connection refused by 127.0.0.1:9``, …; no secrets."""
    left: bool = True
    """False only where it is certain that nothing of the request has left: no connection, no server (M7)."""


class Transport(Protocol):
    """Sends the bodies of the outbox. ``engine/outbox.py`` calls it; retries and back-off are there, not
    here.
    """

    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        """POST once. Every wait is bounded; what the other side does is never an exception.

        Args:
            url: the whole address, checked before (CHO-5, S3). Redirects are not followed.
            body: UTF-8 JSON, sent as it is.
            key: the idempotency key of the outbox row, sent as a header too; the same at every try
                (SRV-6).
        """
        ...

    async def close(self) -> None:
        """Release connections. POSTs that are under way end as ``failed``; their rows are on record and
        leave later.
        """
        ...
