"""Into the inbox: the one door for everything that reaches a thread (I2), passed once per id (I3).

Callbacks, texts, timers, messages of other threads: all of them come through ``accept``. What makes it
once is the row in ``known``, whose key is never freed: two transactions that take the same message
collide there, and the second one begins anew and sees what the first has done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from infinity._core import Message
from infinity.abc import Accepted, Expect, Status
from infinity.errors import LimitReached, RuleBroken

from . import deletion, order_numbers
from .connections import Connection
from .large import owned_by
from .platform import Platform
from .sql import affected, digest, text

__all__ = [
    "accept",
    "answered",
    "check_size",
    "deliver",
    "discard",
    "drop_kept",
    "keep",
    "missing",
    "outlook",
    "queued",
    "release",
    "take_back",
]

_FAILED = "the call had failed"
"""Why the result of a call is discarded that the runtime had given up."""
_UNCONFIRMED = "the call ended without a subscription"
_EARLY_EVENTS, _EARLY_BYTES = 100, 1 << 20
"""Early events that a call may have waiting (SUB-9)."""

_TARGET = """
SELECT t.status = 'closed', EXISTS (SELECT 1 FROM retired r WHERE r.root = t.root),
  EXISTS (SELECT 1 FROM tombstones d WHERE d.id = t.root), k.consumed, c.state, c.subscription
FROM threads t LEFT JOIN known k ON k.thread = t.id AND k.digest = $2 LEFT JOIN calls c ON c.id = $3 AND c.thread = t.id
WHERE t.id = $1"""


@dataclass(frozen=True, slots=True)
class _Target:
    """The thread a message is for, and what is known of the message.

    ``consumed``: ``None`` if it was never accepted.
    """

    closed: bool
    retired: bool
    deleted: bool
    consumed: int | None
    call_state: str | None
    subscription: int | None

    def given_up(self, message: Message, expect: Expect, call_id: str | None) -> bool:
        """What is known under the call's id is that the runtime gave it up: a result that comes after all
        is no repeat (CB-9).
        """
        return expect is Expect.CALL and message.id == call_id and self.call_state == "failed"

    def may_become(self, expect: Expect) -> bool:
        """An event comes before the confirmation of its subscription."""
        return expect is Expect.EVENT and self.call_state in ("planned", "sent") and not self.subscription

    def reason(self, refusal: Status) -> str | None:
        """For the record, where a refusal is recorded."""
        if refusal is Status.DISCARDED:
            return "cancelled"
        return _FAILED if refusal is Status.NOT_PENDING and self.call_state == "failed" else None


async def accept(
    connection: Connection,
    message: Message,
    expect: Expect,
    call_id: str | None,
    uncertain: bool = False,
    keep_row: str = "",
) -> Accepted:
    """Append a message that somebody outside offers, or say why not.

    Args:
        connection: within a transaction.
        message: its ``seq`` is given here.
        expect: what must be there.
        call_id: the call that ``expect`` is about.
        uncertain: an earlier try of this transaction may have queued it; then nobody else has told a
            mailbox.
        keep_row: the lock with which the thread is kept from being erased meanwhile: a deletion that
            began later finds the message, or this transaction begins anew and finds the tombstone.

    Raises:
        RuleBroken: ``expect`` needs a ``call_id``.
    """
    target = await _find(connection, message, expect, call_id, keep_row)
    if target is None or target.deleted:
        deleted = await deletion.discard(connection, message.thread)
        return Accepted(Status.DELETED if deleted else Status.UNKNOWN_THREAD)
    if target.retired:
        return Accepted(Status.MOVED)
    # Its id was accepted before, whatever has become of it.
    if target.consumed is not None:
        found = await queued(connection, message) if uncertain and not target.consumed else None
        if found is not None:
            return Accepted(Status.ACCEPTED, found)
        if target.given_up(message, expect, call_id):
            await discard(connection, message.thread, message.id, _FAILED, message.accepted_at)
            return Accepted(Status.NOT_PENDING)
        return Accepted(Status.DUPLICATE)
    if target.closed:
        await discard(connection, message.thread, message.id, "closed", message.accepted_at)
        return Accepted(Status.DISCARDED)
    refusal = _refusal(target, expect)
    # An event that comes before the confirmation of its subscription; those are limited (SUB-9).
    early = call_id if target.may_become(expect) else None
    if refusal is None and early is not None and await _full(connection, message, early):
        refusal = Status.FULL
    if refusal is None:
        return Accepted(Status.ACCEPTED, await _append(connection, message, early))
    if (reason := target.reason(refusal)) is not None:
        await discard(connection, message.thread, message.id, reason, message.accepted_at)
    return Accepted(refusal)


async def take_back(connection: Connection, message: Message) -> bool:
    """Whether the thread was deleted while its message was accepted; then the message goes as well.

    For servers that have no lock for that (``Platform.keep_row``).

    Args:
        connection: within a transaction of its own, after that of ``accept``.
        message: the one that was accepted.
    """
    if await deletion.tombstone(connection, message.thread) is None:
        return False
    for table in ("inbox", "known"):
        sql = f"DELETE FROM {table} WHERE thread = $1 AND digest = $2"
        await connection.execute(sql, message.thread, digest(message.id))
    await deletion.discard(connection, message.thread)
    return True


async def outlook(connection: Connection, message: Message, expect: Expect, call_id: str | None) -> Status:
    """What ``accept`` would say now, without doing it.

    For messages that are kept in a queue outside of this database.

    Args:
        connection: of one moment.
        message: the one that is offered.
        expect: what must be there.
        call_id: the call that ``expect`` is about.
    """
    target = await _find(connection, message, expect, call_id)
    if target is None or target.deleted:
        deleted = await deletion.tombstone(connection, message.thread)
        return Status.UNKNOWN_THREAD if deleted is None else Status.DELETED
    if target.retired:
        return Status.MOVED
    if target.consumed is not None:
        return Status.NOT_PENDING if target.given_up(message, expect, call_id) else Status.DUPLICATE
    if target.closed:
        return Status.DISCARDED
    refusal = _refusal(target, expect)
    if refusal is None and call_id is not None and target.may_become(expect):
        refusal = Status.FULL if await _full(connection, message, call_id) else None
    return refusal or Status.ACCEPTED


async def deliver(connection: Connection, message: Message, uncertain: bool = False) -> Message | None:
    """Append a message that a commit or a timer sends.

    Args:
        connection: within a transaction.
        message: for any thread.
        uncertain: an earlier try may have queued it.

    Returns:
        ``None``: its thread has it already, is closed, has moved or does not exist.
    """
    accepted = await accept(connection, message, Expect.ANY, None, uncertain)
    if accepted.status is Status.MOVED:
        # Nobody will offer it again.
        await discard(connection, message.thread, message.id, "moved", message.accepted_at)
    return accepted.message


async def discard(connection: Connection, thread: str, message_id: str, reason: str, at: int) -> None:
    """Record that a message was thrown away, and why; once per message.

    Args:
        connection: within a transaction.
        thread: its id.
        message_id: of the message.
        reason: in a few words, for people.
        at: ms since the epoch.
    """
    sql = """INSERT INTO discards (thread, digest, number, message, reason, at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (thread, digest) DO NOTHING"""
    await connection.execute(
        sql, thread, digest(message_id), order_numbers.fresh(), message_id.encode(), text(reason), at
    )


async def missing(connection: Connection, thread: str, ids: Sequence[str]) -> list[str]:
    """Ids of which nothing is on record: neither accepted nor discarded. Of a thread that was deleted
    nothing is missing.

    Args:
        connection: for one look.
        thread: its id.
        ids: of messages that a queue outside of this database has brought.
    """
    sql = """SELECT digest FROM known WHERE thread = $1 AND digest = ANY($2::bytea[])
             UNION SELECT digest FROM discards WHERE thread = $1 AND digest = ANY($2::bytea[])
             UNION SELECT k.digest FROM unnest($2::bytea[]) AS k(digest) WHERE EXISTS (SELECT 1 FROM tombstones d WHERE d.id = $1)"""
    rows = await connection.fetch(sql, text(thread), [digest(message_id) for message_id in ids])
    found = {key for (key,) in rows}
    return [message_id for message_id in ids if digest(message_id) not in found]


async def queued(connection: Connection, message: Message) -> Message | None:
    """The message as it rests in the inbox; ``None`` if it does not.

    Args:
        connection: for one look.
        message: known by its thread and id.
    """
    sql = "SELECT seq, kind, body, accepted_at FROM inbox WHERE thread = $1 AND digest = $2"
    row = await connection.fetchrow(sql, message.thread, digest(message.id))
    if row is None:
        return None
    seq, kind, body, accepted_at = row
    return Message(message.thread, message.id, kind, body, seq=seq, accepted_at=accepted_at)


def check_size(platform: Platform, what: str, *values: bytes) -> None:
    """Whether the server takes these values as columns.

    Args:
        platform: what it takes.
        what: the thing, for the error.
        *values: bytes of columns.

    Raises:
        LimitReached: one of them is too long; nothing was written.
    """
    longest = max(map(len, values), default=0)
    if platform.value is not None and longest > platform.value:
        raise LimitReached(
            f"{what} has {longest} bytes; {platform.name} takes {platform.value} in one piece. Nothing was written; send less, or send a reference"
        )


async def _find(
    connection: Connection, message: Message, expect: Expect, call_id: str | None, keep_row: str = ""
) -> _Target | None:
    if expect is not Expect.ANY and call_id is None:
        raise RuleBroken(f"expect={expect.value!r} needs a call_id")
    sql = f"{_TARGET} {keep_row} OF t" if keep_row else _TARGET
    row = await connection.fetchrow(sql, text(message.thread), digest(message.id), text(call_id or ""))
    return None if row is None else _Target(*row)


def _refusal(target: _Target, expect: Expect) -> Status | None:
    open_call = target.call_state in ("planned", "sent")
    if expect is Expect.ANY or open_call:
        return None
    if target.call_state is None:
        return Status.UNKNOWN_CALL
    if expect is Expect.EVENT:
        return None if target.subscription else Status.NOT_SUBSCRIBED
    return Status.DISCARDED if target.call_state == "cancelled" else Status.NOT_PENDING


async def _full(connection: Connection, message: Message, call: str) -> bool:
    sql = "SELECT count(*), coalesce(sum(length(body)), 0)::bigint FROM inbox WHERE thread = $1 AND call = $2"
    count, size = await connection.fetchrow(sql, message.thread, call)
    return bool(count >= _EARLY_EVENTS or size + len(message.body) > _EARLY_BYTES)


async def answered(connection: Connection, key: str) -> bool:
    """Whether the result of the call that an outbox row belongs to was accepted.

    Args:
        connection: within a transaction.
        key: of the row.
    """
    row = await connection.fetchrow(
        "SELECT thread, call FROM outbox WHERE key = $1 AND call IS NOT NULL", key
    )
    if row is None:
        return False
    sql = "SELECT 1 FROM known WHERE thread = $1 AND digest = $2"
    return await connection.fetchval(sql, row[0], digest(row[1])) is not None


async def keep(connection: Connection, thread: str, call: str, message: Message) -> bool:
    """An early event waits in the inbox, out of everybody's sight (SUB-9).

    Args:
        connection: within a transaction.
        thread: its id.
        call: the call whose confirmation it waits for.
        message: the event; a ``seq`` of 0 says that a queue outside of this database has brought it.

    Returns:
        False if it was consumed, or is not queued any more.
    """
    key = digest(message.id)
    sql = "UPDATE inbox SET kept = 1, call = $3 WHERE thread = $1 AND digest = $2"
    if affected(await connection.execute(sql, thread, key, call)):
        return True
    if message.seq:
        return False
    # A queue outside of this database has brought it.
    sql = "INSERT INTO known (thread, digest, consumed) VALUES ($1, $2, 0) ON CONFLICT (thread, digest) DO NOTHING"
    if not affected(await connection.execute(sql, thread, key)):
        return False
    await _queue(connection, message, call, kept=1)
    return True


async def release(connection: Connection, thread: str, calls: list[str]) -> list[Message]:
    """Subscriptions are confirmed: what waited for that is queued, in the order in which it came.

    Args:
        connection: within a transaction.
        thread: its id.
        calls: the calls of the subscriptions.
    """
    sql = """UPDATE inbox SET kept = NULL, call = NULL WHERE thread = $1 AND call = ANY($2::text[]) AND kept = 1
             RETURNING seq, id, kind, body, accepted_at"""
    rows = await connection.fetch(sql, thread, calls)
    return [
        Message(thread, message_id.decode(), kind, body, seq=seq, accepted_at=accepted_at)
        for seq, message_id, kind, body, accepted_at in sorted(rows, key=itemgetter(0))
    ]


async def drop_kept(connection: Connection, thread: str, calls: list[str], at: int) -> None:
    """The calls ended otherwise: what waited is discarded on record, and its ids are spent.

    Args:
        connection: within a transaction.
        thread: its id.
        calls: those that ended.
        at: ms since the epoch.
    """
    sql = "DELETE FROM inbox WHERE thread = $1 AND call = ANY($2::text[]) AND kept = 1 RETURNING id"
    ids = [message_id.decode() for (message_id,) in await connection.fetch(sql, thread, calls)]
    sql = "UPDATE known SET consumed = 1 WHERE thread = $1 AND digest = ANY($2::bytea[])"
    await connection.execute(sql, thread, [digest(message_id) for message_id in ids])
    for message_id in ids:
        await discard(connection, thread, message_id, _UNCONFIRMED, at)


async def _append(connection: Connection, message: Message, early: str | None = None) -> Message:
    key = digest(message.id)
    await connection.execute(
        "INSERT INTO known (thread, digest, consumed) VALUES ($1, $2, 0)", message.thread, key
    )
    return await _queue(connection, message, early)


async def _queue(
    connection: Connection, message: Message, call: str | None, kept: int | None = None
) -> Message:
    # Behind everything that the thread has queued, whatever the clocks of the machines say that accepted it.
    sql = """INSERT INTO inbox (seq, thread, digest, id, kind, body, accepted_at, call, kept)
             SELECT greatest($9::bigint, max(seq) + $10::bigint), $1::text, $2::bytea, $3::bytea, $4::text, $5::bytea, $6::bigint, $7::text, $8::bigint
             FROM inbox WHERE thread = $1 RETURNING seq"""
    key, message_id, body = digest(message.id), message.id.encode(), message.body
    values = (message.thread, key, message_id, message.kind, body, message.accepted_at, call, kept)
    with owned_by(message.thread):
        seq = await connection.fetchval(sql, *values, order_numbers.fresh(), order_numbers.step())
    return Message(message.thread, message.id, message.kind, body, seq=seq, accepted_at=message.accepted_at)
