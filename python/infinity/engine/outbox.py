"""The outbox: whatever a commit recorded leaves here, after a crash too, under the same key (I5).

At least once out, keyed; effectively once in. One task per row, so that a tool server that hangs delays nobody else (B1).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable
from enum import Enum, auto

from infinity._core import Message
from infinity.abc import Accepted, Delivery, OutboxRow, Status, Verdict, pages
from infinity.backoff import Backoff
from infinity.engine import consent, prompts
from infinity.engine.backlog import Backlog
from infinity.engine.prompts import Sending
from infinity.engine.services import Services
from infinity.errors import StoreError
from infinity.message import Action, Control, Kind, ProblemReport, Result, encode, text_blocks
from infinity.supervision import shared, spawn, survivable

log = logging.getLogger("infinity.engine")

IN_PROCESS = "python:"
"""Targets that are functions of this process: their POST ends with their work, and cancelling it cancels them."""
RECORDING = Backoff(first=1.0, longest=60.0)
"""Between tries to record how a delivery went."""

_TROUBLE = 500
"""Characters of why a try failed that are kept."""
LAST_DELIVERIES = 1.0
"""Seconds at a stop for deliveries that are under way."""
OVERDUE = Backoff(first=1.0, longest=3_600.0)
"""How long a row rests whose call's deadline has passed: the slice that ends the call takes it back, unless its thread is held up."""


class _Standing(Enum):
    """Of the call that a row is about."""

    OPEN = auto()
    OVERDUE = auto()
    ENDED = auto()


class Outbox:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._owners: dict[str, str] = {}
        """The thread of each row that is leaving."""
        self._by_call: dict[str, set[str]] = {}
        """Rows that end with their call, by its id."""
        self._functions: set[str] = set()
        """Those that are calls of functions of this process."""
        self._posting: set[str] = set()
        self._under_way: set[str] = set()
        """Rows that are being sent to a server, or whose sending is being recorded."""
        self._taken_back: set[str] = set()
        """Rows that a commit took back while their POST was under way: it is not repeated."""
        self._attempted: set[str] = set()
        """Rows that may have arrived: a POST has begun, or an earlier process may have sent them."""
        self._never_left: set[str] = set()
        """Rows that the commit being followed takes back, of which nothing has left."""
        self._silent: set[str] = set()
        """Cancel notices that nobody has to hear: what they cancel never left."""
        self._unrecorded: dict[str, Delivery] = {}
        """How the POST of a row went, until that is on record: what has left does not leave again because the store is full (R10)."""
        self._overdue: Counter[str] = Counter()
        """How often a row was found to be past its call's deadline."""
        self._backlogs: set[Backlog] = set()
        self._resting: dict[str, asyncio.Task[None]] = {}
        """Rows that wait for their next try."""
        self._gone_since: list[set[str]] = []
        """For each reading of the store that is under way: rows that have left or were taken back since it began."""
        self._stopped = False

    async def start(self, threads: Collection[str] | None = None) -> None:
        """Send again what had not left when the last process ended (L3, L15); or what these threads have, whose tree is in service again.

        However much that is: of what goes to one server, a bounded part is under way at once, and the rest stays in the store.
        """
        backlog = Backlog(
            lambda after: self.still_unsent(self._services.store.outbox(after)), self._take_up, threads
        )
        if not await backlog.read():
            self._backlogs.add(backlog)
            backlog.go_on(self._backlogs.discard)

    async def stop(self, grace: float = 0) -> None:
        """Begin no delivery; give those under way, functions of this process excepted, at most ``grace`` and ``LAST_DELIVERIES`` seconds to end, so
        that the next process need not repeat them. Abandon the rest: it is on record and goes out again on the next start."""
        self._stopped = True
        for backlog in list(self._backlogs):
            await backlog.stop()
        for key, task in self._leaving.items():
            if key not in self._under_way:
                task.cancel()
        if (ending := [self._leaving[key] for key in self._under_way if key in self._leaving]) and grace > 0:
            await asyncio.wait(ending, timeout=min(grace, LAST_DELIVERIES))
        self.halt()
        if tasks := list(self._leaving.values()):
            await asyncio.wait(tasks)

    def halt(self) -> None:
        """Nothing leaves any more from this moment on."""
        self._stopped = True
        for task in self._leaving.values():
            task.cancel()

    async def withdraw(self, threads: Collection[str]) -> None:
        """Deliver nothing more of these threads; what has not left is on record. A POST that is under way may have arrived (I5)."""
        ending = [task for key, task in self._leaving.items() if self._owners[key] in threads]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    async def settled(self, thread: str, seconds: float) -> bool:
        """Wait until nothing of the thread is leaving any more, at most so long; whether that is so."""
        leaving = [task for key, task in self._leaving.items() if self._owners[key] == thread]
        if leaving:
            await asyncio.wait(leaving, timeout=seconds)
        return all(task.done() for task in leaving)

    @property
    def functions(self) -> set[str]:
        """Calls that are functions of this process, and on their way or at work."""
        return {key.partition(".")[2] for key in self._functions}

    def functions_of(self, thread: str) -> bool:
        """Whether functions of this process are at work for the thread."""
        return any(self._owners[key] == thread for key in self._functions)

    async def still_unsent(self, reading: Awaitable[list[OutboxRow]]) -> list[OutboxRow]:
        """What the store reads, without the rows that end before its answer is here: the store may have looked before it knew of their end, and they
        would leave a second time."""
        gone: set[str] = set()
        self._gone_since.append(gone)
        try:
            rows = await reading
        finally:
            self._gone_since = [other for other in self._gone_since if other is not gone]
        return [row for row in rows if row.key not in gone]

    def resume(self, rows: Iterable[OutboxRow]) -> None:
        """Rows that are on record; those that are leaving already go on."""
        for row in rows:
            self._take_up(row)

    def add(self, thread: str, rows: Iterable[tuple[str, str, str, bytes, str | None]]) -> None:
        """Rows that a commit wrote, behind ``cancel`` for those that it took back."""
        for key, kind, target, body, call_id in rows:
            if kind == "cancel" and f"invoke.{call_id}" in self._never_left:
                self._silent.add(key)
            self._add(OutboxRow(key, kind, target, body, call_id, thread))
        self._never_left.clear()

    def cancel(self, keys: Iterable[str]) -> None:
        """Rows that a commit took back. A POST already under way ends by itself; its server is told afterwards (CAN-1)."""
        for key in keys:
            if key in self._posting:
                self._taken_back.add(key)
            elif (task := self._leaving.get(key)) is not None:
                if key not in self._attempted:
                    self._never_left.add(key)
                task.cancel()

    def end(self, calls: Collection[str]) -> None:
        """Calls that a commit ended: their invocations and answers to their questions are taken back in the store already (I13)."""
        for call in calls:
            self.cancel(list(self._by_call.get(call, ())))

    def sending(self, call_id: str, *, acknowledged: bool) -> Sending:
        """How far an open call has come. Only what this process has seen from its commit on is known not to have left (M7)."""
        key = f"invoke.{call_id}"
        if key in self._functions:
            return Sending.RUNNING
        if acknowledged:
            return Sending.ACKNOWLEDGED
        return Sending.NEVER if key in self._leaving and key not in self._attempted else Sending.ATTEMPTED

    def hurry(self, key: str) -> bool:
        """Try a row now that rests until its next try; false if it does not rest here."""
        rest = self._resting.get(key)
        return rest is not None and rest.cancel()

    def __len__(self) -> int:
        return len(self._leaving)

    def _take_up(self, row: OutboxRow) -> None:
        """A row that is on record: anyone who had it before may have sent it."""
        if row.key not in self._leaving:
            self._attempted.add(row.key)
            self._add(row)

    def _add(self, row: OutboxRow) -> None:
        if self._stopped or row.key in self._leaving:
            return
        task = spawn(self._leave(row), f"outbox {row.key}")
        self._leaving[row.key], self._owners[row.key] = task, row.thread
        if row.call_id is not None and row.kind in ("invoke", "choice"):
            self._by_call.setdefault(row.call_id, set()).add(row.key)
        if row.target.startswith(IN_PROCESS):
            self._functions.add(row.key)
        task.add_done_callback(lambda _: self._gone(row.key, row.call_id))

    def _gone(self, key: str, call: str | None) -> None:
        for gone in self._gone_since:
            gone.add(key)
        for backlog in self._backlogs:
            backlog.gone(key)
        self._unrecorded.pop(key, None)
        del self._overdue[key]
        self._leaving.pop(key, None)
        self._owners.pop(key, None)
        if call is not None and (keys := self._by_call.get(call)) is not None:
            keys.discard(key)
            if not keys:
                del self._by_call[call]
        self._taken_back.discard(key)
        self._attempted.discard(key)
        self._silent.discard(key)
        self._under_way.discard(key)
        self._functions.discard(key)

    async def _leave(self, row: OutboxRow) -> None:
        failures = 0
        while True:
            try:
                await self._rest(row)
                await self._services.owned.wait()
                self._services.observer.gate("sending")
                if row.key not in self._functions:
                    self._under_way.add(row.key)
                row = await self._send(row)
                self._under_way.discard(row.key)
                if row.due_at < 0 or self._stopped:
                    return
                failures = 0
            except (Exception, asyncio.CancelledError) as error:
                if not survivable(error):
                    raise
                self._under_way.discard(row.key)
                if self._stopped:
                    return
                # Whatever it was, the row is on record and would rest there until the next start (B11).
                wait = RECORDING.wait(failures)
                failures += 1
                cause = None if isinstance(error, StoreError) else error
                log.warning(
                    "outbox row %s is not settled, next try in %.1f s: %s",
                    row.key,
                    wait,
                    error,
                    exc_info=cause,
                )
                row = row._replace(due_at=self._services.clock.now() + int(wait * 1000))

    async def _rest(self, row: OutboxRow) -> None:
        """Until its next try is due."""
        wait = (row.due_at - self._services.clock.now()) / 1000
        if wait > 0:
            rest = self._resting[row.key] = shared(self._services.clock.sleep(wait), f"rest of {row.key}")
            try:
                # Ended by ``hurry`` too.
                await asyncio.wait([rest])
                if not rest.cancelled():
                    rest.result()
            finally:
                rest.cancel()
                del self._resting[row.key]

    async def _send(self, row: OutboxRow) -> OutboxRow:
        """One try. The row with its next due time, or with a negative one when it is over."""
        match row.kind:
            case "cancel":
                await self._after(f"invoke.{row.call_id}")
                if row.key not in self._silent:
                    await self._services.wire.notify_cancelled(row.thread, row.call_id or "")
                await self._done(row)
            case "close":
                await self._close_children(row.thread)
                await self._services.wire.notify_closed(row.thread)
                await self._done(row)
            case _:
                # What its commit has just handed over needs no look at the store.
                fresh = row.attempts == 0 and row.key not in self._attempted
                match _Standing.OPEN if fresh else await self._standing(row):
                    case _Standing.ENDED:
                        await self._services.store.outbox_done(row.key)
                    case _Standing.OVERDUE:
                        wait = OVERDUE.wait(self._overdue[row.key])
                        self._overdue[row.key] += 1
                        return row._replace(due_at=self._services.clock.now() + int(wait * 1000))
                    case _:
                        admitted = row if fresh else await self._admitted(row)
                        if admitted is not None:
                            return await self._post(admitted)
        return row._replace(due_at=-1)

    async def _admitted(self, row: OutboxRow) -> OutboxRow | None:
        """The row as it may leave, or ``None``. One that no commit of this process wrote may be another host's (S14)."""
        if row.kind != "invoke" or row.call_id is None or row.key not in self._attempted:
            return row
        if (
            row.key in self._unrecorded
            or self._services.wire.rehomed(row.body, row.thread, row.call_id) is None
        ):
            return row
        found = await consent.admit(self._services, row)
        if isinstance(found, OutboxRow):
            return found
        now = self._services.clock.now()
        if isinstance(found, Control):
            message = Message(row.thread, f"review.{row.call_id}", found.kind, encode(found), accepted_at=now)
            accepted = await self._services.store.accept(message)
        else:
            message = Message(row.thread, f"failed.{row.call_id}", found.kind, encode(found), accepted_at=now)
            accepted = await self._services.store.outbox_done(row.key, None, message) or Accepted(
                Status.DUPLICATE
            )
        if accepted.message is not None:
            self._services.mailbox.put([accepted.message])
        return None

    async def _standing(self, row: OutboxRow) -> _Standing:
        """Whether what was not sent at once is still to be sent: its call may have ended meanwhile, or be about to (I13)."""
        if row.call_id is None or row.key in self._unrecorded:
            return _Standing.OPEN
        found = await self._services.store.find_call(row.call_id)
        if found is None:
            return _Standing.OPEN
        call, state = found
        if state not in ("planned", "sent"):
            return _Standing.ENDED
        now = self._services.clock.now()
        if row.kind != "invoke" or call.deadline is None or call.deadline > now:
            return _Standing.OPEN
        # While the tool asks the user, the deadline stands still and has no timer (CHO-3).
        if any(
            prompt.id.split(".")[1] == call.id for prompt in await self._services.store.prompts(row.thread)
        ):
            return _Standing.OPEN
        # The row of a call knows the deadline that it was planned with; where the user was asked first, the timer has a later one.
        timers = await self._services.store.timers(row.thread)
        due = [timer.due_at for timer in timers if timer.id.split(".")[:2] == ["deadline", call.id]]
        return _Standing.OVERDUE if all(due_at <= now for due_at in due) else _Standing.OPEN

    async def _post(self, row: OutboxRow) -> OutboxRow:
        delivery = self._unrecorded.get(row.key)
        if delivery is None:
            if row.key not in self._functions:
                self._posting.add(row.key)
            before = row.key in self._attempted
            if row.key not in self._functions:
                self._attempted.add(row.key)
            try:
                delivery = await self._services.transport.post(row.target, row.body, key=row.key)
            finally:
                self._posting.discard(row.key)
            if not delivery.left and not before:
                self._attempted.discard(row.key)
            self._unrecorded[row.key] = delivery
        self._services.observer.gate("posted")
        if delivery.verdict is Verdict.DELIVERED:
            await self._done(row)
            return row._replace(due_at=-1)
        if row.key in self._taken_back:
            return row._replace(due_at=-1)
        attempts = row.attempts + 1
        if delivery.verdict is Verdict.FAILED and attempts < self._services.settings.retries.dispatch:
            due_at = self._services.clock.now() + self._backoff(attempts)
            await self._services.store.outbox_retry(row.key, due_at, delivery.detail[:_TROUBLE])
            del self._unrecorded[row.key]
            return row._replace(attempts=attempts, due_at=due_at, trouble=delivery.detail)
        await self._undeliverable(row, delivery.detail)
        return row._replace(due_at=-1)

    def _backoff(self, attempts: int) -> int:
        """Milliseconds (INV-5)."""
        timeouts = self._services.settings.timeouts
        backoff = Backoff(timeouts.dispatch_first, timeouts.dispatch_longest)
        return int(backoff.wait(attempts - 1) * 1000)

    async def _done(self, row: OutboxRow) -> None:
        sent = row.call_id if row.kind == "invoke" else None
        await self._services.store.outbox_done(row.key, sent, None, self._services.clock.now())
        self._services.observer.gate("sent")

    async def _undeliverable(self, row: OutboxRow, detail: str) -> None:
        """The model hears of it as the call's result (INV-7). An answer to a question is another matter: the call's result may still come (CHO-3)."""
        assert row.call_id is not None, "only rows of a call are posted"
        found = await self._services.store.find_call(row.call_id)
        tool = found[0].tool if found is not None else "the tool"
        body: Result | ProblemReport
        if row.kind == "choice":
            message_id = f"undelivered.{hashlib.sha256(row.key.encode()).hexdigest()[:32]}"
            body = ProblemReport(
                code="undelivered", text=prompts.answer_undelivered(tool, detail), call_id=row.call_id
            )
        else:
            # Not the call's id: a result of the tool that comes after all is no repeat of this (CB-9).
            message_id = f"failed.{row.call_id}"
            text = text_blocks(prompts.undelivered(tool, detail))
            body = Result(call_id=row.call_id, content=text, failed=True)
        failure = Message(
            row.thread, message_id, body.kind, encode(body), accepted_at=self._services.clock.now()
        )
        accepted = await self._services.store.outbox_done(row.key, None, failure, self._services.clock.now())
        if accepted is not None and accepted.message is not None:
            self._services.mailbox.put([accepted.message])
        self._services.observer.gate("sent")

    async def _after(self, key: str) -> None:
        """A cancel notice must not overtake the invocation it takes back."""
        task = self._leaving.get(key)
        if task is not None:
            await asyncio.wait([task])

    async def _close_children(self, parent: str) -> None:
        """Closing a thread closes its descendants; every step is a message with an id of its own, so a repeat is harmless.

        Children that commit meanwhile change places in the listing, so it is read until it shows none that was not told.
        """
        told: set[str] = set()
        while fresh := [child async for child in self._open_children(parent) if child not in told]:
            for child in fresh:
                body = encode(Control(action=Action.CLOSE))
                now = self._services.clock.now()
                message = Message(child, f"close.{child}", Kind.CONTROL, body, accepted_at=now)
                accepted = await self._services.store.accept(message)
                if accepted.message is not None:
                    self._services.mailbox.put([accepted.message])
            told.update(fresh)

    async def _open_children(self, parent: str) -> AsyncIterator[str]:
        async for rows in pages(self._services.store, parent=parent):
            for row in rows:
                if row.status != "closed":
                    yield row.id
