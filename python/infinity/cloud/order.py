"""Dead letters keep their place: what its queue gave up comes before what its thread was told later (THR-1).

A FIFO queue that moves a message to its dead letters goes on with the next one of the group. So anyone who
gets the messages of a thread again puts on record in which order they stand (``order`` in DynamoDB, which
answers while the database is away). A batch begins with the first message of its group that is left: those
that stand before it are through, or dead. Dead ones are kept in the database, and the slice takes them
first; it waits for those that are not there yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infinity.errors import StoreError

from . import envelope
from .hints import HintTable, Order

if TYPE_CHECKING:
    from infinity._core import Message

    from .groups import Group
    from .host import Host

__all__ = ["await_dead", "look", "merge"]

WAITS = 8
"""Times that a thread waits for its dead letters to be kept, with rests that grow: one that never will be
does not hold it up for ever. Each costs what waits a receive: ``Options(receives=…)`` is more than twice
as many."""
LONGEST = 100
"""Messages of one thread whose order is known."""


async def look(hints: HintTable, groups: Sequence[Group]) -> None:
    """Find out what stood before each group of a batch, and put on record the order of what came again.

    Args:
        hints: Where orders are on record. Its failures raise nothing; without DynamoDB no order is known.
        groups: All groups of the batch; ``order`` and ``ahead`` of each are filled in.
    """
    known = await asyncio.gather(*(hints.order(group.thread) for group in groups))
    changed: dict[str, Order] = {}
    for group, order in zip(groups, known, strict=True):
        if order is None or not (order.ids or group.receives > 1):
            continue
        present = [_names(record) for record in group.records]
        gone, left = _parted(order.ids, {record for record, _ in present})
        group.order, group.ahead = order, tuple(message_id for _, message_id in gone if message_id)
        added = [each for each in present if each not in order.ids]
        if group.receives > 1 and added:
            # Wakes that are gone stand for nothing, and would drive out the messages: the sweep sends one
            # after the other.
            ids = (*(each for each in gone if each[1]), *left, *added)[-LONGEST:]
            group.order = changed[group.thread] = order._replace(ids=ids)
    if changed:
        await hints.put_order(changed)


def _parted(
    before: Sequence[tuple[str, str]], present: set[str]
) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]:
    """What stood before the first one that is left, and the others."""
    left = next((place for place, (record, _) in enumerate(before) if record in present), len(before))
    return before[:left], before[left:]


def _names(record: Mapping[str, Any]) -> tuple[str, str]:
    """By which the queue knows it, and the database; the latter is empty of what carries no message."""
    match envelope.open(record):
        case envelope.Claimed(message, _) | envelope.Said(message):
            return record["messageId"], message.id
        case envelope.Wake() | envelope.Erasure() | envelope.Unreadable() | envelope.Newer():
            return record["messageId"], ""
        case message:
            return record["messageId"], message.id


async def await_dead(host: Host, group: Group) -> None:
    """Let a group wait until the dead letters that stand before it are in the database.

    It waits ``WAITS`` times at most; after that the thread goes on without them.

    Raises:
        StoreError: if some are missing; the group then fails and comes back.
    """
    if not group.ahead or group.order.waited >= WAITS:
        return
    missing = await host.store.missing(group.thread, group.ahead)
    if missing:
        # The count is written before the wait, so that a process that dies has counted it.
        waited = group.order._replace(waited=group.order.waited + 1)
        await host.hints.put_order({group.thread: waited})
        raise StoreError(
            f"{len(missing)} earlier messages of {group.thread} are among the dead letters and not in the database yet; it waits for them"
        )


def merge(
    group: Group, inbox: Sequence[Message], early: Sequence[Message], late: Sequence[Message]
) -> list[Message]:
    """Put the messages of a slice in order.

    Args:
        group: Whose messages they are; ``ahead`` names the dead letters.
        inbox: What the database has.
        early: What the queue brought before the wake for the inbox.
        late: What the queue brought after it.

    Returns:
        All of them: dead letters first, then early, inbox, late.
    """
    # With all that the inbox has before the last one: of many the order is not known any more, and it has
    # them in order.
    dead = max((place for place, message in enumerate(inbox, 1) if message.id in group.ahead), default=0)
    return [*inbox[:dead], *early, *inbox[dead:], *late]
