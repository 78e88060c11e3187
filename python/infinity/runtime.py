"""The runtime: one engine with its store, mailboxes, models and tools, as hosts and programs use it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

from infinity._core import Message
from infinity.abc import (
    Accepted,
    Alarm,
    Catalog,
    Clock,
    Expect,
    Mailbox,
    Models,
    Observer,
    Store,
    Tombstone,
    queued,
)
from infinity.asking import ask
from infinity.engine.attempts import Attempts
from infinity.engine.callbacks import Callbacks
from infinity.engine.choices import Choices
from infinity.engine.conversations import Conversations
from infinity.engine.deletions import Deletions
from infinity.engine.held_back import HeldBack
from infinity.engine.inbox import Inbox
from infinity.engine.loop import Loop
from infinity.engine.missing import known
from infinity.engine.outbox import Outbox
from infinity.engine.probes import Probes
from infinity.engine.rate_limit import RateLimiter
from infinity.engine.retention import Retention
from infinity.engine.services import Services
from infinity.engine.slices import Slices
from infinity.engine.timers import Timers
from infinity.engine.trees import Trees
from infinity.engine.watched import Unwatched, Watch
from infinity.errors import (
    InfinityError,
)
from infinity.explanation import Explanation, Here, explain, with_functions
from infinity.feed import Feed, FeedEvent
from infinity.ids import Ids, RandomIds
from infinity.message import (
    Action,
    Block,
    Result,
)
from infinity.rap.capability import Capabilities
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.removed_servers import RemovedServers
from infinity.settings import Settings
from infinity.supervision import tend
from infinity.tools.catalog import TreeCatalog, TreeCatalogs
from infinity.tools.functions import Functions, ToolLike
from infinity.toolsets import RapWire, Routes, ToolServers

log = logging.getLogger("infinity.runtime")


class Runtime:
    """Accepts messages, runs slices, delivers what they record. Host-independent: a host brings the contracts of ``infinity.abc``.

    Everything raises ``infinity.errors``; a ``StoreError`` means that nothing happened.
    """

    def __init__(
        self,
        *,
        store: Store,
        mailbox: Mailbox,
        models: Models,
        transport: HttpTransport,
        toolsets: Toolsets,
        capabilities: Capabilities,
        clock: Clock,
        feed: Feed,
        settings: Settings,
        ids: Ids | None = None,
        functions: Sequence[ToolLike] = (),
        observer: Observer | None = None,
        sole_writer: bool = True,
        alarm: Alarm | None = None,
        watch: Watch | None = None,
    ) -> None:
        """``observer`` stands in front of ``feed`` (tracing, crash gates) and must pass on what it gets. ``watch`` hears of every step of a slice.

        ``alarm``: for hosts that exit between slices; without it ``clock`` wakes this process.
        """
        self.store = store
        self.feed = feed
        self.observer = observer if observer is not None else feed
        self.settings = settings
        self.models = models
        models.keep_in(store)
        self.servers = ToolServers(toolsets)
        self.capabilities = capabilities
        self._mailbox = mailbox
        self._clock = clock
        self._ids = ids or RandomIds()
        self._ending: asyncio.Task[None] | None = None
        self._functions = own = Functions(functions, self._record, settings, clock.sleep)
        self._transport = Routes(transport, own)
        self.catalogs = TreeCatalogs(store, [self.servers, own], alone=sole_writer)
        services = Services(
            store=store,
            mailbox=mailbox,
            models=models,
            catalogs=self.catalogs,
            transport=self._transport,
            wire=RapWire(self.servers, capabilities, transport),
            clock=clock,
            ids=self._ids,
            observer=self.observer,
            settings=settings,
            rate_limiter=RateLimiter(settings.limits.requests_per_minute),
            attempts=Attempts(store, clock),
            probes=Probes(store, mailbox, clock),
            watch=watch or Unwatched(),
        )
        self.probes = services.probes
        self._owned = services.owned
        self.outbox = Outbox(services)
        self.timers = Timers(services)
        self.slices = Slices(services, self.outbox, alarm or self.timers, sole_writer=sole_writer)
        self.loop = Loop(services, self.slices)
        self._held_back = HeldBack(services)
        self._inbox = Inbox(services, self._held_back)
        self._callbacks = Callbacks(services, self._inbox, sole_writer=sole_writer)
        self._choices = Choices(store, self._inbox, services.catalogs)
        self._trees = Trees(services, self._inbox, self.loop, self.outbox, self.timers, self._held_back)
        self._conversations = Conversations(
            services, self._inbox, self.slices, self.loop, self._trees, self._held_back
        )
        self.damage: dict[str, str] = {}
        """Threads of which damaged entries have been read here, and what was said of them."""
        self.deletions = Deletions(services, self.loop, self.outbox, self._forget)
        self.retention = Retention(services, self.deletions)

    # life

    async def start(self, suspect: str | None = None) -> None:
        """Go on where the last process ended: requeue the inbox, arm the timers, resend the outbox, at once (L15).

        A process that ended without ``stop`` may have bought what it could not record: that is one attempt for every thread with messages (I12).
        ``suspect``: the thread whose slice held the event loop until that process was ended. It runs nothing until a person resumes it.
        """
        await self.store.begin(self._clock.now())
        await self._hold_back(suspect)
        async for messages in queued(self.store):
            self._mailbox.put(messages)
            for message in messages:
                self._held_back.waits(message.thread)
        self.loop.start()
        await self.timers.start()
        await self.outbox.start()
        await self.probes.start()
        await self.deletions.start()
        self.retention.start()
        self._ending = tend(self._end_removed, "calls of removed tool servers", sleep=self._clock.sleep)

    async def _hold_back(self, suspect: str | None) -> None:
        await self._held_back.recall()
        committed = await self._held_back.add(suspect) if suspect is not None else None
        await self.loop.suspend(self._held_back.threads)
        if committed is not None:
            self.slices.follow(committed)

    async def _end_removed(self) -> None:
        await self.end_removed()

    async def end_removed(self) -> int:
        """End the calls, questions and subscriptions of tool servers that are not configured any more; how many those were. Without such, one look-up."""
        return await RemovedServers(self, self.servers.toolsets).end(self._clock.now())

    async def stop(self, grace: float = 5.0) -> None:
        """Take nothing more, let slices commit for ``grace`` seconds; whatever is left is on record and goes on at the next start (L17)."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait([self._ending])
        await self.retention.stop()
        await self.deletions.stop()
        await self.timers.stop()
        await self.probes.stop()
        await self.loop.stop(grace)
        await self.outbox.stop(grace)
        self.feed.close()
        await self.catalogs.stop()
        await self.servers.toolsets.close()
        await self._transport.close()

    def hold(self) -> None:
        """Begin no slice and no delivery until ``go_on``: whether this process still owns its store is not known (R12)."""
        self._owned.clear()

    def go_on(self) -> None:
        self._owned.set()

    def halt(self) -> None:
        """Somebody else owns the store: end every slice and every delivery at this moment. ``stop`` follows."""
        self.outbox.halt()
        self.loop.halt()

    @property
    def held_back(self) -> list[str]:
        """Threads that run nothing until a person resumes them, because a slice of theirs held the event loop until the process was ended."""
        return sorted(self._held_back.threads)

    @property
    def running(self) -> set[str]:
        """Threads whose slice runs now."""
        return set(self.slices.running)

    # threads

    async def create(self, *, model: str | None = None, title: str = "", id: str | None = None) -> str:  # noqa: A002  what users write by name
        """A new root thread; its id. An ``id`` of the caller's own makes the call repeatable: an existing thread is left as it is."""
        return await self._conversations.create(model, title, id)

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted:
        """User text for a thread. Durable when this returns; ``key`` makes a repeat harmless (I3). ``UnknownThread`` if there is none."""
        return await self._conversations.send(thread, content, key, user_id)

    async def fork(
        self,
        thread: str,
        at: int,
        *,
        model: str | None = None,
        title: str = "",
        tools: str = "ask",
        id: str | None = None,  # noqa: A002  what users write by name
    ) -> str:
        """A thread of the same conversation that goes on from before the entry at ``at`` another way; its id.

        ``tools``: ``ask`` (every call of a tool is to be allowed first), ``deny``, or ``as_configured``. ``id`` makes the call repeatable, and begins
        with ``fork_``. What is said to it wakes it.

        Raises:
            NoFork: no fork can begin there; the text says why.
        """
        return await self._conversations.fork(thread, at, model, title, tools, id)

    async def reopen(self, thread: str) -> bool:
        """Open a root thread again that its model closed under an earlier version (THR-4); whether it is open now."""
        return await self._conversations.reopen(thread)

    async def control(
        self, thread: str, action: Action, argument: str | None = None, *, key: str | None = None
    ) -> Accepted:
        """Interrupt, stop, resume, close, compact, or change the model. An interrupt or stop also ends the running stream at once."""
        return await self._conversations.control(thread, action, argument, key)

    async def resume_all(self, problem: str | None = None) -> list[str]:
        """Resume every thread that rests with a problem; ``problem``: its code, and only those. Stopped threads stay stopped. Their ids."""
        return await self._conversations.resume_all(problem)

    async def choose(
        self,
        thread: str,
        choice_id: str,
        selected: int | None,
        *,
        user_id: str | None = None,
        reason: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Accepted:
        """Answer a pending prompt of the thread, or of any thread of its tree if it is a root (CHO-4); ``None`` dismisses it, which selects its
        default (CHO-1). ``reason``: why a call is not allowed, for the model. ``arguments``: with which it is allowed, in place of the model's,
        where the policy lets people change them.

        Raises:
            BadRequest: there is no such prompt or choice, a reason or arguments where none are due, or arguments that the tool does not take.
            AlreadyAnswered: it has another answer already.
        """
        return await self._choices.choose(
            thread, choice_id, selected, user_id=user_id, reason=reason, arguments=arguments
        )

    async def ask(self, thread: str, content: str | list[Block], *, user_id: str | None = None) -> str:
        """Send user text and wait until the thread rests; what the agent said last.

        Tools may take as long as they take, and a prompt waits until somebody answers it. A thread that subscribed to events rests, too.

        Raises:
            InfinityError: the thread cannot answer: it has a problem, or waits for the end of a cause outside it (a key, an outage), or is
                closed or stopped.
        """
        return await ask(self, thread, content, user_id)

    # deleting

    async def delete(self, root: str) -> Tombstone:
        """Delete a conversation for good: the thread ``root`` and its whole tree (G7).

        When this returns, nothing of it can be read any more, from a journal's file neither, and its tool servers were told. A tombstone stays for each thread: its id
        and the time. The id is not used again, and whatever still comes for it is refused with ``ThreadDeleted``. If the caller leaves, the deletion
        goes on, after a crash as well.

        Raises:
            UnknownThread: there is no such thread.
            ThreadDeleted: it was deleted before.
            BadRequest: it is a child thread; the text names its root.
            StoreError: nothing happened; or it is deleted, and the text says that not all of it is removed yet.
        """
        await self.deletions.delete(root)
        stone = await self.store.tombstone(root)
        assert stone is not None, "what was deleted has a tombstone"
        return stone

    def removing(self, root: str) -> str | None:
        """Why something is left of a deleted conversation, after a try to remove it that failed."""
        return self.deletions.failing.get(root)

    def _forget(self, root: str, threads: Collection[str]) -> None:
        self.feed.end(threads)
        self.catalogs.forget(root)
        self._inbox.forget(threads)
        self._callbacks.forget(threads)
        self._choices.forget(threads)

    # moving

    async def retire(self, root: str, note: str, mark: bytes | None = None) -> list[str]:
        """Take a whole tree out of service (MIG-2): nothing of it is accepted, run or sent until ``unretire``. Its threads.

        ``mark``: of its departure, if it leaves (``Store.retire_tree``).
        """
        return await self._trees.retire(root, note, mark)

    async def unretire(self, root: str, mark: bytes | None = None) -> None:
        await self._trees.unretire(root, mark)

    async def take_up(self, root: str) -> None:
        """Go on at once with what a tree has queued, unsent and timed: it has come here, or is in service again (L15)."""
        await self._trees.take_up(root)

    async def tree(self, root: str) -> list[str]:
        """Ids of all threads of a tree."""
        return await self._trees.threads(root)

    # callbacks

    async def accept_callback(self, thread: str, call_id: str, body: bytes) -> Accepted:
        """A tool server's message for this thread and call; the capability was checked before the body was read (CB-5)."""
        return await self._callbacks.accept(thread, call_id, body)

    async def refuse_callback(self, thread: str, call_id: str, kind: str, refused: InfinityError) -> Accepted:
        """What follows from refusing a callback of this type whose capability is genuine (CB-7).

        A result, question or sign-in that is refused ends its open call with an error that names the reason; a refused event or view is a problem
        on record. Durable when this returns. Whatever is not there, or has ended, is left as it is.
        """
        return await self._callbacks.refuse(thread, call_id, kind, refused)

    # looking

    def watch(self, thread: str, after: int | None = None) -> AsyncGenerator[FeedEvent, None]:
        """The thread's event stream behind a cursor, then live."""
        return self.feed.watch(thread, after)

    async def reload_tools(self, thread: str) -> TreeCatalog:
        """Fetch the tools of the thread's tree again (DISC-5); its next slices use them. The tree's prompt cache starts anew."""
        return await self.catalogs.reload((await known(self.store, thread)).root)

    def hurry(self, key: str) -> bool:
        """Try a delivery now that rests until its next try; false if none of this key rests here.

        Args:
            key: of its row of the outbox.
        """
        return self.outbox.hurry(key)

    async def explain(self, thread: str) -> Explanation:
        """What the thread waits for, in words (I7)."""
        current, failing = self.slices.running.get(thread), self.slices.failing.get(thread)
        began = current.started_at if current is not None else self._clock.now()
        here = Here(
            running=began if thread in self.slices.running else None,
            held=current.held_until if current is not None else None,
            queued=self._mailbox.queued(thread),
            failing=self.failing(thread),
            failing_since=failing.since if failing is not None else None,
        )
        explanation = await explain(self.store, thread, here)
        return with_functions(explanation, self._functions.since, self.outbox.functions)

    def busy(self, thread: str) -> bool:
        """Whether a slice of the thread runs here, has failed and is tried again, or is about to run."""
        running = thread in self.slices.running or thread in self.slices.failing
        return running or thread in self._held_back.threads or bool(self._mailbox.queued(thread))

    def failing(self, thread: str) -> str | None:
        """Why the thread's last slice failed, while it is being tried again."""
        found = self.slices.failing.get(thread)
        return None if found is None else str(found.problem)

    def all_failing(self) -> dict[str, str]:
        """The same of all threads whose slices fail here."""
        return {thread: str(failing.problem) for thread, failing in self.slices.failing.items()}

    async def _record(self, thread: str, call_id: str, result: Result) -> None:
        await self._callbacks.answer(thread, call_id, result)

    async def catalog_of(self, root: str) -> Catalog:
        """What a tree is offered."""
        return await self.catalogs.of(root)

    async def accept(self, message: Message, expect: Expect, call_id: str) -> Accepted:
        """A message about a call, durable when this returns."""
        return await self._inbox.accept(message, expect, call_id)
