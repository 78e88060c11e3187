"""A client's view of a thread: its event stream, followed across crashes by cursor, and never allowed a gap or a repeat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from .daemon import PATIENCE


class Seen(NamedTuple):
    """``position`` is ``None`` for live events."""

    position: int | None
    kind: str
    data: dict[str, Any]


class Watch:
    """Follows ``GET /v1/threads/{id}/events``; reconnects with ``Last-Event-ID`` whenever the connection is lost."""

    def __init__(self, session: aiohttp.ClientSession, thread: str, *, after: int = -1) -> None:
        self.thread = thread
        self.events: list[Seen] = []
        """Durable events, in order, each once."""
        self.live: list[Seen] = []
        self.connections: list[list[Seen]] = []
        """What each connection brought, durable or live, in order."""
        self.cursor = after
        self._session = session
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._follow(), name=f"watch {thread}")

    async def until(self, condition: Callable[[Seen], bool], what: str) -> Seen:
        """The first event for which the condition holds, durable or live, past or to come."""

        def found() -> Seen | None:
            return next((seen for seen in [*self.events, *self.live] if condition(seen)), None)

        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(lambda: found() is not None or self._task.done())
        except TimeoutError:
            raise AssertionError(
                f"no {what} in {self.thread} within {PATIENCE:g} s; {self._story()}"
            ) from None
        if (seen := found()) is None:
            self._task.result()
        assert seen is not None, f"no {what} in {self.thread}; {self._story()}"
        return seen

    async def said(self, text: str) -> Seen:
        """Wait until the agent has said this, durably."""
        return await self.until(lambda seen: text in turn_text(seen), f"turn {text!r}")

    async def noted(self, kind: str, **fields: Any) -> Seen:
        return await self.until(
            lambda seen: (
                seen.position is not None and seen.kind == kind and fields.items() <= seen.data.items()
            ),
            f"{kind} {fields}",
        )

    def turns(self) -> int:
        return sum(seen.kind == "entry" and seen.data["kind"] == "turn" for seen in self.events)

    async def reached(self, cursor: int) -> None:
        await self.until(
            lambda seen: seen.position is not None and seen.position >= cursor, f"event {cursor}"
        )

    async def close(self) -> None:
        self._task.cancel()
        results = await asyncio.gather(self._task, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    await self._connection()
                except (aiohttp.ClientError, OSError, TimeoutError):
                    await asyncio.sleep(0.01)  # nobody is there; again, soon
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _connection(self) -> None:
        headers = {} if self.cursor < 0 else {"Last-Event-ID": str(self.cursor)}
        async with self._session.get(f"/v1/threads/{self.thread}/events", headers=headers) as response:
            if response.status != 200:
                raise aiohttp.ClientError(f"status {response.status}")
            self.connections.append([])
            frame: dict[str, str] = {}
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    frame[name] = value
                    continue
                if "data" in frame:
                    await self._take(frame)
                frame = {}

    async def _take(self, frame: dict[str, str]) -> None:
        position = int(frame["id"]) if "id" in frame else None
        await self._see(Seen(position, frame["event"], json.loads(frame["data"])))

    async def _see(self, seen: Seen) -> None:
        self.connections[-1].append(seen)
        position = seen.position
        async with self._changed:
            if position is None:
                self.live.append(seen)
            else:
                assert position == self.cursor + 1, (
                    f"{self.thread}: event {position} came after event {self.cursor}"
                )
                self.cursor = position
                self.events.append(seen)
            self._changed.notify_all()

    def _story(self) -> str:
        return "so far: " + "; ".join(
            f"{seen.position} {seen.kind} {json.dumps(seen.data)[:160]}" for seen in self.events[-12:]
        )


def turn_text(seen: Seen) -> str:
    """What a committed turn says; empty for everything else."""
    if seen.position is None or seen.kind != "entry" or seen.data["kind"] != "turn":
        return ""
    return "".join(block["text"] for block in seen.data["assistant"] if block["type"] == "text")
