"""Into the inbox: the one door for everything that reaches a thread (I2), passed once per id (I3)."""

from __future__ import annotations

from dataclasses import dataclass

from infinity._core import Message
from infinity.abc import Accepted, Expect, Status
from infinity.errors import LimitReached, RuleBroken

from .connections import Connection
from .platform import Platform
from .words import digest, text

__all__ = ["accept", "check_size", "deliver", "discard", "outlook", "queued"]

_TARGET = """
SELECT t.status = 'closed', EXISTS (SELECT 1 FROM retired r WHERE r.root = t.root), k.consumed, c.state, c.subscription
FROM threads t LEFT JOIN known k ON k.thread = t.id AND k.digest = $2 LEFT JOIN calls c ON c.id = $3 AND c.thread = t.id
WHERE t.id = $1"""


@dataclass(frozen=True, slots=True)
class _Target:
    """The thread a message is for, and what is known of the message. ``consumed``: ``None`` if it was never accepted."""

    closed: bool
    retired: bool
    consumed: int | None
    call_state: str | None
    subscription: int | None


async def accept(
    connection: Connection, message: Message, expect: Expect, call_id: str | None, uncertain: bool = False
) -> Accepted:
    """Append a message that somebody outside offers, or say why not.

    ``uncertain``: an earlier try of this transaction may have queued it; then nobody else has told a mailbox.
    """
    target = await _find(connection, message, expect, call_id)
    if target is None:
        return Accepted(Status.UNKNOWN_THREAD)
    if target.retired:
        return Accepted(Status.MOVED)
    if target.consumed is not None:
        found = await queued(connection, message) if uncertain and not target.consumed else None
        return Accepted(Status.DUPLICATE) if found is None else Accepted(Status.ACCEPTED, found)
    if target.closed:
        await discard(connection, message.thread, message.id, "closed", message.accepted_at)
        return Accepted(Status.DISCARDED)
    refusal = _refusal(target, expect)
    if refusal is None:
        return Accepted(Status.ACCEPTED, await _append(connection, message))
    if refusal is Status.DISCARDED:
        await discard(connection, message.thread, message.id, "cancelled", message.accepted_at)
    return Accepted(refusal)


async def outlook(connection: Connection, message: Message, expect: Expect, call_id: str | None) -> Status:
    """What ``accept`` would say now, without doing it: for messages that are kept in a queue outside of this database."""
    target = await _find(connection, message, expect, call_id)
    if target is None:
        return Status.UNKNOWN_THREAD
    if target.retired:
        return Status.MOVED
    if target.consumed is not None:
        return Status.DUPLICATE
    if target.closed:
        return Status.DISCARDED
    return _refusal(target, expect) or Status.ACCEPTED


async def deliver(connection: Connection, message: Message, uncertain: bool = False) -> Message | None:
    """Append a message that a commit or a timer sends. ``None``: its thread has it already, is closed, has moved or does not exist."""
    accepted = await accept(connection, message, Expect.ANY, None, uncertain)
    if accepted.status is Status.MOVED:
        # Nobody will offer it again.
        await discard(connection, message.thread, message.id, "moved", message.accepted_at)
    return accepted.message


async def discard(connection: Connection, thread: str, id: str, reason: str, at: int) -> None:
    """Record that a message was thrown away, and why; once per message."""
    sql = """INSERT INTO discards (thread, digest, number, message, reason, at) VALUES ($1, $2, nextval('places'), $3, $4, $5)
             ON CONFLICT (thread, digest) DO NOTHING"""
    await connection.execute(sql, thread, digest(id), id.encode(), text(reason), at)


async def queued(connection: Connection, message: Message) -> Message | None:
    """The message as it rests in the inbox; ``None`` if it does not."""
    sql = "SELECT seq, kind, body, accepted_at FROM inbox WHERE thread = $1 AND digest = $2"
    row = await connection.fetchrow(sql, message.thread, digest(message.id))
    if row is None:
        return None
    seq, kind, body, accepted_at = row
    return Message(message.thread, message.id, kind, body, seq=seq, accepted_at=accepted_at)


def check_size(platform: Platform, what: str, *values: bytes) -> None:
    """``LimitReached`` if the server could not take one of them as a column."""
    longest = max(map(len, values), default=0)
    if platform.value is not None and longest > platform.value:
        raise LimitReached(
            f"{what} has {longest} bytes; {platform.name} takes {platform.value} in one piece. Nothing was written; send less, or send a reference"
        )


async def _find(
    connection: Connection, message: Message, expect: Expect, call_id: str | None
) -> _Target | None:
    if expect is not Expect.ANY and call_id is None:
        raise RuleBroken(f"expect={expect.value!r} needs a call_id")
    row = await connection.fetchrow(_TARGET, text(message.thread), digest(message.id), text(call_id or ""))
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


async def _append(connection: Connection, message: Message) -> Message:
    key = digest(message.id)
    await connection.execute(
        "INSERT INTO known (thread, digest, consumed) VALUES ($1, $2, 0)", message.thread, key
    )
    sql = """INSERT INTO inbox (seq, thread, digest, id, kind, body, accepted_at)
             VALUES (nextval('places'), $1, $2, $3, $4, $5, $6) RETURNING seq"""
    id, body = message.id.encode(), message.body
    seq = await connection.fetchval(sql, message.thread, key, id, message.kind, body, message.accepted_at)
    return Message(message.thread, message.id, message.kind, body, seq=seq, accepted_at=message.accepted_at)
