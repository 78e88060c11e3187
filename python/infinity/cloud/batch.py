"""The agent function's work: a batch of queue messages becomes slices, and their effects are flushed before
success is reported.

    group → open → take up → slice → flush

Groups (threads) run at once, each in order; one that fails, fails alone, and its messages come back.
Whatever a crash left undone is on record: a message that comes back makes this thread's record be read
again and flushed (I5, L3).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infinity._core import CoreError, Message
from infinity.abc import OutboxRow
from infinity.aws.sqs import LONGEST_DELAY
from infinity.backoff import Backoff
from infinity.engine.attempts import is_outage
from infinity.errors import Conflict, InfinityError, UnknownThread, from_core
from infinity.message import Action, Control, Kind, encode
from infinity.stores.postgres.queues import AT_ONCE
from infinity.supervision import shared, spawn, survivable, tend

from . import envelope, order
from .effects import Effects, collect_effects
from .erasure import erase
from .groups import Group, groups_of, plan
from .hints import Interrupt
from .hold import Hold
from .host import Host
from .metrics import counting, figures, write

__all__ = ["run_batch"]

log = logging.getLogger("infinity.cloud")

MARGIN = 5.0
"""Seconds before the time limit at which a running completion is ended, so that its thread can still commit
and flush."""
LAST = 1.0
"""Seconds before the time limit at which what still runs is abandoned, so that its messages come back soon.
"""
PATIENCE = 12.0
"""Seconds that tool servers get to take a call, more than one try takes; the next try is left to a later
wake."""
LISTEN = 2.0
"""Seconds between two looks for an interrupt while a slice runs, or calls leave."""
TRIES = 3
"""Times a slice is begun anew when another commit came first."""
REST = Backoff(first=2.0, longest=900.0, least=1.0)
"""Seconds until the messages of a thread that failed come back; those of others come at other times anyway.
"""
LISTENING = Backoff(first=LISTEN, longest=60.0)
"""After a look for an interrupt that failed."""


@dataclass(slots=True)
class _Opened:
    """A group, read. ``woken_at``: behind how many messages a wake came; ``due``: the time that a wake speaks
    of; ``again``: as often it failed to see to everything; ``later``: records that stay queued, from the
    first that must.
    """

    messages: list[Message] = field(default_factory=list)
    woken_at: int | None = None
    due: int | None = None
    again: int = 0
    erasure: bool = False
    later: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


async def run_batch(
    host: Host, event: Mapping[str, Any], remaining: Callable[[], float]
) -> dict[str, list[dict[str, str]]]:
    """Process one batch of the inbox queue.

    Args:
        host: The process's host.
        event: Of an SQS event source mapping, with ``Records``.
        remaining: Seconds until the function's time limit.

    Returns:
        ``batchItemFailures``: of each group that failed, the messages from the first that did. Everything
        else is committed and flushed, and may be deleted by the queue.
    """
    hold, groups = Hold(host.inbox_queue), groups_of(event["Records"])
    await asyncio.gather(hold.take(event["Records"]), order.look(host.hints, groups))
    with counting() as found:
        # From here on the messages are hidden for a minute at a time; a process that dies lets go of them
        # (I7).
        beating = tend(hold.beat, "hold a batch")
        try:
            failed = await _run_all(host, groups, hold, remaining)
        finally:
            beating.cancel()
            write(host.environment, found, host.now())
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


async def _run_all(
    host: Host, groups: Sequence[Group], hold: Hold, remaining: Callable[[], float]
) -> list[dict[str, Any]]:
    """The records that failed."""
    figures().receives += [group.receives for group in groups]
    planned = await plan(host.hints, groups)
    for group in planned.back:
        await hold.rest(group.records, 0)
    await host.end_removed()
    tasks: dict[asyncio.Task[list[dict[str, Any]]], Group] = {}
    for group in planned.together:
        work = _run(host, group, hold, remaining, lambda: sum(not task.done() for task in tasks) <= 1)
        tasks[shared(work, f"slice {group.thread}")] = group
    if planned.alone is not None:
        work = _run_alone(host, planned.alone, hold, remaining, list(tasks))
        tasks[shared(work, f"slice {planned.alone.thread}")] = planned.alone
    # What still runs at the limit would be frozen with its connections. It is ended while its messages can be
    # given back.
    late: set[asyncio.Task[list[dict[str, Any]]]] = set()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=max(remaining() - LAST, 0))
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=LAST / 4)
        reason = "the time limit was reached"
        rests = [
            spawn(_rest(host, group, group.records, hold, reason), f"rest {group.thread}")
            for group in map(tasks.__getitem__, late)
        ]
        await asyncio.wait(rests, timeout=LAST / 2)
    failed = [record for group in planned.back for record in group.records]
    for task, group in tasks.items():
        failed += task.result() if task.done() and not task.cancelled() else group.records
    return failed


async def _run_alone(
    host: Host,
    group: Group,
    hold: Hold,
    remaining: Callable[[], float],
    others: Sequence[asyncio.Task[list[dict[str, Any]]]],
) -> list[dict[str, Any]]:
    """Nobody else's slice ends if this one ends the process."""
    await hold.take(group.records, group.held)
    if others:
        await asyncio.wait(others)
    return await _run(host, group, hold, remaining, lambda: True)


async def _run(
    host: Host, group: Group, hold: Hold, remaining: Callable[[], float], last: Callable[[], bool]
) -> list[dict[str, Any]]:
    """The records that failed: from the first that did, all (FIFO). ``last``: whether nobody else's slice
    runs.
    """
    outage = False
    try:
        with collect_effects() as effects:
            failed, reason = await _work(host, group, effects, remaining)
    except asyncio.CancelledError as error:
        # Of something that it waited for; a cancellation of its own ends it.
        if not survivable(error):
            raise
        failed, reason = group.records, "internal: something that the slice waited for was cancelled"
    except CoreError as error:
        failed, reason = group.records, str(from_core(error))
    except (InfinityError, OSError) as error:
        failed, reason = group.records, f"{getattr(error, 'code', 'internal')}: {error}"
        outage = is_outage(error)
    except Exception as error:
        log.exception("a slice of %s failed", group.thread)
        failed, reason = group.records, f"internal: {error}"
    finally:
        # A frozen process would go on with what is left hours later, and send what another one has taken back
        # since.
        await host.runtime.outbox.withdraw([group.thread])
    if failed:
        await _rest(host, group, failed, hold, reason, outage=outage)
    else:
        host.runtime.observer.gate("yielded")
        if not last():
            await hold.finish(group.records)
    return failed


async def _work(
    host: Host, group: Group, effects: Effects, remaining: Callable[[], float]
) -> tuple[list[dict[str, Any]], str]:
    # First of all: nothing of this group may be processed before what stood in front of it (THR-1).
    await order.await_dead(host, group)
    opened = await _open(host, group)
    if opened.erasure:
        await erase(host, group.thread, remaining)
    # Whatever came before may have been cut off anywhere between its commit and its flush.
    again = group.receives > 1 or opened.again > 0 or bool(group.ahead)
    messages = opened.messages
    if again or opened.woken_at is not None:
        messages = await _take_up(host, group, opened, effects)
    if messages and group.begun >= (most := host.runtime.settings.retries.slices):
        text = f"its slice ends the process that runs it: it did so {most} times in a row, alone; the function's log says how (memory, perhaps)"
        await host.runtime.slices.give_up(group.thread, messages, "process", text)
        messages = []
    while messages:
        await _slice(host, group, messages, remaining)
        # Events that waited for a confirmation come before whatever the queue has next (SUB-9).
        messages = host.post_commit.returned(group.thread)
    if again or opened.woken_at is not None:
        await _see_to(host, group.thread, effects, timers=again or opened.due is not None, wakes=again)
    # Everything is committed. What follows only sends what is on record, and may be repeated.
    committed_at = host.now()
    flushed = await _flush(host, group.thread, effects, remaining, opened.again)
    figures().done_after.append(host.now() - committed_at)
    # The trouble is forgotten only when nothing of it is left to do, or a suspect would lose its count.
    if flushed and (again or opened.woken_at is not None) and not opened.later:
        await host.hints.forget_failing(group.thread)
    if group.order.ids and not opened.later:
        await host.hints.forget_order(group.thread)
    return opened.later, opened.reason


# -- open


async def _open(host: Host, group: Group) -> _Opened:
    opened = _Opened()
    for index, record in enumerate(group.records):
        match envelope.open(record):
            case envelope.Newer(version):
                # FIFO: the messages behind it have to wait with it.
                opened.later = group.records[index:]
                opened.reason = f"a message of format {version} is queued, which this version cannot read; deploy the newer one"
                break
            case envelope.Unreadable(reason):
                await host.refuse(group.thread, record["messageId"], reason)
            case envelope.Wake(due=due, again=again):
                opened.woken_at = len(opened.messages) if opened.woken_at is None else opened.woken_at
                opened.due = max(due or 0, opened.due or 0) or None
                opened.again = max(again, opened.again)
            case envelope.Erasure():
                opened.erasure = True
            case envelope.Claimed(message, key):
                opened.messages.append(await host.fetch(message, key))
            case envelope.Said(message):
                await host.welcome(message)
                opened.messages.append(message)
            case Message() as message:
                opened.messages.append(message)
    return opened


# -- take up


async def _take_up(host: Host, group: Group, opened: _Opened, effects: Effects) -> list[Message]:
    """The messages that are left to fold in: those that the thread has not consumed, and what its inbox has."""
    thread = group.thread
    # A message that came again may be applied already; the database alone knows (R1).
    consumed = set(await host.store.consumed(thread, [message.id for message in opened.messages]))
    rest = [message for message in opened.messages if message.id not in consumed]
    inbox = await host.store.take_up(thread, host.now())
    if len(inbox) >= AT_ONCE:
        # More may be there, and nobody else knows of it.
        effects.wakes[thread] = host.fresh_cause()
    host.runtime.observer.gate("fired")
    if len(inbox) >= AT_ONCE and group.ahead:
        # Dead letters that have no place in it yet come before what the queue has.
        opened.later, opened.reason = group.records, f"{AT_ONCE} messages of its inbox come first"
        return inbox
    queued = {message.id for message in inbox}
    # The wake says that something was put into the inbox; what the queue brought before the wake was said
    # before it.
    place = opened.woken_at if opened.woken_at is not None else len(opened.messages)
    early = [message for message in opened.messages[:place] if message in rest and message.id not in queued]
    late = [message for message in opened.messages[place:] if message in rest and message.id not in queued]
    return order.merge(group, inbox, early, late)


# -- slice


async def _slice(
    host: Host, group: Group, messages: Sequence[Message], remaining: Callable[[], float]
) -> None:
    """One slice, begun anew when a twin has committed first (I1)."""
    thread, slices = group.thread, host.runtime.slices
    expiring = spawn(_expire(host, thread, remaining), f"time limit of {thread}")
    listening = tend(partial(_listen, host, thread), f"listen for {thread}", backoff=LISTENING)
    try:
        for tried in range(1, TRIES + 1):
            try:
                await slices.run(thread, messages, receives=group.failures)
            except Conflict:
                if tried == TRIES:
                    raise
                # The twin that committed first may have processed these messages. What is left is tried on
                # the newer state.
                gone = set(await host.store.consumed(thread, [message.id for message in messages]))
                messages = [message for message in messages if message.id not in gone]
                if not messages:
                    return
            except UnknownThread as error:
                # Deleted since, and the tombstone counts it; or the database was put back to a time before it
                # (I2).
                for message in messages:
                    await host.keep(message)
                log.warning("%d messages for %s are dropped: %s", len(messages), thread, error)
                return
            else:
                return
    finally:
        expiring.cancel()
        listening.cancel()
        host.post_commit.release(thread)


async def _expire(host: Host, thread: str, remaining: Callable[[], float]) -> None:
    """Again and again: the slice may still be loading when its time is over."""
    await asyncio.sleep(max(remaining() - MARGIN, 0))
    while True:
        current = host.runtime.slices.running.get(thread)
        if current is not None and not current.out_of_time:
            host.runtime.slices.expire(thread)
        await asyncio.sleep(0.25)


async def _listen(host: Host, thread: str) -> None:
    """An interrupt cannot pass the queue while its thread's slice runs: it is looked for beside it."""
    while True:
        found = await _interruption(host, thread)
        action = Action(found.action)
        body = encode(Control(action=action, argument=found.argument))
        # The message first, so that the slice which the interrupt ends finds what it is to fold in.
        host.post_commit.hurry(Message(thread, found.message_id, Kind.CONTROL, body, accepted_at=host.now()))
        host.runtime.slices.interrupt(thread, action)


async def _interrupted(host: Host, thread: str) -> None:
    await _interruption(host, thread)


async def _interruption(host: Host, thread: str) -> Interrupt:
    """Wait for one whose message no slice has folded in yet."""
    while True:
        await asyncio.sleep(LISTEN)
        found = await host.hints.take_interrupt(thread)
        if found is not None and not await host.store.consumed(thread, [found.message_id]):
            return found


# -- flush


async def _see_to(host: Host, thread: str, effects: Effects, *, timers: bool, wakes: bool) -> None:
    """What the thread has on record: unsent rows; ``timers``, if one has woken it, of which the earliest may
    have no alarm; ``wakes`` of others, if they may have been left by an invocation that crashed.
    """
    outbox = host.runtime.outbox

    async def unsent() -> list[OutboxRow]:
        rows, notifications = await host.store.unsent(thread)
        effects.notifications.update({row[0]: row for row in notifications})
        return rows

    # Rows of this batch's own commits are leaving meanwhile.
    outbox.resume(await outbox.still_unsent(unsent()))
    if timers and (waiting := await host.store.timers(thread)):
        first = min(waiting, key=lambda timer: timer.due_at)
        effects.timers.setdefault((thread, first.id), first.due_at)
    for other in await host.store.expecting(thread) if wakes else ():
        effects.wakes.setdefault(other, host.fresh_cause())


async def _deliver(host: Host, thread: str, most: float) -> bool:
    """Let rows for tool servers leave, for at most so many seconds.

    False if it takes too long, or if the user interrupts: the interrupt's message is the next in the queue,
    and this batch must end for it.
    """
    outbox = host.runtime.outbox
    seconds = most if outbox.functions_of(thread) else min(most, PATIENCE)
    settling = shared(outbox.settled(thread, seconds), f"deliver {thread}")
    interrupting = tend(partial(_interrupted, host, thread), f"listen for {thread}", backoff=LISTENING)
    try:
        await asyncio.wait([settling, interrupting], return_when=asyncio.FIRST_COMPLETED)
        return settling.done() and settling.result()
    finally:
        settling.cancel()
        interrupting.cancel()


async def _flush(
    host: Host, thread: str, effects: Effects, remaining: Callable[[], float], failed_before: int
) -> bool:
    """Everything that the commit recorded leaves now, or has a wake that will see to it (I5, I7): false if it
    is left to one of this thread, because some of it could not leave. Raises if there can be no wake
    either.
    """
    # Beside each other: nobody waits for an answer because a tool server is slow, and no call because nobody
    # can be notified.
    notifying = shared(_notify(host, effects), f"notify for {thread}")
    try:
        # A try that is under way is taken back: it would otherwise leave again from a frozen process, hours
        # later.
        if not await _deliver(host, thread, max(remaining() - MARGIN, 0.5)):
            await host.runtime.outbox.withdraw([thread])
            unsent, _ = await host.store.unsent(thread)
            if unsent:
                effects.timers[thread, "outbox"] = max(min(row.due_at for row in unsent), host.now() + 1_000)
        host.runtime.observer.gate("delivered")
        outcomes = await asyncio.gather(
            notifying,
            _set(host, host.alarms.wake_many, [*effects.wakes.items(), *_due(host, effects)]),
            *(_set(host, host.alarms.wake_at, of, due_at) for of, due_at in _alarms(host, effects)),
            return_exceptions=True,
        )
    finally:
        notifying.cancel()
    # All of them are waited for before one is raised, so that nothing of this batch still runs when it is
    # reported.
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in errors:
        if not isinstance(error, InfinityError | OSError):
            raise error
    if errors:
        await _flush_later(host, thread, errors[0], failed_before)
    return not errors


async def _flush_later(host: Host, thread: str, error: BaseException, failed_before: int) -> None:
    """What is committed does not wait in the queue for those who are not there: it would hold up every
    message behind it.
    """
    seconds = round(REST.wait(failed_before))
    reason = f"not everything that it has to say could be sent: {error}"
    log.warning("%s is woken in %d s: %s", thread, seconds, reason)
    figures().failed += 1
    await host.alarms.wake_again(thread, seconds, failed_before + 1)
    try:
        await host.failing(thread, reason, 0)
    except (InfinityError, OSError) as unheard:
        log.warning("the notification that %s waits could not be sent: %s", thread, unheard)


def _alarms(host: Host, effects: Effects) -> list[tuple[str, int]]:
    """Of timers that are near, all; of those that are not, the earliest of each thread: its wake sets the
    next one.
    """
    now = host.now()
    near = {(of, at) for (of, _), at in effects.timers.items() if now < at <= now + LONGEST_DELAY * 1000}
    far: dict[str, int] = {}
    for (of, _), at in effects.timers.items():
        if at > now + LONGEST_DELAY * 1000:
            far[of] = min(at, far.get(of, at))
    return [*near, *far.items()]


async def _notify(host: Host, effects: Effects) -> None:
    if effects.notifications:
        await host.notify(list(effects.notifications.values()))
        host.runtime.observer.gate("notified")


async def _set(host: Host, alarm: Callable[..., Awaitable[None]], *about: object) -> None:
    await alarm(*about)
    host.runtime.observer.gate("woken")


def _due(host: Host, effects: Effects) -> list[tuple[str, str]]:
    """Threads with a timer that is due already, which need no queue of time."""
    now = host.now()
    return [
        (thread, host.fresh_cause())
        for thread in {of for (of, _), due_at in effects.timers.items() if due_at <= now}
    ]


# -- fail


async def _rest(
    host: Host,
    group: Group,
    failed: Sequence[Mapping[str, Any]],
    hold: Hold,
    reason: str,
    *,
    outage: bool = False,
) -> None:
    """The messages come back after a rest that grows; the thread alone waits, and says why (I7, L10)."""
    seconds = round(REST.wait(group.receives - 1))
    log.warning("%s failed (%d times), next try in %d s: %s", group.thread, group.receives, seconds, reason)
    figures().failed += 1
    # First the queue, then words: the rest must hold even if nobody can be told.
    await hold.rest(failed, seconds)
    try:
        await host.failing(group.thread, reason, group.receives, outage=outage)
    except (InfinityError, OSError) as error:
        # The messages come back all the same, and the API says why.
        log.warning("the notification that %s fails could not be sent: %s", group.thread, error)
