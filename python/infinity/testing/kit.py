"""A whole agent in a test: the real runtime and journal, a scripted model, tool servers if need be, and
time that passes when the test says so.

::

    async with Kit(tmp_path / "agent.db", Agent(tools=[parcels]), script) as kit:
        chat = await kit.conversation() assert await chat.ask("How many parcels left on Monday?") == "12
        parcels left on Monday." await kit.advance(days=3) await kit.crash()

It is put together like every host on this machine (``local/assembly.py``). Tests wait for conditions,
never for moments: ``rest``, ``until`` and ``hears`` return as soon as what they wait for is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from infinity._core import entry_json
from infinity.abc import Model, ModelInfo, ModelRequest, Models, Part
from infinity.agent import Agent
from infinity.explanation import Explanation
from infinity.local import callback_server
from infinity.local.assembly import GRACE, Assembly, HostedStore, journal_at, url_of
from infinity.message import Action
from infinity.models.prompt_view import text_of
from infinity.models.script import Script
from infinity.models.scripted import ScriptedModel
from infinity.ports import free_port
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.runtime import Runtime
from infinity.stores.sqlite.wakeup import Wakeup

from .clock import VirtualClock
from .messages_rules import check
from .replies import body_of
from .tool_server import ToolServer

__all__ = ["CheckedModel", "Conversation", "Kit"]

PATIENCE = 30.0
"""Seconds of real time after which something that should happen is taken never to happen."""

Entry = dict[str, Any]


class CheckedModel(Models):
    """Any model, under every name.

    It keeps the requests, and in ``violations`` what the real API would have refused (I4).
    """

    def __init__(self, model: Model) -> None:
        """Stand in front of a model.

        Args:
            model: answers.
        """
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self._model = model

    def resolve(self, name: str) -> tuple[CheckedModel, ModelInfo]:
        return self, ModelInfo(name or "test/model", "test", "model")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        body = body_of(request)
        self.requests.append(body)
        self.violations += check(body)
        async with aclosing(self._model.stream(request)) as parts:  # type: ignore[type-var]
            async for part in parts:
                yield part

    async def list(self) -> list[ModelInfo]:
        return await self._model.list()

    async def close(self) -> None:
        await self._model.close()


class Kit:
    """An agent on a journal of its own. Everything is real but the model and the clock.

    Use it as an asynchronous context manager. Leaving the block raises ``AssertionError`` if the real
    API would have refused a request.
    """

    def __init__(
        self,
        path: Path | str,
        agent: Agent | None = None,
        model: Script | Model | None = None,
        *,
        servers: Sequence[ToolServer] = (),
    ) -> None:
        """Take the parts; entering the block starts them.

        Args:
            path: the journal's file; one that is there is gone on with.
            agent: instructions, tools, limits; the default agent if not given.
            model: a ``Script`` or any model; without one the default script.
            servers: fake tool servers, started by the caller.
        """
        self.clock = VirtualClock()
        self.runtime: Runtime
        self.path = Path(path)
        self.agent = agent or Agent()
        """Another one counts from the next start on, as ``servers`` do: what a new version makes of an old
        journal.
        """
        self.servers = list(servers)
        self.model: CheckedModel = CheckedModel(
            ScriptedModel(model) if isinstance(model, Script | None) else model
        )
        # Kept over crashes, as a daemon keeps it: answers to earlier calls still arrive (L19).
        self._port = free_port()

    # life

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        await self.model.close()
        if error is None:
            # The test's own failure, if it has one, says more than this.
            self._require_valid()

    async def stop(self, grace: float = GRACE) -> None:
        """As a process ends: slices in progress get ``grace`` seconds.

        Time may pass and files may change until ``start``.
        """
        await self._assembly.close(grace)

    async def crash(self) -> None:
        """Lose everything that is in memory, slices and deliveries in progress included, and start again
        on the same journal.
        """
        await self.stop(0)
        await self.start()

    async def start(self) -> Self:
        """Go on with the journal that is there. A block of ``async with`` starts by itself."""
        self._assembly = assembly = Assembly(self.agent.settings)
        try:
            await assembly.open(self._open_store)
            self.runtime = await assembly.runtime(
                Runtime, url=url_of("127.0.0.1", self._port), clock=self.clock, **self._parts()
            )
            await self._begin()
        except BaseException:
            await assembly.close(0)
            raise
        return self

    async def _open_store(self, wakeup: Wakeup) -> HostedStore:
        return await journal_at(self.path)(wakeup)

    def _parts(self) -> dict[str, Any]:
        """Arguments of ``Runtime``, but for those that every host on this machine has."""
        addresses = [Server(url) for url in (*self.agent.toolsets, *(each.base_url for each in self.servers))]
        return {
            "models": self.model,
            "transport": HttpTransport(addresses),
            "toolsets": Toolsets(addresses),
            "functions": self.agent.tools,
        }

    async def _begin(self, suspect: str | None = None) -> None:
        await callback_server.start(self._assembly, self.runtime, "127.0.0.1", self._port, suspect)

    # talking

    async def conversation(self, text: str | None = None, *, id: str | None = None) -> Conversation:  # noqa: A002  what users write by name
        """A new root thread. An ``id`` that is there already is that thread.

        Args:
            text: its first message, accepted when this returns.
            id: of the thread; made up if not given.
        """
        made = Conversation(self, await self.runtime.create(id=id))
        if text is not None:
            await made.say(text)
        return made

    # time

    async def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Let time pass, from one thing that is due to the next, and everything happen that happens
        meanwhile.

        Args:
            days: 24 hours each.
            hours: added to them.
            minutes: added to them.
            seconds: added to them.
        """
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        until = self.clock.now() + int(span.total_seconds() * 1000)
        await self.rest()
        # Step by step, so that what wakes at one moment may set a timer for the next.
        while (due := self.clock.next_due()) is not None and due <= until:
            self.clock.advance(max(0, due - self.clock.now()) / 1000)
            await self.rest()
        self.clock.advance((until - self.clock.now()) / 1000)
        await self.rest()

    async def rest(self) -> None:
        """Wait until nothing happens any more without a message, an answer or time."""
        await self.until(self._rests, "rest")

    async def until(
        self, condition: Callable[[], bool | Awaitable[bool]], what: str = "sign of what was waited for"
    ) -> None:
        """Wait for a condition, in real time.

        Args:
            condition: a function, plain or async.
            what: did not come, for the failure.

        Raises:
            AssertionError: it did not come within 30 s.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    holds = condition()
                    if await holds if isinstance(holds, Awaitable) else holds:
                        return
                    self._require_valid()
                    # Gives way to the journal and the loop; bounded by the time-out above.
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise AssertionError(
                f"no {what} within {PATIENCE:g} s; running: {self.runtime.running or 'nothing'}"
            ) from None

    async def _rests(self) -> bool:
        store = self.runtime.store
        next_timer = await store.next_timer()
        # Due and not fired yet: the runtime is about to.
        if next_timer is not None and next_timer <= self.clock.now():
            return False
        # Before the last line: a delivery that backs off is running, and would never come to rest by itself.
        if self.clock.sleeping():
            return True  # a back-off waits for time, and time is the test's
        return not (self.runtime.running or len(self.runtime.outbox) or await store.inbox())

    def _require_valid(self) -> None:
        if self.model.violations:
            raise AssertionError(f"the real API would refuse a request: {self.model.violations}")


class Conversation:
    """One thread, as someone who talks to it sees it."""

    def __init__(self, kit: Kit, thread: str) -> None:
        """Look at a thread.

        Args:
            kit: that it lives in.
            thread: its id.
        """
        self.id = thread
        self._kit = kit

    async def say(self, text: str, *, key: str | None = None, user_id: str | None = None) -> None:
        """User text; durable when this returns.

        Args:
            text: what is said.
            key: the same key again counts once.
            user_id: on whose behalf (S11).
        """
        await self._kit.runtime.send(self.id, text, key=key, user_id=user_id)

    async def ask(self, text: str) -> str:
        """User text, and what the agent said last when the thread rests again, its tool calls included.

        Args:
            text: what is said.

        Raises:
            AssertionError: it did not rest within 30 s; the text says what it waits for.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._kit.runtime.ask(self.id, text)
        except TimeoutError:
            waits = "; ".join(reason.text for reason in (await self.status()).reasons) or "nothing"
            raise AssertionError(
                f"{self.id} did not rest within {PATIENCE:g} s; it waits for: {waits}"
            ) from None

    async def hears(self, text: str) -> str:
        """Wait until the agent has said this.

        Args:
            text: a part of a turn.

        Returns:
            The whole of that turn's text.
        """
        found: list[str] = []

        async def said() -> bool:
            found[:] = [each for each in await self.said() if text in each]
            return bool(found)

        await self._kit.until(said, f"turn with {text!r} in {self.id}")
        return found[0]

    async def said(self) -> list[str]:
        """Everything that the agent said, turn by turn."""
        spoken = [_texts(entry["assistant"]) for entry in await self.history() if entry["kind"] == "turn"]
        return [text for text in spoken if text]

    async def events(self) -> list[str]:
        """What subscriptions, late results and children told, in order."""
        return [
            text_of(block)
            for entry in await self.history()
            if entry["kind"] == "event"
            for block in entry["user"]
            if block["type"] == "tool_result"
        ]

    async def history(self) -> list[Entry]:
        """All entries: ``kind``, ``user`` and ``assistant`` blocks, ``meta``."""
        records = await self._kit.runtime.store.entries(self.id)
        return [msgspec.json.decode(entry_json(record)) for _, record in records]

    async def status(self) -> Explanation:
        """What it waits for (I7)."""
        return await self._kit.runtime.explain(self.id)

    async def prompts(self) -> list[dict[str, Any]]:
        """Open questions to the user: ``prompt``, ``choices``, ``call_id``, …, and ``id``."""
        rows = await self._kit.runtime.store.prompts(self.id)
        return [{"id": row.id, **msgspec.json.decode(row.body)} for row in rows]

    async def choose(self, selected: int | None) -> None:
        """Answer the open question. Waits for the question.

        Args:
            selected: the index of the choice; ``None`` dismisses the question.
        """
        open_prompts: list[dict[str, Any]] = []

        async def asked() -> bool:
            open_prompts[:] = await self.prompts()
            return bool(open_prompts)

        await self._kit.until(asked, f"question in {self.id}")
        await self._kit.runtime.choose(self.id, open_prompts[0]["id"], selected)

    async def interrupt(self) -> None:
        """End what the agent is doing, as a user does."""
        await self._kit.runtime.control(self.id, Action.INTERRUPT)

    async def children(self) -> list[Conversation]:
        """Its child threads, oldest first."""
        rows = await self._kit.runtime.store.threads(parent=self.id)
        return [Conversation(self._kit, row.id) for row in sorted(rows, key=lambda row: row.created_at)]


def _texts(blocks: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in blocks if block["type"] == "text").strip()
