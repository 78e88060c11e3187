"""The runtime: one engine with its store, mailboxes, models and tools, as hosts and programs use it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from infinity._core import CoreError, Message, Thread, admit
from infinity.abc import (
    BUDGET,
    Accepted,
    Alarm,
    Catalog,
    Clock,
    Expect,
    Header,
    Mailbox,
    Models,
    Observer,
    Problem,
    PromptRow,
    Status,
    Store,
    Tombstone,
    pages,
    read_header,
)
from infinity.characters import whole, whole_value
from infinity.engine import budget, prompts
from infinity.engine.attempts import Attempts
from infinity.engine.deletions import Deletions
from infinity.engine.held_back import HeldBack
from infinity.engine.idempotency import Keys, fingerprint
from infinity.engine.loop import Loop
from infinity.engine.memo import noted
from infinity.engine.missing import missing
from infinity.engine.outbox import Outbox
from infinity.engine.probes import Probes
from infinity.engine.rate_limit import RateLimiter
from infinity.engine.reopening import reopened
from infinity.engine.retention import Retention
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed
from infinity.engine.slices import Slices
from infinity.engine.timers import Timers
from infinity.engine.watched import Unwatched, Watch
from infinity.errors import (
    AlreadyAnswered,
    BadRequest,
    Conflict,
    InfinityError,
    LimitReached,
    Stopped,
    StoreError,
    from_core,
)
from infinity.explanation import Explanation, Here, explain, with_functions
from infinity.feed import Feed, FeedEvent
from infinity.ids import Ids, RandomIds, is_id
from infinity.message import (
    Action,
    Block,
    Body,
    Chosen,
    Control,
    Kind,
    ProblemReport,
    Result,
    UserText,
    encode,
    text_blocks,
)
from infinity.rap.address import same_origin
from infinity.rap.callbacks import ViewUpdate, parse
from infinity.rap.capability import Capabilities
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.removed_servers import RemovedServers
from infinity.settings import Settings
from infinity.supervision import tend
from infinity.tools.catalog import TreeCatalog, TreeCatalogs
from infinity.tools.functions import Functions, ToolLike
from infinity.toolsets import RapWire, Routes, ToolServers
from infinity.view_limits import ViewLimits

log = logging.getLogger("infinity.runtime")


_NOT_TAKEN = {
    Status.DISCARDED: "the call was cancelled, or the thread is closed",
    Status.NOT_PENDING: "the call is not open",
    Status.NOT_SUBSCRIBED: "not an active subscription",
}

ANSWERS_REMEMBERED = 1_024
ANSWER_TAIL = 1_000
"""Events at the end of a thread's stream in which the answer to a question is looked up."""


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
        self._chosen: dict[tuple[str, str], str] = {}
        """Answers that were accepted lately, which no slice may have folded in yet."""
        self._held: dict[str, list[Message]] = {}
        """By thread: accepted while its tree comes back into service, to be read after what was queued before (THR-1)."""
        self._keys = Keys(store)
        self._functions = own = Functions(functions, self._answer, settings, clock.sleep)
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
        self._views = ViewLimits(store, settings.limits, alone=sole_writer)
        self.outbox = Outbox(services)
        self.timers = Timers(services)
        self.slices = Slices(services, self.outbox, alarm or self.timers, sole_writer=sole_writer)
        self.loop = Loop(services, self.slices)
        self._held_back = HeldBack(services)
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
        after = 0
        while messages := await self.store.inbox(after):
            self._mailbox.put(messages)
            for message in messages:
                self._held_back.waits(message.thread)
            after = messages[-1].seq
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

    async def create(self, *, model: str | None = None, title: str = "", id: str | None = None) -> str:
        """A new root thread; its id. An ``id`` of the caller's own makes the call repeatable: an existing thread is left as it is."""
        if id is not None and not is_id(id):
            raise BadRequest("a thread's id is 1 to 128 of A-Z a-z 0-9 _ . : @ + -")
        name = model if model is not None else self.settings.default_model
        self.models.resolve(name)
        thread_id = id or self._ids.mint("thread")
        seed = msgspec.json.encode(text_blocks(prompts.root_seed(thread_id)))
        thread = Thread.create(thread_id, now=self._clock.now(), model=name, title=whole(title), seed=seed)
        delta = thread.delta(self._clock.now())
        try:
            messages = await self.store.commit(delta)
        except Conflict:
            if id is None:
                raise
            return thread_id
        self.slices.follow(Committed(delta, messages))
        return thread_id

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted:
        """User text for a thread. Durable when this returns; ``key`` makes a repeat harmless (I3). ``UnknownThread`` if there is none."""
        blocks = text_blocks(content) if isinstance(content, str) else content
        blocks = check_content(blocks)
        body = UserText(content=blocks, user_id=user_id)
        size, limit = len(encode(body)), self.settings.limits.message_bytes
        if size > limit:
            raise LimitReached(f"the message has {size} bytes, more than limits.message_bytes ({limit})")
        id = self._keyed("message", key)
        self._check_queue(thread)
        if key is not None:
            body = msgspec.structs.replace(body, print=fingerprint(body))
        accepted = await self._known(thread, id, body)
        if accepted.status is Status.DISCARDED and await self.reopen(thread):
            accepted = await self._known(thread, id, body)
        return accepted

    async def reopen(self, thread: str) -> bool:
        """Open a root thread again that its model closed under an earlier version (THR-4); whether it is open now."""
        delta = await reopened(self.store, thread, self._clock.now())
        if delta is None:
            return False
        try:
            messages = await self.store.commit(delta)
        except Conflict:
            return True  # Somebody else has opened it meanwhile, or it is gone: the next try says which.
        self.slices.follow(Committed(delta, messages))
        return True

    async def control(
        self, thread: str, action: Action, argument: str | None = None, *, key: str | None = None
    ) -> Accepted:
        """Interrupt, stop, resume, close, compact, or change the model. An interrupt or stop also ends the running stream at once."""
        if action is Action.MODEL:
            self.models.resolve(argument or "")
        if action is Action.RESUME:
            await self._lift_budget(thread)
        body = Control(action=action, argument=argument)
        # The action is part of the id: a key that was used for another request of the API says nothing of this one.
        accepted = await self._known(thread, self._keyed(f"control.{action}", key), body)
        if action is Action.RESUME and await self._held_back.remove(thread):
            await self._let_go_on([thread])
        if action in (Action.INTERRUPT, Action.STOP, Action.CLOSE) and accepted.message is not None:
            self.slices.interrupt(thread, action)
        return accepted

    async def resume_all(self, problem: str | None = None) -> list[str]:
        """Resume every thread that rests with a problem; ``problem``: its code, and only those. Stopped threads stay stopped. Their ids."""
        resumed: list[str] = []
        async for rows in pages(self.store, troubled=True):
            for row in rows:
                if row.status in ("closed", "stopped"):
                    continue
                try:
                    found = Problem.read(read_header(row).problem)
                except StoreError as error:
                    log.warning("%s is not resumed: %s", row.id, error)
                    continue
                if found is not None and problem in (None, found.code):
                    await self.control(row.id, Action.RESUME)
                    resumed.append(row.id)
        return resumed

    def _check_queue(self, thread: str) -> None:
        """``limits.queued_messages``: whoever says more is told to wait. What tools and threads send is bounded by calls."""
        most = self.settings.limits.queued_messages
        waiting = self.loop.waiting.get(thread, 0) + self._held_back.queued[thread]
        queued = self._mailbox.queued(thread) + waiting
        if queued >= most:
            raise LimitReached(
                f"{thread} has {queued} messages waiting (limits.queued_messages); try again when it has read some"
            )

    async def choose(
        self, thread: str, choice_id: str, selected: int | None, *, user_id: str | None = None
    ) -> Accepted:
        """Answer a pending prompt of the thread, or of any thread of its tree if it is a root (CHO-4); ``None`` dismisses it, which selects its
        default (CHO-1)."""
        row = await self._prompt(thread, choice_id)
        thread = row.thread
        prompt = msgspec.json.decode(row.body)
        choices = prompt.get("choices")
        if not choices:
            raise BadRequest(f"{choice_id} is not a question with choices; follow its link instead")
        index = prompt["default"] if selected is None else selected
        if not 0 <= index < len(choices):
            raise BadRequest(f"selected must be 0 to {len(choices) - 1}, the index of a choice")
        body = Chosen(
            choice_id=choice_id,
            call_id=prompt["call_id"],
            prompt_kind=row.kind,
            selected=index,
            response_url=prompt.get("response_url", ""),
            user_id=user_id,
        )
        accepted = await self._known(thread, f"chosen.{prompt['message_id']}", body)
        if accepted.status is Status.DUPLICATE:
            chosen = self._chosen.get((thread, choice_id)) or await self._chosen_before(thread, choice_id)
            if chosen is None or chosen != choices[index]:
                raise _answered(choice_id, thread, chosen)
        elif accepted.status is Status.ACCEPTED:
            self._chosen[thread, choice_id] = choices[index]
            while len(self._chosen) > ANSWERS_REMEMBERED:
                del self._chosen[next(iter(self._chosen))]
        return accepted

    async def ask(self, thread: str, content: str | list[Block], *, user_id: str | None = None) -> str:
        """Send user text and wait until the thread rests; what the agent said last.

        Tools may take as long as they take, and a prompt waits for whoever answers it. A thread that subscribed to events rests, too.

        Raises:
            InfinityError: the thread cannot answer: it has a problem, or waits for the end of a cause outside it (a key, an outage), or is
                closed or stopped.
        """
        header = await self._header(thread)
        accepted = await self.send(thread, content, user_id=user_id)
        if accepted.status is Status.DISCARDED:
            raise InfinityError(f"{thread} cannot answer: it is closed")
        message_id = accepted.message.id if accepted.message is not None else ""
        said, folded = "", False
        async with aclosing(self.watch(thread, header.feed - 1)) as events:
            async for event in events:
                if event.kind == "entry":
                    entry = msgspec.json.decode(event.data)
                    folded = folded or entry["meta"].get("message_id") == message_id
                    said = _visible(entry) if folded and entry["kind"] == "turn" else said
                elif event.kind == "discard" and msgspec.json.decode(event.data)["id"] == message_id:
                    reason = msgspec.json.decode(event.data)["reason"]
                    raise InfinityError(f"{thread} cannot answer: {reason}")
                elif event.kind == "slice" and folded:
                    row = await self.store.thread(thread)
                    if row is not None and row.status in ("stopped", "closed") and not said:
                        raise InfinityError(f"{thread} cannot answer: it is {row.status}")
                    rests, header = await self._rests(thread, event.position)
                    if not said and header.problem and (rests or noted(header).cause):
                        raise InfinityError(f"{thread} cannot answer: {header.problem}")
                    if rests:
                        return said
        if await self.store.thread(thread) is None:
            raise await missing(self.store, thread)
        raise Stopped(f"the runtime stopped while {thread} was being asked")

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
        for thread in threads:
            self._views.forget(thread)
            self._held.pop(thread, None)
        self._chosen = {key: value for key, value in self._chosen.items() if key[0] not in threads}

    # moving

    async def retire(self, root: str, note: str, mark: bytes | None = None) -> list[str]:
        """Take a whole tree out of service (MIG-2): nothing of it is accepted, run or sent until ``unretire``. Its threads.

        ``mark``: of its departure, if it leaves (``Store.retire_tree``).
        """
        await self.store.retire_tree(root, note, mark)
        threads = await self.tree(root)
        await self.loop.suspend(threads)
        await self.outbox.withdraw(threads)
        return threads

    async def unretire(self, root: str, mark: bytes | None = None) -> None:
        threads = await self.tree(root)
        self._held.update({thread: [] for thread in threads})
        try:
            await self.store.unretire_tree(root, mark)
            await self.take_up(root)
        finally:
            self._let_in(threads)

    async def take_up(self, root: str) -> None:
        """Go on at once with what a tree has queued, unsent and timed: it has come here, or is in service again (L15)."""
        threads = frozenset(await self.tree(root))
        await self._let_go_on(threads - self._held_back.threads)
        await self.outbox.start(threads)
        await self.timers.start()

    async def _let_go_on(self, threads: Collection[str]) -> None:
        """Read again what these threads have queued; what is accepted meanwhile comes behind that."""
        self._held.update({thread: [] for thread in threads if thread not in self._held})
        queued: list[Message] = []
        try:
            after = 0
            while messages := await self.store.inbox(after):
                queued += [message for message in messages if message.thread in threads]
                after = messages[-1].seq
        finally:
            self.loop.resume(threads)
            self._mailbox.put(queued)
            self._let_in(threads)

    def _let_in(self, threads: Collection[str]) -> None:
        """What was accepted meanwhile, behind what was queued before. What was among that as well is dropped by the mailbox."""
        for thread in threads:
            self._mailbox.put(self._held.pop(thread, []))

    async def tree(self, root: str) -> list[str]:
        """Ids of all threads of a tree."""
        return [row.id async for rows in pages(self.store, root=root) for row in rows]

    # callbacks

    async def accept_callback(self, thread: str, call_id: str, body: bytes) -> Accepted:
        """A tool server's message for this thread and call; the capability was checked before the body was read (CB-5)."""
        limits = self.settings.limits
        incoming = parse(
            thread, call_id, body, max_bytes=limits.callback_bytes, fresh_id=lambda: self._ids.mint("event")
        )
        if isinstance(incoming, ViewUpdate):
            _check_size(body, limits.view_bytes, "a view", "limits.view_bytes")
            return await self._view(incoming)
        message = incoming.message
        if message.kind == Kind.EVENT:
            _check_size(body, limits.event_bytes, "an event", "limits.event_bytes")
        if message.kind == Kind.CHOICE:
            await self._require_own_server(call_id, msgspec.json.decode(message.body)["response_url"])
        stamped = Message(
            message.thread, message.id, message.kind, message.body, accepted_at=self._clock.now()
        )
        return await self._accept(stamped, incoming.expect, incoming.call_id)

    async def refuse_callback(self, thread: str, call_id: str, kind: str, refused: InfinityError) -> Accepted:
        """What follows from refusing a callback of this type whose capability is genuine (CB-7).

        A result, question or sign-in that is refused ends its open call with an error that names the reason; a refused event or view is a problem
        on record. Durable when this returns. Whatever is not there, or has ended, is left as it is.
        """
        body: Body
        if kind in ("subscription_event", "view_update"):
            code = refused.rule or refused.code
            # One record for each call and rule, however often a server repeats its mistake (G2).
            id, expect = f"refused.{call_id}.{code}", Expect.EVENT
            body = ProblemReport(
                code="callback", text=prompts.refused_aside(kind, str(refused)), call_id=call_id
            )
        else:
            id, expect = call_id, Expect.CALL
            content = text_blocks(prompts.refused(kind, str(refused)))
            body = Result(call_id=call_id, content=content, failed=True, cancel=kind != "tool_result")
        return await self._accept(self._message(thread, id, body), expect, call_id)

    async def _require_own_server(self, call_id: str, response_url: str) -> None:
        """A prompt's answer goes to the server of its call or nowhere (S3). An unknown call is left to ``accept``."""
        found = await self.store.find_call(call_id)
        row = await self.store.thread(found[0].thread) if found is not None else None
        if found is None or row is None:
            return
        offer = (await self.catalogs.of(row.root)).find(found[0].tool)
        if offer is None or not same_origin(response_url, offer.endpoint):
            raise BadRequest("response_url does not belong to the tool server of this call", "CHO-1")

    async def _view(self, update: ViewUpdate) -> Accepted:
        """Kept and shown, never a message (VIEW-1)."""
        await self._views.admit(update.thread, update.view_type, len(update.content))
        written = False
        try:
            written = await self.store.put_view(update.thread, update.view_type, update.content)
        finally:
            if not written:
                self._views.forget(update.thread)
        if not written:
            gone = await self.store.tombstone(update.thread)
            return Accepted(Status.UNKNOWN_THREAD if gone is None else Status.DELETED)
        content = msgspec.Raw(update.content)
        self.observer.live(update.thread, "view", {"view_type": update.view_type, "content": content})
        return Accepted(Status.ACCEPTED)

    # looking

    def watch(self, thread: str, after: int | None = None) -> AsyncGenerator[FeedEvent, None]:
        """The thread's event stream behind a cursor, then live."""
        return self.feed.watch(thread, after)

    async def reload_tools(self, thread: str) -> TreeCatalog:
        """Fetch the tools of the thread's tree again (DISC-5); its next slices use them. The tree's prompt cache starts anew."""
        return await self.catalogs.reload((await self._header(thread)).root)

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

    # doors

    async def _answer(self, thread: str, call_id: str, result: Result) -> None:
        message = self._message(thread, call_id, result)
        if len(message.body) > self.settings.limits.callback_bytes:
            text = f"Error: the result has {len(message.body)} bytes, more than limits.callback_bytes allows; return less"
            message = self._message(thread, call_id, Result(call_id=call_id, content=text_blocks(text)))
        accepted = await self._accept(message, Expect.CALL, call_id)
        if accepted.status is Status.MOVED:
            raise StoreError(
                f"{thread} is moving to another daemon; the result is kept back until that is decided"
            )

    async def _known(self, thread: str, id: str, body: Body) -> Accepted:
        accepted = await self._accept(self._message(thread, id, body), Expect.ANY, None)
        if accepted.status in (Status.UNKNOWN_THREAD, Status.DELETED):
            raise await missing(self.store, thread)
        print = body.print if isinstance(body, UserText) else fingerprint(body)
        if accepted.status is Status.DUPLICATE and print and isinstance(body, UserText | Control):
            if await self._keys.differs(thread, id, print):
                return Accepted(Status.REUSED)
        elif accepted.status is Status.ACCEPTED and print:
            self._keys.remember(thread, id, print)
        return accepted

    async def catalog_of(self, root: str) -> Catalog:
        """What a tree is offered."""
        return await self.catalogs.of(root)

    async def accept(self, message: Message, expect: Expect, call_id: str) -> Accepted:
        """A message about a call, durable when this returns."""
        return await self._accept(message, expect, call_id)

    async def _accept(self, message: Message, expect: Expect, call_id: str | None) -> Accepted:
        """Durable first, then into the mailbox, then the sender hears of it (I2, L1)."""
        accepted = await self.store.accept(message, expect, call_id)
        if accepted.message is not None:
            self._held_back.waits(message.thread)
            if message.thread in self._held:
                self._held[message.thread].append(accepted.message)
            else:
                self._mailbox.put([accepted.message])
            self.observer.live(message.thread, "queued", {"id": message.id, "kind": message.kind})
        elif accepted.status in (Status.DISCARDED, Status.NOT_PENDING, Status.NOT_SUBSCRIBED):
            reason = _NOT_TAKEN[accepted.status]
            gone = {"id": message.id, "kind": message.kind, "call_id": call_id, "reason": reason}
            self.observer.live(message.thread, "discard", gone)
        self.observer.gate("accepted")
        return accepted

    async def _lift_budget(self, thread: str) -> None:
        header = await self._header(thread)
        problem = Problem.read(header.problem)
        if problem is not None and problem.code == BUDGET:
            await budget.lift(self.store, header.root)

    async def _header(self, thread: str) -> Header:
        row = await self.store.thread(thread)
        if row is None:
            raise await missing(self.store, thread)
        return read_header(row)

    async def _rests(self, thread: str, position: int | None) -> tuple[bool, Header]:
        """Whether nothing stands behind this position of the stream, and nothing comes without user text or an event; the header."""
        open_calls = [call for call, _ in await self.store.calls(thread) if not call.subscription]
        # Read last: if the stream still ends here, the calls are those of this very state.
        header = await self._header(thread)
        return not open_calls and not header.pending and header.feed - 1 == position, header

    async def _prompt(self, thread: str, id: str) -> PromptRow:
        for rows in (await self.store.prompts(thread), await self.store.prompts(root=thread)):
            for row in rows:
                if row.id == id:
                    return row
        asked = await self._asked_in(thread, id)
        chosen = await self._chosen_before(asked, id)
        if chosen is not None:
            raise _answered(id, asked, chosen)
        raise BadRequest(f"no prompt {id} is pending in {thread}; it may have been answered already")

    async def _asked_in(self, thread: str, prompt: str) -> str:
        """The thread of a prompt that is over: this one, or one of its tree."""
        found = await self.store.find_call(prompt.partition(".")[2])
        row = await self.store.thread(found[0].thread) if found is not None else None
        return row.id if row is not None and row.root == thread else thread

    async def _chosen_before(self, thread: str, id: str) -> str | None:
        """What was chosen when the question was last asked, if the end of the thread's stream still says so."""
        row = await self.store.thread(thread)
        if row is None:
            return None
        after = read_header(row).feed - 1 - ANSWER_TAIL
        selected: int | None = None
        choices: list[str] = []
        for event in await self.store.feed(thread, max(after, -1), ANSWER_TAIL + 1):
            if event.kind not in ("prompt", "prompt_closed"):
                continue
            data = msgspec.json.decode(event.body)
            if data["id"] == id and event.kind == "prompt":
                choices, selected = data.get("choices", []), None
            elif data["id"] == id:
                selected = data["selected"]
        if selected is None:
            return None
        return choices[selected] if selected < len(choices) else f"choice {selected}"

    def _message(self, thread: str, id: str, body: Body) -> Message:
        return Message(thread, id, body.kind, encode(body), accepted_at=self._clock.now())

    def _keyed(self, prefix: str, key: str | None) -> str:
        if key is None:
            return self._ids.mint(prefix)
        if not is_id(key):
            raise BadRequest("an Idempotency-Key is 1 to 128 of A-Z a-z 0-9 _ . : @ + -")
        # Apart from the ids that calls and timers bring: a client's key must never collide with them.
        return f"{prefix}.{key}"


def _check_size(body: bytes, most: int, what: str, setting: str) -> None:
    if len(body) > most:
        raise BadRequest(f"{what} of {len(body)} bytes; at most {most} are accepted ({setting})", "CB-8")


def _answered(id: str, thread: str, chosen: str | None) -> AlreadyAnswered:
    what = f"{chosen!r} was chosen" if chosen is not None else "the thread's events say what was chosen"
    return AlreadyAnswered(f"{id} of {thread} has been answered already: {what}")


def _visible(entry: dict[str, Any]) -> str:
    return "".join(block["text"] for block in entry["assistant"] if block["type"] == "text")


def check_content(blocks: list[Block]) -> list[Block]:
    """What a person says, as history takes it (I11): base64 in its one form, media types that are true, no cache breakpoints.

    Raises:
        BadRequest: what no model could take, in words: an empty text, an image that is cut off, too large or of another kind, an unknown block.
    """
    try:
        given = encode_content(blocks)
        checked, _ = admit(given, strict=True)
    except CoreError as error:
        raise from_core(error) from None
    return blocks if checked == given else msgspec.json.decode(checked)


def encode_content(blocks: list[Block]) -> bytes:
    try:
        return msgspec.json.encode(blocks)
    except UnicodeEncodeError:
        return msgspec.json.encode(whole_value(blocks))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadRequest(f"content cannot be written as JSON: {error}") from None
