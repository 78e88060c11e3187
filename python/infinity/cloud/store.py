"""The cloud host's store: PostgreSQL for what is true, the inbox queue as the way in, DynamoDB for what may
lag behind.

``accept`` puts a message into the inbox queue instead of a table: SQS has it durably before the sender
hears of it (I2), and keeps it until the commit that consumes it. Messages that a commit or a timer causes
are rows of that very transaction, as everywhere (I6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infinity._core import Delta, Message, Snapshot
from infinity.abc import Accepted, Expect, OutboxRow, Status
from infinity.aws.sqs import deduplication_id
from infinity.errors import LimitReached
from infinity.message import Action, Control, Kind, UserText, decode
from infinity.stores.postgres import facts, inbox, outbox, queues, state, timers
from infinity.stores.postgres.commit import Notification, family
from infinity.stores.postgres.connections import Connection
from infinity.stores.postgres.entry_cache import EntryCache
from infinity.stores.postgres.store import PostgresStore
from infinity.stores.postgres.transactions import Transactions

from . import envelope
from .effects import current_effects
from .queue_limit import QueueLimit

if TYPE_CHECKING:
    from infinity.aws.sqs import Queue

    from .blobs import BlobStore
    from .hints import HintTable
    from .notifications import Notifier

__all__ = ["CloudStore"]

LARGEST = 1 << 20
"""Bytes of a message in SQS."""
_URGENT = frozenset({Action.INTERRUPT, Action.STOP, Action.CLOSE})
OUTPUT = "output"
"""The kind of outbox rows that leave by the output queue."""


class CloudStore(PostgresStore):
    """The store of the cloud host.

    Args:
        transactions: On the database.
        queue: The inbox queue.
        hints: What may lag behind.
        blobs: Where messages go that the queue cannot take whole; without it they are refused.
        output: Derives replies; absent where nobody listens to them.
        most: Messages of people that one thread may have queued; ``None`` is without a limit.
    """

    def __init__(
        self,
        transactions: Transactions,
        queue: Queue,
        hints: HintTable,
        *,
        blobs: BlobStore | None = None,
        output: Notifier | None = None,
        most: int | None = None,
    ) -> None:
        super().__init__(transactions)
        self._queue = queue
        self._hints = hints
        self._blobs = blobs
        self._output = output
        self._entries = EntryCache()
        self._limit = QueueLimit(hints, most, self.consumed) if most is not None else None

    # -- the way in

    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        """Take a message in through the queue (I2).

        Args:
            message: Anyone who sent it hears "accepted" only after this returns.
            expect: What must be true of its thread.
            call_id: The call that it answers, if it does.

        Returns:
            What became of it. ``REUSED``: other content came under its key before; ``DUPLICATE``: it was
            applied already.

        Raises:
            LimitReached: if the thread has too many messages of people waiting (429), or it is too large.
            StoreError: if neither queue nor database could be reached; the sender tries again.
        """
        if not await self._is_repeat(message):
            return Accepted(Status.REUSED)
        # The answer of a call is left out: the database tells a repeat of it from an answer to a call that
        # failed (CB-9).
        if message.id != call_id and await self._hints.seen(message.thread, message.id):
            return Accepted(Status.DUPLICATE)
        status = await self._look(inbox.outlook, message, expect, call_id)
        if status in (Status.DISCARDED, Status.NOT_PENDING, Status.DELETED):
            # Only what is recorded may be dropped (I2).
            return await super().accept(message, expect, call_id)
        if status is Status.ACCEPTED:
            # The queue first: a copy for the running slice whose message was never queued would change a
            # thread on its own (I2).
            await self._enqueue_counted(message)
            await self._hurry(message)
            return Accepted(status, message)
        return Accepted(status)

    async def _is_repeat(self, message: Message) -> bool:
        """False: other content came under its key before. The queue would drop this one without a word."""
        if message.kind != Kind.USER:
            return True
        body = decode(message.kind, message.body)
        given_print = body.print if isinstance(body, UserText) else None
        return given_print is None or await self._hints.claim_key(message.thread, message.id, given_print)

    async def _hurry(self, message: Message) -> None:
        """What is to end a completion that runs now cannot wait behind it in the queue: a copy is where the
        slice looks.
        """
        if message.kind != Kind.CONTROL:
            return
        action = decode(message.kind, message.body)
        if isinstance(action, Control) and action.action in _URGENT:
            await self._hints.interrupt(message.thread, action.action, message.id, action.argument)

    async def _enqueue_counted(self, message: Message) -> None:
        limit = self._limit if message.kind == Kind.USER else None
        counted = limit is not None and await limit.admit(message.thread, message.id)
        try:
            await self._enqueue(message)
        except Exception:
            # A message that was counted and not queued would take the place of one for good.
            if limit is not None and counted:
                await limit.give_back(message.thread)
            raise

    async def _enqueue(self, message: Message) -> None:
        sealed = envelope.seal(message)
        if len(sealed.encode()) > LARGEST:
            if self._blobs is None:
                raise LimitReached(
                    f"message {message.id} has {len(message.body)} bytes, more than a queue takes, and there is no INFINITY_BUCKET for large ones; send less"
                )
            sealed = envelope.seal(message, await self._blobs.put(message.thread, message.id, message.body))
        deduplication = deduplication_id(message.thread, message.id)
        await self._queue.send(sealed, group=message.thread, deduplication_id=deduplication)

    # -- slices

    async def begin(self, now: int) -> int:
        """Nothing: the queue counts how often it has handed out a message."""
        return 0

    async def load(
        self, thread: str, known_version: int = -1, message_ids: Sequence[str] = ()
    ) -> Snapshot | None:
        """Load a thread's state; entries come from this process's cache as far as it has them.

        Args:
            thread: Its id.
            known_version: The version that the caller has; -1 for none.
            message_ids: Ids of the messages of the batch, of which the snapshot says which were processed.

        Returns:
            ``None`` if the stored version is still the known one, and no failed attempt is on record.
        """
        if known_version >= 0 and await self._look(state.unchanged, thread, known_version, message_ids):
            return None
        return await self._see(state.load, thread, -1, message_ids, self._entries)

    async def commit(self, delta: Delta) -> list[Message]:
        """Commit, then remember what was applied: entries in this process, ids in DynamoDB.

        Raises:
            Conflict: if another slice of the thread has committed first (I1).
        """
        messages = await super().commit(delta)
        # After the commit only: an id that is remembered counts as applied (see ``hints.py``).
        for each in family(delta):
            self._entries.add((each.thread, each.created_at), each.entries)
            await self._hints.remember(each.thread, [message_id for _, message_id, _ in each.consumed])
        return messages

    def _notifications(self, delta: Delta) -> Sequence[Notification]:
        return self._output.rows(delta) if self._output is not None else ()

    def _committed(self, notifications: Sequence[Notification]) -> None:
        if notifications:
            current_effects().notifications.update({row[0]: row for row in notifications})

    # -- one thread's affairs, for a host that reads them when it is woken

    async def take_up(self, thread: str, now: int) -> list[Message]:
        """Fire the timers of a thread that are due, and read its inbox, in one transaction.

        Args:
            thread: The thread that is woken.
            now: Milliseconds since the epoch.

        Returns:
            Its messages in order, at most ``AT_ONCE``; those of the timers are among them.
        """
        tried: list[Message] = []

        async def work(connection: Connection, uncertain: bool) -> list[Message]:
            await timers.fire(connection, now, tried, uncertain, thread)
            return await queues.inbox_of(connection, thread)

        return await self._write(work, list)

    async def consumed(self, thread: str, message_ids: Sequence[str]) -> list[str]:
        """Those of a thread's messages that it has processed.

        Args:
            thread: Its id.
            message_ids: Those that are asked about.
        """
        return await self._look(state.consumed, thread, message_ids)

    async def missing(self, thread: str, message_ids: Sequence[str]) -> list[str]:
        """Those of a thread's messages that nothing is on record of: neither accepted nor discarded.

        Args:
            thread: Its id.
            message_ids: Those that are asked about.
        """
        return await self._look(inbox.missing, thread, message_ids)

    async def unsent(self, thread: str) -> tuple[list[OutboxRow], list[Notification]]:
        """Read what has not left the thread yet.

        Args:
            thread: Its id.

        Returns:
            Rows for tool servers, and rows for the output queue.
        """
        rows = await self._look(queues.outbox_of, thread)
        notifications = [(row.key, row.thread, row.body) for row in rows if row.kind == OUTPUT]
        return [row for row in rows if row.kind != OUTPUT], notifications

    async def expecting(self, thread: str) -> list[str]:
        """Threads of the same tree with something in their inbox."""
        return await self._look(queues.expecting, thread)

    async def overdue(self, since: int, after: str = "", most: int = 2_000) -> list[str]:
        """Threads that should have been woken and were not.

        Args:
            since: Milliseconds since the epoch; anyone who waits since before that is overdue.
            after: The last thread of the page before.
            most: Threads of a page.

        Returns:
            Thread ids, sorted.
        """
        return await self._look(queues.overdue, since, after, most)

    async def sweep_place(self) -> str:
        """The last thread that was woken by a sweep whose time was over; empty if the last one had time for
        all.
        """
        return await self._look(facts.sweep_place)

    async def put_sweep_place(self, thread: str) -> None:
        """Note the last thread that a sweep has woken in its time; empty if it had time for all."""
        await self._change(facts.put_sweep_place, thread)

    async def forget(self, keys: list[str]) -> None:
        """Delete rows of the output queue that have left, by key."""
        await self._change(outbox.forget, keys)

    async def discard(self, thread: str, message_id: str, reason: str, now: int) -> None:
        """Put on record that a message was dropped, and why (I2).

        Args:
            thread: The thread that it was for; it need not exist.
            message_id: The message's id, or ``sqs.`` and the queue's.
            reason: For people.
            now: Milliseconds since the epoch.
        """
        await self._change(inbox.discard, thread, message_id, reason, now)

    async def keep(self, message: Message) -> Accepted:
        """Put a message into the database's inbox; for those that their queue does not deliver any more.

        Args:
            message: Its id counts as it would have in the queue (I3).

        Returns:
            What became of it, as ``Store.accept`` says.
        """
        return await super().accept(message)

    # -- what may lag behind

    async def put_view(self, thread: str, view_type: str, content: bytes) -> bool:
        """Keep the latest content of a view in DynamoDB (VIEW-1).

        Returns:
            ``False`` if there is no such thread.

        Raises:
            AwsError: if it was not stored.
        """
        if await self.thread(thread) is None:
            return False
        await self._hints.put_view(thread, view_type, content)
        return True

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        """The latest content of each view of a thread, from DynamoDB.

        Raises:
            AwsError: if they cannot be read now; never none instead (I8).
        """
        return await self._hints.views(thread)
