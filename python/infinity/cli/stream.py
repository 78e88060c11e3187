"""A thread's event stream as a command sees it: reconnects by cursor, so that a restart of the daemon shows no gap and no repeat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from infinity.local.home import Home

from .connection import check, find_daemon, headers
from .exits import NOT_RUNNING, Failure

if TYPE_CHECKING:
    import httpx

__all__ = ["Event", "follow", "lines", "parse", "stream_client"]

PATIENCE = 60.0
"""Seconds that a vanished daemon gets to come back."""
SILENCE = 45.0
"""Seconds without even a comment after which a connection counts as dead; the daemon sends one every 15."""


class Event(NamedTuple):
    """``cursor``: of durable events; ``kind`` is ``disconnected`` or ``connected`` where the stream itself changed."""

    cursor: int | None
    kind: str
    data: dict[str, Any]


def stream_client(home: Home) -> httpx.AsyncClient:
    import httpx

    timeout = httpx.Timeout(10.0, read=SILENCE)
    return httpx.AsyncClient(headers=headers(home), timeout=timeout, trust_env=False)


async def follow(home: Home, thread: str, after: str | None) -> AsyncGenerator[Event, None]:
    """Events behind the cursor ``after`` (``None``: all, ``latest``: only new ones), for ever. ``Failure`` if there is no such thread."""
    cursor = after
    async with stream_client(home) as client:
        lost_at: float | None = None
        while True:
            try:
                async with aclosing(_connected(client, home, thread, cursor)) as events:
                    async for event in events:
                        if lost_at is not None:
                            lost_at = None
                            yield Event(None, "connected", {})
                        if event.cursor is not None:
                            cursor = str(event.cursor)
                        if event.kind:
                            yield event
            except _Lost as lost:
                now = asyncio.get_running_loop().time()
                if lost_at is None:
                    lost_at = now
                    yield Event(None, "disconnected", {"reason": str(lost)})
                if now - lost_at > PATIENCE:
                    raise Failure(
                        f"the daemon did not come back within {PATIENCE:.0f} s; start it with 'infinity daemon start'",
                        NOT_RUNNING,
                    ) from None
            await asyncio.sleep(0.25)


class _Lost(Exception):
    pass


async def _connected(
    client: httpx.AsyncClient, home: Home, thread: str, cursor: str | None
) -> AsyncGenerator[Event, None]:
    """One connection's events; the first is empty and says that it stands."""
    import httpx

    try:
        address = find_daemon(home).address
        query = {} if cursor is None else {"after": cursor}
        async with client.stream("GET", f"{address}/v1/threads/{thread}/events", params=query) as response:
            if response.status_code >= 500:
                raise _Lost(f"HTTP {response.status_code}")
            if response.status_code != 200:
                await response.aread()
                check(response)
            yield Event(None, "", {})
            async for event in parse(lines(response.aiter_bytes())):
                yield event
    except httpx.TransportError as error:
        raise _Lost(type(error).__name__) from None
    except Failure as error:
        if error.exit_code == NOT_RUNNING:
            raise _Lost(error.message) from None
        raise
    raise _Lost("the daemon closed the stream")


async def lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines of a stream, which end in ``\\n`` alone: U+2028, U+0085 and their like are part of what somebody said."""
    rest: list[bytes] = []
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        for other in others:
            yield b"".join(rest).decode("utf-8", "replace")
            rest = [other]


async def parse(lines: AsyncIterable[str]) -> AsyncIterator[Event]:
    """Server-sent events, as this daemon sends them: one data line each."""
    kind, data, cursor = "", "", None
    async for line in lines:
        if not line:
            if kind:
                yield Event(cursor, kind, json.loads(data))
            kind, data, cursor = "", "", None
            continue
        field, _, value = line.partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            data = value
        elif field == "id":
            cursor = int(value)
