"""The JSON frames of a stream of server-sent events, and how long they are waited for.

``openai`` reads its answers with it. Two waits: before the announced end of a turn silence is a
failure; behind it, where usage and the last frame may come, it is the end.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from infinity.errors import ModelError

from .sdk import SdkCalls
from .sse import EventSplitter

__all__ = ["GRACE", "Frames"]

GRACE = 3.0
"""Seconds after the announced end of a turn in which usage, the last frame and the end of the connection
may still come.
"""
GRACE_COUNTED = 0.5
"""The same once usage has come."""
MOST_SILENCES = 3
"""Heartbeats keep a stream alive for so many stall time-outs without a frame, not for ever."""

_DRAIN_SECONDS = 0.25
_decode = msgspec.json.Decoder().decode


class Frames:
    """The frames of one answer."""

    def __init__(
        self, chunks: AsyncIterator[bytes], calls: SdkCalls, *, deadline: float, stall: float
    ) -> None:
        """Begin to read.

        Args:
            chunks: the body.
            calls: translates the SDK's errors.
            deadline: in the loop's time.
            stall: seconds between two pieces of the body.
        """
        self._chunks = chunks
        self._calls = calls
        self._deadline = deadline
        self._silence = stall * MOST_SILENCES
        self._splitter = EventSplitter()
        self._waiting: deque[bytes] = deque()
        self._over = False

    async def next(self) -> dict[str, Any] | None:
        """The next frame, ``None`` at the end of the stream.

        Raises:
            ModelUnavailable: it breaks, stalls or cannot be read.
        """
        # Heartbeats are no frames: they do not prolong this.
        until = asyncio.get_running_loop().time() + self._silence
        try:
            while not self._waiting and not self._over:
                await self._fill(min(self._deadline, until), until)
            return self._pop()
        except ValueError as error:
            raise self._calls.unavailable(f"the answer cannot be read: {error}") from error

    async def rest(self, seconds: float) -> dict[str, Any] | None:
        """The next frame behind the announced end of a turn.

        Args:
            seconds: how long it is waited for.

        Returns:
            ``None`` if there is none, or none within the time, or the stream breaks.
        """
        until = asyncio.get_running_loop().time() + seconds
        try:
            while not self._waiting and not self._over:
                await self._fill(until, until)
            return self._pop()
        except (ModelError, ValueError):
            # Behind the end nothing is a failure any more.
            self._over = True
            return None

    async def drain(self) -> None:
        """Read to the end of the body, so that the connection can serve the next request; not for long."""
        until = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        try:
            while await self._calls.wait(_one(self._chunks), until):
                pass
        except (ModelError, ValueError):
            pass  # the turn is complete; only the connection is lost

    async def _fill(self, until: float, silent_at: float) -> None:
        try:
            chunk = await self._calls.wait(_one(self._chunks), until)
        except ModelError:
            if self._deadline > silent_at <= asyncio.get_running_loop().time():
                raise self._calls.unavailable(
                    f"no answer within {self._silence:g} s, only signs of life"
                ) from None
            raise
        if chunk is None:
            self._over = True
            chunk = b"\n\n"  # what the stream ends in may be whole
        self._waiting.extend(self._splitter.feed(chunk))

    def _pop(self) -> dict[str, Any] | None:
        if not self._waiting:
            return None
        data = self._waiting.popleft()
        if data.strip() == b"[DONE]":
            self._over = True
            self._waiting.clear()
            return None
        frame = _decoded(data)
        if not isinstance(frame, dict):
            raise ValueError("an event is not a JSON object")
        return frame


def _decoded(data: bytes) -> Any:
    """JSON, also with half of a surrogate pair in it, which some gateways cut (see ``characters``)."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("an event is nested too deeply") from None


async def _one(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
