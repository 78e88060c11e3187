"""One runtime with its real parts (journal, mailboxes, HTTP to a real tool server) and a model that answers what the test says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from tests.patience import PATIENCE as SOON

from infinity._core import Journal, Mailboxes, Wake, entry_json
from infinity.abc import ModelRequest, Part, Store, Text, Turn
from infinity.errors import BadRequest
from infinity.feed import Feed, FeedEvent
from infinity.ids import CountedIds, Ids
from infinity.local.mailboxes import LocalMailbox
from infinity.rap.address import Server
from infinity.rap.capability import Capabilities
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.runtime import Runtime
from infinity.settings import Settings
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup
from infinity.testing.clock import VirtualClock
from infinity.testing.messages_rules import check
from infinity.testing.replies import OneModel, Reply
from infinity.testing.tool_server import ToolServer


class Replies(OneModel):
    """Answers in turn, and refuses what the real API would refuse (I4)."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
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


class World:
    """``runtime`` and everything around it. ``restart`` abandons what is in memory, as a crash does, and opens the same journal again."""

    def __init__(
        self, path: Path, *, settings: Settings | None = None, servers: Sequence[ToolServer] = ()
    ) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.model = Replies()
        self.settings = settings or Settings()
        self.servers = list(servers)
        self.functions: Sequence[Any] = ()
        self.key = b"k" * 32
        """Of callback URLs; with another one the world is another host."""
        self.ids: Ids = CountedIds()
        self.observer: Any = None
        self.watch: Any = None
        self.suspect: str | None = None
        """The thread that the next start is told of."""
        self.sole_writer = True
        self.runtime: Runtime
        self._stack = AsyncExitStack()
        self._port = 0

    async def start(self) -> World:
        await self._listen()
        await self._open()
        return self

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_post("/callback/{token}", self._callback)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._stack.push_async_callback(runner.cleanup)
        self._port = runner.addresses[0][1]

    async def _callback(self, request: web.Request) -> web.Response:
        try:
            thread, call_id = self.runtime.capabilities.open(request.match_info["token"])
            accepted = await self.runtime.accept_callback(thread, call_id, await request.read())
        except BadRequest as error:
            return web.json_response({"error": str(error)}, status=400)
        status = 200 if accepted.status in ("accepted", "duplicate", "discarded") else 409
        return web.json_response({"status": accepted.status}, status=status)

    async def _open(self) -> None:
        self._wakeup = Wakeup(Wake())
        self.store = await self._open_store()
        self.mailbox = LocalMailbox(Mailboxes(self._wakeup.wake), self._wakeup, self.store.inbox)
        self._wakeup.start()
        self.runtime = Runtime(
            store=self.store,
            mailbox=self.mailbox,
            models=self.model,
            transport=HttpTransport(),
            toolsets=Toolsets([Server(each.base_url) for each in self.servers]),
            capabilities=Capabilities([self.key], f"http://127.0.0.1:{self._port}"),
            clock=self.clock,
            ids=self.ids,
            feed=Feed(self.store),
            settings=self.settings,
            functions=self.functions,
            observer=self.observer,
            sole_writer=self.sole_writer,
            watch=self.watch,
        )
        self._made()
        await self.runtime.start(self.suspect)
        self.suspect = None

    def _made(self) -> None:
        """The runtime is there, and nothing of it runs yet."""

    async def _open_store(self) -> Store:
        return JournalStore(Journal.open(str(self.path), self._wakeup.wake), self._wakeup)

    async def _shut(self, grace: float) -> None:
        await self.runtime.stop(grace)
        await self.mailbox.close()
        await self.store.close()
        self._wakeup.stop()

    async def restart(self) -> None:
        await self._shut(0)
        await self._open()

    async def close(self) -> None:
        await self._shut(5)
        await self._stack.aclose()

    # what tests ask

    async def thread(self, text: str | None = None) -> str:
        thread = await self.runtime.create()
        if text is not None:
            await self.runtime.send(thread, text)
        return thread

    async def until(
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
        return await self.until(
            thread,
            lambda event, data: (
                event.kind == "entry" and data["kind"] == "turn" and text in str(data["assistant"])
            ),
        )

    async def noted(self, thread: str, kind: str, **fields: Any) -> dict[str, Any]:
        return await self.until(
            thread, lambda event, data: event.kind == kind and fields.items() <= data.items()
        )

    async def settled(self, thread: str) -> None:
        """Wait until no slice of the thread runs and nothing is queued for it."""
        await self.eventually(lambda: thread not in self.runtime.running and not self.mailbox.queued(thread))

    async def eventually(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        async with asyncio.timeout(SOON):
            while True:
                result = condition()
                if await result if isinstance(result, Awaitable) else result:
                    return
                # Yields to the loop until the journal's next signal at the latest; bounded by the time-out above.
                await asyncio.sleep(0.001)

    async def history(self, thread: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(entry_json(record)) for _, record in await self.store.entries(thread)]

    async def kinds(self, thread: str) -> list[str]:
        return [entry["kind"] for entry in await self.history(thread)]
