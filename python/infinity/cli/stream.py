"""A thread's event stream as a command sees it, over restarts of the daemon without gap and without repeat.

``chat`` and ``tail`` follow streams by it. It reconnects by cursor; what the daemon says is damaged is not
asked for again, and a daemon that stays away is given up after ``PATIENCE``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from infinity.backoff import Backoff
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
BACKOFF = Backoff(first=0.25, longest=8.0)
"""Before the next try, while the daemon answers and the stream does not get any further."""
_FINAL = frozenset({"damaged", "too_new"})
"""Codes of errors that no further try changes."""


class Event(NamedTuple):
    """``cursor``: of durable events; ``kind`` is ``disconnected`` or ``connected`` where the stream itself
    changed.

    A ``disconnected`` has its ``reason``, and in ``answered`` whether that is what the daemon said.
    """

    cursor: int | None
    kind: str
    data: dict[str, Any]


def stream_client(home: Home) -> httpx.AsyncClient:
    """A client for streams: silence for longer than ``SILENCE`` counts as a lost connection. Proxies must not
    get the token.
    """
    import httpx

    timeout = httpx.Timeout(10.0, read=SILENCE)
    return httpx.AsyncClient(headers=headers(home), timeout=timeout, trust_env=False)


async def follow(home: Home, thread: str, after: str | None) -> AsyncGenerator[Event, None]:
    """Follow a thread's event stream, over restarts of the daemon.

    Args:
        home: Of the daemon.
        thread: Its id.
        after: The cursor to begin behind; ``None`` is the beginning, ``latest`` only what is new.

    Returns:
        Events, for ever. ``disconnected`` and ``connected`` are of this function's own making.

    Raises:
        Failure: if there is no such thread, if it cannot be read, or if the stream stays away for too long.
    """
    cursor, tries = after, 0
    now = asyncio.get_running_loop().time
    lost: _Lost | None = None
    lost_at, told = 0.0, False
    async with stream_client(home) as client:
        while True:
            began, further = now(), False
            try:
                async with aclosing(_connected(client, home, thread, cursor)) as events:
                    async for event in events:
                        if lost is not None:
                            if not told:
                                yield _disconnected(lost)
                            lost, told = None, False
                            yield Event(None, "connected", {})
                        if event.cursor is not None:
                            cursor, further = str(event.cursor), True
                        if event.kind:
                            yield event
            except _Lost as error:
                first, lost = lost is None, error
                lost_at = now() if first else lost_at
                # Of a thread that was deleted the daemon closes the stream: only the next try says so.
                if not told and not (first and error.closed):
                    told = True
                    yield _disconnected(error)
                if now() - lost_at > PATIENCE:
                    raise _given_up(thread, error) from None
                further = further or not error.answered or now() - began > BACKOFF.longest
            # A connection that brought nothing is a failed try, even if it was made: otherwise a daemon that
            # closes it at once would be asked without a rest.
            tries = 0 if further else tries + 1
            await asyncio.sleep(BACKOFF.wait(tries))


def _disconnected(lost: _Lost) -> Event:
    return Event(None, "disconnected", {"reason": str(lost), "answered": lost.answered})


def _given_up(thread: str, lost: _Lost) -> Failure:
    if lost.answered:
        return Failure(f"the event stream of {thread} did not come back within {PATIENCE:.0f} s: {lost}")
    return Failure(
        f"the daemon did not come back within {PATIENCE:.0f} s; start it with 'infinity daemon start'",
        NOT_RUNNING,
    )


class _Lost(Exception):
    """``answered``: the text is what the daemon said, or did; ``closed``: it ended the stream without a word."""

    def __init__(self, text: str, *, answered: bool = False, closed: bool = False) -> None:
        super().__init__(text)
        self.answered = answered
        self.closed = closed


async def _connected(
    client: httpx.AsyncClient, home: Home, thread: str, cursor: str | None
) -> AsyncGenerator[Event, None]:
    """One connection's events; the first is empty and says that it stands."""
    import httpx

    try:
        address = find_daemon(home).address
        query = {} if cursor is None else {"after": cursor}
        async with client.stream("GET", f"{address}/v1/threads/{thread}/events", params=query) as response:
            if response.status_code != 200:
                await response.aread()
                # The daemon may be starting or stopping; only a refusal ends the command.
                if response.status_code >= 500:
                    raise _refused(thread, response)
                check(response)
            yield Event(None, "", {})
            async for event in parse(lines(response.aiter_bytes())):
                if event.kind == "ended":
                    raise _ended(thread, event.data)
                yield event
    except httpx.TransportError as error:
        raise _Lost(type(error).__name__) from None
    except Failure as error:
        if error.exit_code == NOT_RUNNING:
            raise _Lost(error.message) from None
        raise
    raise _Lost("the daemon closed the stream", answered=True, closed=True)


def _refused(thread: str, response: httpx.Response) -> Exception:
    try:
        return _ended(thread, response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return _Lost(f"the daemon answered HTTP {response.status_code}", answered=True)


def _ended(thread: str, error: dict[str, Any]) -> Exception:
    """What is damaged stays so, however often it is asked for."""
    reason = str(error["message"])
    if error["code"] not in _FINAL:
        return _Lost(reason, answered=True)
    see = "" if "infinity doctor" in reason else ". See 'infinity doctor'"
    return Failure(f"the event stream of {thread} cannot be read any further: {reason}{see}")


async def lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines of a stream, which end in a line feed alone: U+2028, U+0085 and their like are part of what
    somebody said.

    Args:
        pieces: Bytes as they come; a line may lie in several.
    """
    rest: list[bytes] = []
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        for other in others:
            yield b"".join(rest).decode("utf-8", "replace")
            rest = [other]


async def parse(lines: AsyncIterable[str]) -> AsyncIterator[Event]:
    """Read server-sent events as this daemon sends them: one data line each.

    Args:
        lines: As ``lines`` gives them; an empty one ends an event.
    """
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
