"""What each thread has in a batch, and which of them may run beside each other.

A process that ends takes down every slice that it runs, and none of them can say which one ended it. All
of them are *suspects* when their messages come back: received before, and nothing was heard of it. A
suspect has a process to itself, so that the one that ends it ends nobody else's slice, and how often that
happened is on record before it begins (I12). The others are given back at once, for another process to
take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from infinity.backoff import Backoff

from .hints import HintTable, Order, Trouble
from .hold import HELD

__all__ = ["SILENT", "Group", "Plan", "groups_of", "plan"]

OFTEN = 3
"""Times that a suspect is given back; after that it waits for the others of its batch."""
LONGEST = 900
"""Seconds until the messages of a thread come back that has ended its process again and again."""
SILENT = (
    "its last slice ended the function's process, or the process ended meanwhile, and nothing was heard of it"
)


@dataclass(slots=True)
class Group:
    """What one thread has in a batch. ``trouble``: what is known of its earlier receives; ``None``: nothing
    can be known now.

    ``order``: of those that came again; ``ahead``: ids of messages that stood before these and are not in
    the queue any more.
    """

    thread: str
    records: list[dict[str, Any]] = field(default_factory=list)
    trouble: Trouble | None = field(default_factory=Trouble)
    order: Order = field(default_factory=Order)
    ahead: tuple[str, ...] = ()

    @property
    def receives(self) -> int:
        """How often the message that came most often has come."""
        return max(int(record["attributes"].get("ApproximateReceiveCount", "1")) for record in self.records)

    @property
    def failures(self) -> int:
        """How often its messages ended without a commit by the thread's own fault, or with the process; this
        time included.
        """
        # Never below one: the engine counts from the first attempt (I12).
        return max(self.receives - (self.trouble.excused if self.trouble is not None else 0), 1)

    @property
    def suspect(self) -> bool:
        """Whether it came back more often than anybody said why: a slice of it may have ended its process."""
        return self.trouble is not None and self.receives - 1 > self.trouble.heard

    @property
    def begun(self) -> int:
        """How often it has had a process to itself and ended with it."""
        return self.trouble.begun if self.trouble is not None and self.suspect else 0

    @property
    def held(self) -> int:
        """Seconds until its messages come back if the process ends: more each time that it did."""
        return int(Backoff(HELD, LONGEST, least=1.0).wait(self.begun - 1))


@dataclass(frozen=True, slots=True)
class Plan:
    """``together`` run at once, ``alone`` when they are through; ``back``: given back now."""

    together: Sequence[Group]
    alone: Group | None = None
    back: Sequence[Group] = ()


def groups_of(records: Iterable[dict[str, Any]]) -> list[Group]:
    """Sort the records of a batch by thread, in the order of arrival within each and of first arrival among
    them.

    Args:
        records: ``Records`` of an event of the inbox queue.
    """
    groups: dict[str, Group] = {}
    for record in records:
        thread = record["attributes"]["MessageGroupId"]
        groups.setdefault(thread, Group(thread)).records.append(record)
    return list(groups.values())


async def plan(hints: HintTable, groups: Sequence[Group]) -> Plan:
    """Decide which groups of a batch run together, which one runs alone, and which are given back.

    What became of earlier receives is looked up in DynamoDB, and what is about to happen is put on record
    before it begins, because a process that dies writes nothing afterwards (I12). Without DynamoDB nobody
    is a suspect.

    Args:
        hints: Where failures are on record. Its failures raise nothing.
        groups: All groups of the batch; their ``trouble`` is filled in.
    """
    again = [group for group in groups if group.receives > 1]
    troubles = await asyncio.gather(*(hints.trouble(group.thread) for group in again))
    for group, trouble in zip(again, troubles, strict=True):
        group.trouble = trouble
    together = [group for group in groups if not group.suspect]
    # The one that was given back most often goes first.
    suspects = sorted((group for group in groups if group.suspect), key=lambda group: -group.receives)
    if not suspects:
        return Plan(together)
    # Beside groups that are not suspects it is given back at first, for a process of its own; after ``OFTEN``
    # times it waits here for the others, so that it is not put off for ever.
    alone = suspects[0] if not together or _excused(suspects[0]) >= OFTEN else None
    back = suspects[1:] if alone is not None else suspects
    await hints.put_trouble({group.thread: _next(group, alone) for group in suspects})
    return Plan(together, alone, back)


def _next(group: Group, alone: Group | None) -> Trouble:
    before = group.trouble or Trouble()
    reason = before.reason or SILENT
    if group is alone:
        return before._replace(reason=reason, begun=before.begun + 1)
    return before._replace(reason=reason, excused=before.excused + 1)


def _excused(group: Group) -> int:
    return group.trouble.excused if group.trouble is not None else 0
