"""What one slice changed, all of it or none (I6), and only if nobody else was faster (I1).

``store`` calls ``commit`` within a transaction, and ``check_delta`` before it. The fence is the
thread's version: it is compared first and written with ``WHERE version = …``, so that of two slices
that loaded the same state one commits and the other hears ``Conflict``. Statements take whole columns
as arrays: their number does not grow with the delta.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized

from infinity._core import Delta, Message
from infinity.errors import Conflict, LimitReached, RuleBroken, ThreadDeleted
from infinity.message import Kind

from . import attention, usage
from .attempts import clear
from .connections import Connection
from .inbox import check_size, deliver, discard, drop_kept, keep, queued, release
from .large import owned_by
from .platform import Platform
from .queues import inbox_of
from .sql import affected, digest, text
from .trees import check_in_service

__all__ = ["Notification", "check_delta", "commit", "family"]

Notification = tuple[str, str, bytes]
"""Key, thread and body of a row for the output queue."""

_AGAIN = "duplicate"
"""The outcome of a message that its thread had consumed before."""

_NAMED = 6
"""Timers and prompts that a delta names for each call that ends, whether or not it had them."""
_MOST_KEPT = 100
"""Early events that a call may have."""
_CALLS_A_COMMIT = 1 << 20
"""More than a delta can hold: a call's number is its commit's version and its place in it."""


def check_delta(platform: Platform, delta: Delta, *, blobs: bool = False) -> None:
    """Whether one transaction can take the delta.

    Args:
        platform: what the server takes.
        delta: of the slice, children included.
        blobs: whether large values are kept elsewhere, so that sizes do not count.

    Raises:
        LimitReached: it cannot; nothing was written (B15).
    """
    for each in () if blobs else family(delta):
        records = [record for _, record in each.entries] + [row[-1] for row in each.calls]
        bodies = [row[-1] for row in each.feed] + [row[-1] for row in each.prompts]
        bodies += [row[3] for row in (*each.timers, *each.sends)] + [row[3] for row in each.outbox]
        check_size(platform, f"a record of thread {each.thread}", each.header, *records, *bodies)
    rows, size = sum(map(_rows, family(delta))), delta.size()
    for found, most, unit in ((rows, platform.rows, "rows"), (0 if blobs else size, platform.size, "bytes")):
        if most is not None and found > most:
            raise LimitReached(
                f"what thread {delta.thread} did in one slice changes {found} {unit}; {platform.name} takes {most} in one transaction. Nothing was written; let it start fewer calls or children at a time"
            )


async def commit(
    connection: Connection,
    delta: Delta,
    stamp: str,
    uncertain: bool = False,
    notifications: Sequence[Notification] = (),
    record: Callable[[Connection], Awaitable[None]] | None = None,
) -> list[Message]:
    """Write a delta.

    Args:
        connection: within a transaction.
        delta: of one thread, with its new children.
        stamp: unique to this commit; it tells a commit that became durable unheard from one of somebody
            else.
        uncertain: an earlier try may have become durable.
        notifications: what leaves by the output queue, written with the commit.
        record: writes the commit down in the log of all commits, where there is one.

    Returns:
        The messages that entered inboxes.

    Raises:
        Conflict: a stored version, or a message that the slice applied or discarded, is not what the
            slice saw, or the tree was retired.
        ThreadDeleted: it was deleted.
        RuleBroken: a call of another thread would be changed.
    """
    if uncertain and await _happened(connection, delta, stamp):
        return await _sent_before(connection, delta)
    await check_in_service(connection, delta.root)
    troubled = await _claim(connection, delta)
    released: list[Message] = []
    with owned_by(delta.thread):
        for each in family(delta):
            await _write(connection, each, stamp, each.thread in troubled)
            released += await _keep(connection, each)
        if notifications:
            await _record_notifications(connection, notifications)
    if record is not None:
        await record(connection)
    # After everything else: a message may go to a thread of this very commit.
    sent = [await deliver(connection, message) for message in _sends(delta)]
    return [*released, *(message for message in sent if message is not None)]


async def _record_notifications(connection: Connection, notifications: Sequence[Notification]) -> None:
    sql = """INSERT INTO outbox (attempts, due_at, kind, target, key, thread, body)
             SELECT 0, 0, 'output', '', * FROM unnest($1::text[], $2::text[], $3::bytea[])"""
    await connection.execute(sql, *zip(*notifications, strict=True))


def family(delta: Delta) -> Iterator[Delta]:
    """The delta and those of the children that ride in it, parents first.

    Args:
        delta: of one thread.
    """
    yield delta
    for child in delta.children:
        yield from family(child)


def _rows(delta: Delta) -> int:
    """At the most: what one thread's share of a commit inserts, changes or deletes."""
    short: tuple[Sized, ...] = (delta.timers, delta.timers_cancelled, delta.outbox, delta.outbox_cancelled)
    once: tuple[Sized, ...] = (
        delta.entries,
        delta.feed,
        delta.calls,
        delta.prompts,
        delta.prompts_closed,
        delta.used,
        *short,
    )
    discarded = sum(outcome not in ("applied", _AGAIN) for _, _, outcome in delta.consumed)
    # Of the timers and prompts that a call can have, it has one or two at a time.
    ended = len(delta.ended) * (2 + 1 + 2 - _NAMED)
    kept = 2 * len(delta.kept) + _MOST_KEPT * (len(delta.released) + 3 * len(delta.dropped))
    # A consumed message changes two rows, in inbox and known; one that is sent adds two there.
    # Two: whether a person is needed.
    return (
        1
        + 2
        + sum(map(len, once))
        + 2 * len(delta.consumed)
        + discarded
        + 2 * len(delta.sends)
        + ended
        + kept
    )


def _sends(delta: Delta) -> Iterator[Message]:
    for each in family(delta):
        for thread, message_id, kind, body in each.sends:
            yield Message(thread, message_id, kind, body, accepted_at=delta.updated_at)


async def _happened(connection: Connection, delta: Delta, stamp: str) -> bool:
    """Did an earlier try of this very commit become durable? Later commits cannot have come between: the
    slice still runs.
    """
    found = await connection.fetchval("SELECT stamp FROM threads WHERE id = $1", delta.thread)
    return bool(found == stamp)


async def _sent_before(connection: Connection, delta: Delta) -> list[Message]:
    """What an earlier try of this commit put into inboxes, as far as it is there."""
    found = [await queued(connection, message) for message in _sends(delta)]
    sent = [message for message in found if message is not None]
    if not delta.released:
        return sent
    # Events that it released look like any other by now; whatever is there already is dropped by its mailbox.
    ours = [message for message in await inbox_of(connection, delta.thread) if message.kind == Kind.EVENT]
    return [*ours, *sent]


async def _claim(connection: Connection, delta: Delta) -> set[str]:
    """Compare the stored versions with those that the slice loaded. Threads that had a problem until now."""
    versions = {each.thread: each.expected_version for each in family(delta)}
    rows = await connection.fetch(
        "SELECT id, version, troubled FROM threads WHERE id = ANY($1::text[])", list(versions)
    )
    # A thread that is not there counts as version 0, which is what the delta that makes it expects.
    stored = {thread: version for thread, version, _ in rows}
    new = [thread for thread in versions if thread not in stored]
    if new:
        sql = "SELECT id FROM tombstones WHERE id = ANY($1::text[]) LIMIT 1"
        if (deleted := await connection.fetchval(sql, new)) is not None:
            raise ThreadDeleted(f"thread {deleted} was deleted; its id is not used again")
    for thread, expected in versions.items():
        found = stored.get(thread, 0)
        if found != expected:
            raise Conflict(
                f"thread {thread} is at version {found}, not {expected}: another slice committed first; load it again"
            )
    return {thread for thread, _, troubled in rows if troubled}


async def _write(connection: Connection, delta: Delta, stamp: str, troubled: bool) -> None:
    # The thread's row first: it is the fence, at which a second committer waits or fails.
    await (_update if delta.expected_version else _insert)(connection, delta, stamp)
    if delta.consumed:
        await _consume(connection, delta)
    await _add_records(connection, delta)
    if delta.calls:
        await _put_calls(connection, delta)
    await _put_timers(connection, delta)
    await _put_outbox(connection, delta)
    await _put_prompts(connection, delta)
    if delta.needs_a_person or troubled:
        await attention.of_problem(connection, delta)
    if delta.used:
        await usage.add(connection, delta)
    if delta.attempts_cleared:
        await clear(connection, delta.thread, delta.attempts_cleared)


async def _insert(connection: Connection, delta: Delta, stamp: str) -> None:
    sql = """INSERT INTO threads (id, root, parent, status, title, version, stamp, created_at, updated_at, tokens, cost, header, troubled)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""
    tree = (delta.thread, delta.root, delta.parent, delta.status, text(delta.title), delta.new_version, stamp)
    await connection.execute(
        sql, *tree, delta.created_at, delta.updated_at, *delta.spent, delta.header, int(delta.troubled)
    )


async def _update(connection: Connection, delta: Delta, stamp: str) -> None:
    sql = """UPDATE threads SET status = $3, title = $4, version = $5, stamp = $6, updated_at = $7, tokens = tokens + $8, cost = cost + $9,
             header = $10, troubled = $11 WHERE id = $1 AND version = $2"""
    state = (delta.status, text(delta.title), delta.new_version, stamp, delta.updated_at)
    tag = await connection.execute(
        sql, delta.thread, delta.expected_version, *state, *delta.spent, delta.header, int(delta.troubled)
    )
    if affected(tag) != 1:
        raise Conflict(f"thread {delta.thread} was changed by another slice; load it again")


async def _consume(connection: Connection, delta: Delta) -> None:
    queued = {
        (seq, digest(message_id)) for seq, message_id, outcome in delta.consumed if seq and outcome != _AGAIN
    }
    again = {
        (seq, digest(message_id)) for seq, message_id, outcome in delta.consumed if seq and outcome == _AGAIN
    }
    brought = {
        digest(message_id) for seq, message_id, outcome in delta.consumed if not seq and outcome != _AGAIN
    }
    intact = await _consume_queued(connection, delta.thread, queued) if queued else True
    if not intact or (brought and not await _consume_brought(connection, delta.thread, brought)):
        raise Conflict(
            f"messages of thread {delta.thread} are not queued any more: they were consumed before; load it again"
        )
    if again:
        # Their thread has them; that they were queued once more, or are not any more, changes nothing.
        await _consume_queued(connection, delta.thread, again)
    for _, message_id, outcome in delta.consumed:
        if outcome not in ("applied", _AGAIN):
            await discard(connection, delta.thread, message_id, outcome, delta.updated_at)


async def _consume_queued(connection: Connection, thread: str, expected: set[tuple[int, bytes]]) -> bool:
    """Out of the inbox; false if something is not there any more."""
    sql = "DELETE FROM inbox WHERE thread = $1 AND seq = ANY($2::bigint[]) RETURNING seq, digest"
    rows = await connection.fetch(sql, thread, [seq for seq, _ in expected])
    sql = "UPDATE known SET consumed = 1 WHERE thread = $1 AND digest = ANY($2::bytea[]) AND consumed = 0"
    tag = await connection.execute(sql, thread, [key for _, key in expected])
    return set(map(tuple, rows)) == expected and affected(tag) == len(expected)


async def _consume_brought(connection: Connection, thread: str, keys: set[bytes]) -> bool:
    """Messages that a queue outside of this database has brought: nothing is known of them, or they rest
    in the inbox too.
    """
    sql = """INSERT INTO known (thread, digest, consumed) SELECT $1, each, 1 FROM unnest($2::bytea[]) AS each
             ON CONFLICT (thread, digest) DO UPDATE SET consumed = 1 WHERE known.consumed = 0"""
    tag = await connection.execute(sql, thread, list(keys))
    sql = "DELETE FROM inbox WHERE thread = $1 AND digest = ANY($2::bytea[])"
    await connection.execute(sql, thread, list(keys))
    return affected(tag) == len(keys)


async def _keep(connection: Connection, delta: Delta) -> list[Message]:
    """Early events wait until the end of their call decides (SUB-9); those that are queued again."""
    for call, message in delta.kept:
        if not await keep(connection, delta.thread, call, message):
            raise Conflict(
                f"event {message.id} of thread {delta.thread} is not queued any more: it was consumed before; load it again"
            )
    if delta.dropped:
        await drop_kept(connection, delta.thread, delta.dropped, delta.updated_at)
    return await release(connection, delta.thread, delta.released) if delta.released else []


async def _add_records(connection: Connection, delta: Delta) -> None:
    if delta.entries:
        positions, records = zip(*delta.entries, strict=True)
        sql = "INSERT INTO entries (thread, position, record) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[])"
        await connection.execute(sql, delta.thread, positions, records)
    if delta.feed:
        sql = "INSERT INTO feed (thread, position, kind, body) SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[])"
        await connection.execute(sql, delta.thread, *zip(*delta.feed, strict=True))


async def _put_calls(connection: Connection, delta: Delta) -> None:
    # An order over all commits of the thread, without a counter in which they would meet.
    first = delta.new_version * _CALLS_A_COMMIT
    rows = [
        (
            call_id,
            first + index,
            state,
            int(subscription),
            # ``live``: what a load has to read again.
            int(subscription or state == "planned"),
            text(tool),
            record,
            0 if state == "planned" else delta.updated_at,
        )
        for index, (call_id, state, subscription, tool, record) in enumerate(delta.calls)
    ]
    # The slice does not know `sent`; a row that is on its way must not go back to `planned`.
    # With the end goes its row of the outbox, which has counted the tries that failed.
    sql = """INSERT INTO calls (thread, id, number, state, subscription, live, tool, record, ended_at)
             SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[],
                                      $9::bigint[])
             ON CONFLICT (id) DO UPDATE SET
               state = CASE WHEN excluded.state = 'planned' AND calls.state = 'sent' THEN 'sent' ELSE excluded.state END,
               subscription = excluded.subscription, live = excluded.live, record = excluded.record,
               ended_at = CASE WHEN calls.state IN ('planned', 'sent') THEN excluded.ended_at ELSE calls.ended_at END,
               attempts = CASE WHEN excluded.ended_at > 0 AND calls.state = 'planned'
                 THEN coalesce((SELECT o.attempts FROM outbox o WHERE o.key = 'invoke.' || excluded.id), calls.attempts)
                 ELSE calls.attempts END
             WHERE calls.thread = excluded.thread"""
    tag = await connection.execute(sql, delta.thread, *zip(*rows, strict=True))
    if affected(tag) != len(rows):
        raise RuleBroken(f"a call that thread {delta.thread} changes belongs to another thread")


async def _put_timers(connection: Connection, delta: Delta) -> None:
    if delta.timers_cancelled:
        sql = "DELETE FROM timers WHERE thread = $1 AND id = ANY($2::text[])"
        await connection.execute(sql, delta.thread, delta.timers_cancelled)
    if delta.timers:
        sql = """INSERT INTO timers (thread, id, due_at, kind, body)
                 SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[])
                 ON CONFLICT (thread, id) DO UPDATE SET due_at = excluded.due_at, kind = excluded.kind, body = excluded.body"""
        # A timer that was set twice in one slice is set once; one statement may not touch a row twice.
        latest = {row[0]: row for row in delta.timers}
        await connection.execute(sql, delta.thread, *zip(*latest.values(), strict=True))


async def _put_outbox(connection: Connection, delta: Delta) -> None:
    if delta.outbox_cancelled or delta.ended:
        # By call as well: of rows that other slices wrote, this one may not know the keys (I13).
        sql = """DELETE FROM outbox WHERE thread = $1
                 AND (key = ANY($2::text[]) OR (call = ANY($3::text[]) AND kind IN ('invoke', 'choice')))"""
        await connection.execute(sql, delta.thread, delta.outbox_cancelled, delta.ended)
    if delta.outbox:
        sql = """INSERT INTO outbox (thread, attempts, due_at, key, kind, target, body, call)
                 SELECT $1, 0, 0, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[])"""
        await connection.execute(sql, delta.thread, *zip(*delta.outbox, strict=True))


async def _put_prompts(connection: Connection, delta: Delta) -> None:
    if delta.prompts_closed:
        sql = "DELETE FROM prompts WHERE thread = $1 AND id = ANY($2::text[])"
        tag = await connection.execute(sql, delta.thread, delta.prompts_closed)
        if affected(tag) and not delta.prompts:
            await attention.answered(connection, delta.thread)
    if delta.prompts:
        sql = """INSERT INTO prompts (thread, root, id, kind, body) SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bytea[])
                 ON CONFLICT (thread, id) DO UPDATE SET kind = excluded.kind, body = excluded.body"""
        # As for timers: the last one counts.
        latest = {row[0]: row for row in delta.prompts}
        await connection.execute(sql, delta.thread, delta.root, *zip(*latest.values(), strict=True))
        await attention.asked(connection, delta)
