"""The public kit as the project's own tests use it: a model that answers with the turns a test says, and waits by a thread's id."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.patience import PATIENCE as SOON

from infinity import Agent
from infinity._core import entry_json
from infinity.abc import ModelRequest, Part, Text, Turn
from infinity.callback_keys import META
from infinity.feed import FeedEvent
from infinity.ids import CountedIds, Ids
from infinity.settings import Settings
from infinity.testing import kit
from infinity.testing.kit import Kit
from infinity.testing.messages_rules import check
from infinity.testing.replies import OneModel, Reply
from infinity.testing.tool_server import ToolServer

kit.PATIENCE = SOON


class Replies(OneModel):
    """Answers in turn, and refuses what the real API would refuse (I4)."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.asked = asyncio.Condition()
        self._by_cause: list[tuple[str, Reply]] = []
        self._replies: deque[Reply] = deque()
        self._paused = False

    def then(self, *replies: Reply) -> Replies:
        self._replies.extend(replies)
        return self

    def when(self, needle: str, reply: Reply) -> Replies:
        """Answer the next request whose last message contains the text; for threads that run at once."""
        self._by_cause.append((needle, reply))
        return self

    async def reply_to(self, request: ModelRequest, body: dict[str, Any]) -> Reply:
        problems = check(body, paused=body["messages"][-1:] if self._paused else [])
        self.violations += problems
        assert not problems, f"the real API would refuse this request: {problems}\n{body['messages']}"
        reply = self._reply(body)
        async with self.asked:
            self.requests.append(body)
            self.asked.notify_all()
        return reply

    def said(self, turn: Turn) -> None:
        self._paused = turn.stop_reason == "pause_turn"

    def _reply(self, body: dict[str, Any]) -> Reply:
        last = msgspec.json.encode(body["messages"][-1]).decode()
        for index, (needle, reply) in enumerate(self._by_cause):
            if needle in last:
                del self._by_cause[index]
                return reply
        assert self._replies, f"the model was asked once too often: {last}"
        return self._replies.popleft()

    async def request(self, count: int) -> dict[str, Any]:
        """The ``count``-th request; waits for it."""
        async with asyncio.timeout(SOON), self.asked:
            await self.asked.wait_for(lambda: len(self.requests) >= count)
        return self.requests[count - 1]


class Streaming:
    """A reply that shows text, then waits until the test lets it go on."""

    def __init__(self, shown: str, turn: Turn) -> None:
        self._shown, self._turn = shown, turn
        self.started, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: dict[str, Any]) -> AsyncIterator[Part]:
        yield Text(self._shown)
        self.started.set()
        await self.go_on.wait()
        yield self._turn


class World(Kit):
    """The kit with a model that answers in turn, counted ids, and questions by a thread's id."""

    def __init__(self, path: Path, agent: Agent | None = None, *, servers: Sequence[ToolServer] = ()) -> None:
        super().__init__(path, agent, servers=servers)
        self.model: Any = Replies()
        self.ids: Ids = CountedIds()
        self.observer: Any = None
        self.watch: Any = None
        self.suspect: str | None = None
        """The thread that the next start is told of."""
        self.sole_writer = True

    async def close(self) -> None:
        await self.__aexit__(None, None, None)

    async def restart(self) -> None:
        await self.stop(0)
        await self.start()

    async def another_host(self) -> None:
        """From the next start on this is another host: the keys of callback URLs that were given out are not its own."""
        await self.store.put_meta(META, b"[]")

    def _parts(self) -> dict[str, Any]:
        more = {"ids": self.ids, "observer": self.observer, "watch": self.watch}
        return {**super()._parts(), **more, "sole_writer": self.sole_writer}

    async def _begin(self, suspect: str | None = None) -> None:
        self._made()
        suspect, self.suspect = self.suspect, None
        await super()._begin(suspect)

    def _made(self) -> None:
        """The runtime is there, and nothing of it runs yet."""

    @property
    def settings(self) -> Settings:
        return self.agent.settings

    @property
    def store(self) -> Any:
        return self.runtime.store

    @property
    def mailbox(self) -> Any:
        return self._assembly.mailbox

    # what tests ask

    async def thread(self, text: str | None = None) -> str:
        thread = await self.runtime.create()
        if text is not None:
            await self.runtime.send(thread, text)
        return thread

    async def event(
        self, thread: str, condition: Callable[[FeedEvent, dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """The first durable event of the thread for which the condition holds."""
        async with asyncio.timeout(SOON):
            async for event in self.runtime.watch(thread):
                data = msgspec.json.decode(event.data)
                if event.position is not None and condition(event, data):
                    return dict(data)
        raise AssertionError("the stream ended")

    async def said(self, thread: str, text: str) -> dict[str, Any]:
        """Wait until the agent has said this in the thread."""
        return await self.event(
            thread,
            lambda event, data: (
                event.kind == "entry" and data["kind"] == "turn" and text in str(data["assistant"])
            ),
        )

    async def noted(self, thread: str, kind: str, **fields: Any) -> dict[str, Any]:
        return await self.event(
            thread, lambda event, data: event.kind == kind and fields.items() <= data.items()
        )

    async def settled(self, thread: str) -> None:
        """Wait until no slice of the thread runs and nothing is queued for it."""
        await self.until(lambda: thread not in self.runtime.running and not self.mailbox.queued(thread))

    async def history(self, thread: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(entry_json(record)) for _, record in await self.store.entries(thread)]

    async def kinds(self, thread: str) -> list[str]:
        return [entry["kind"] for entry in await self.history(thread)]
