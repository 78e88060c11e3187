"""One visit to a tool server: how it is called, how long one waits for it, and where the findings go."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infinity.unreachable import why

from .receiver import Line, Receiver
from .report import Report

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. ``acknowledge``: for an answer over HTTP; ``patience``: for a callback that is due, retries
    included; ``settle``: how long one listens for a callback that must not come.
    """

    acknowledge: float = 3.0
    patience: float = 10.0
    settle: float = 1.5


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP. ``status`` is 0 if there was none; ``problem`` says why then."""

    status: int
    seconds: float
    body: bytes = b""
    content_type: str = ""
    problem: str = ""

    @property
    def acknowledged(self) -> bool:
        """Any 2xx (INV-9)."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return self.problem or f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One invocation and its callbacks."""

    id: str
    group_id: str
    call_id: str
    line: Line

    def body(self, operation: str, arguments: Any) -> dict[str, Any]:
        """The invocation, ready to be encoded.

        Args:
            operation: any name.
            arguments: any JSON.
        """
        return {
            "operation": operation,
            "arguments": arguments,
            "id": self.id,
            "call_id": self.call_id,
            "callback_url": self.line.url,
            "group_id": self.group_id,
        }


@dataclass(slots=True)
class Visit:
    """``base_url``: of the server; ``token``: what it wants as ``Authorization: Bearer``."""

    base_url: str
    session: aiohttp.ClientSession
    receiver: Receiver
    report: Report
    limits: TimeLimits
    token: str | None = None
    thread: str = field(default_factory=lambda: f"inspection_{secrets.token_hex(6)}")

    def probe(self) -> Probe:
        """A new call, with an address of its own for its callbacks."""
        name = secrets.token_hex(6)
        return Probe(f"call_{name}", self.thread, f"outer_{name}", self.receiver.line())

    async def post(self, url: str, body: Any, *, raw: bytes | None = None, token: bool = True) -> Reply:
        """POST to the server once.

        Args:
            url: the whole address.
            body: any JSON.
            raw: sent in the place of ``body``, for bodies that are no JSON.
            token: whether to send the token.
        """
        return await self._send("POST", url, raw if raw is not None else json.dumps(body).encode(), token)

    async def get(self, url: str, *, token: bool = True) -> Reply:
        """GET from the server once.

        Args:
            url: the whole address.
            token: whether to send the token.
        """
        return await self._send("GET", url, None, token)

    async def _send(self, method: str, url: str, body: bytes | None, token: bool) -> Reply:
        import aiohttp

        headers = {"Authorization": f"Bearer {self.token}"} if self.token and token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        began = time.monotonic()
        within = self.limits.acknowledge
        try:
            async with (
                asyncio.timeout(within),
                self.session.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                # A bounded part: the server under inspection may send without end.
                content = await response.content.read(4 << 20)
                return Reply(response.status, time.monotonic() - began, content, response.content_type)
        except TimeoutError:
            return Reply(0, time.monotonic() - began, problem=f"no answer within {within:g} s")
        except aiohttp.InvalidURL:
            return Reply(0, 0, problem="not a URL that can be called")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(0, time.monotonic() - began, problem=f"cannot reach it: {why(error)}")
