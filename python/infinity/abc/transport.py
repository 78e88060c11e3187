"""A transport: one POST to a tool server, plain, signed, or to a function in this process. The response body is never read (INV-4)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol


class Verdict(StrEnum):
    DELIVERED = "delivered"
    """Any 2xx (INV-9)."""
    REFUSED = "refused"
    """Any other answer below 500: never retried (INV-6)."""
    FAILED = "failed"
    """Connection failure, time-out or 5xx: worth another try (INV-5)."""


class Delivery(NamedTuple):
    verdict: Verdict
    detail: str = ""
    """For people and the model: ``HTTP 503``, ``connection refused by 127.0.0.1:9``, …; no secrets."""
    left: bool = True
    """False only where it is sure that nothing of the request has left: no connection, no server (M7)."""


class Transport(Protocol):
    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        """POST JSON once. Bounded by time-outs; never raises for what the other side does. ``key``: the idempotency key, sent as a header too."""
        ...

    async def close(self) -> None: ...
