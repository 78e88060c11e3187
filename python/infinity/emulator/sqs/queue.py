"""One queue: what may be received now, and in which order.

A FIFO queue keeps the order of each group and hands out nothing of a group while any message of it is in
flight. A standard queue is the same with every message a group of its own. Nothing here ticks: who was
received and not deleted becomes visible by being looked at.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import math
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..failure import AwsError
from .failures import invalid
from .settings import Settings

__all__ = ["Message", "Queue"]

DEDUPLICATION_MS = 5 * 60 * 1000
LONGEST_MS = 43_200_000
"""A message can be hidden for twelve hours from the time it was received."""
SCANNED = 120_000
"""Groups that begin beyond so many messages of the backlog wait, free or not."""
_FIRST_SEQUENCE = 18_849_496_460_467_696_128


@dataclass(eq=False, slots=True)
class Message:
    """Times are in ms since the epoch. ``serial`` counts how often it was handed out; a receipt handle names
    the serial.
    """

    body: str
    group: str
    group_id: str | None = None
    deduplication_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    trace: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sequence: int = 0
    sent_at: int = 0
    visible_at: int = 0
    first_received_at: int = 0
    received_at: int = 0
    receives: int = 0
    in_flight: bool = False
    source: str | None = None
    """The queue that it was too often received from."""


@dataclass(slots=True)
class _Group:
    messages: list[Message] = field(default_factory=list)
    in_flight: int = 0


class Queue:
    """One queue and its messages, in memory.

    Args:
        name: A FIFO queue's ends in ``.fifo``.
        arn: Of the queue.
        settings: Its attributes; may be replaced at any time.
        now: Milliseconds since the epoch.
        find: Gives the queue with an ARN, for dead letters; ``None`` if there is none.
    """

    def __init__(
        self,
        name: str,
        arn: str,
        settings: Settings,
        now: Callable[[], int],
        find: Callable[[str], Queue | None],
    ) -> None:
        self.name = name
        self.arn = arn
        self.settings = settings
        self.created_at = self.modified_at = now()
        self.scanned = SCANNED
        self.repeats = 0
        """So many deletions a standard queue will forget: the messages come once more, as at-least-once
        delivery allows."""
        self._now = now
        self._find = find
        self._listeners: list[Callable[[], None]] = []
        self._messages: dict[str, Message] = {}
        self._groups: dict[str, _Group] = {}
        self._ready: list[tuple[int, str]] = []
        """First messages' sequences and their groups; entries that no longer hold are skipped."""
        self._hidden: list[tuple[int, int, Message]] = []
        self._sent: OrderedDict[tuple[str, str], tuple[int, Message]] = OrderedDict()
        self._sequence = _FIRST_SEQUENCE

    # sending

    def send(self, message: Message, delay: int | None = None) -> Message:
        """Take a message in, unless it repeats one.

        Args:
            message: Checked already (``sending.checked``).
            delay: Milliseconds; ``None`` is the queue's own.

        Returns:
            The message that the queue now holds: on a FIFO queue an earlier one, if its deduplication id
            was sent within five minutes, *even when that one was deleted since*.
        """
        now = self._now()
        key = (message.group if self.settings.per_group else "", message.deduplication_id or "")
        if self.settings.fifo:
            # The window counts from the first send, and a repeat does not prolong it.
            while self._sent and next(iter(self._sent.values()))[0] + DEDUPLICATION_MS <= now:
                self._sent.popitem(last=False)
            if key in self._sent:
                return self._sent[key][1]
        message.sent_at = now
        message.visible_at = now + (self.settings.delay if delay is None else delay)
        self.accept(message)
        if self.settings.fifo:
            self._sent[key] = (now, message)
        return message

    def accept(self, message: Message) -> None:
        """Take a message in as the last one, whatever was sent before."""
        self._sequence += 256
        message.sequence = self._sequence
        message.in_flight = False
        self._messages[message.id] = message
        group = self._groups.setdefault(message.group, _Group())
        group.messages.append(message)
        if message.visible_at > self._now():
            heapq.heappush(self._hidden, (message.visible_at, message.sequence, message))
        elif len(group.messages) == 1:
            self._offer(group)
        self._tell()

    # receiving

    def receive(self, most: int, visibility: int | None = None, room: float = math.inf) -> list[Message]:
        """Take messages out of sight.

        Args:
            most: Messages at once.
            visibility: Milliseconds for which they are in flight; ``None`` is the queue's own.
            room: For their bodies, in bytes of JSON; one always fits.

        Returns:
            In order within each group; no message of a group of which one is in flight.
        """
        now = self._now()
        self._release(now)
        self._forget(now)
        until = now + (self.settings.visibility if visibility is None else visibility)
        taken: list[Message] = []
        horizon = self._horizon()
        while len(taken) < most and self._ready:
            sequence, name = heapq.heappop(self._ready)
            group = self._groups.get(name)
            if group is None or group.in_flight or group.messages[0].sequence != sequence:
                continue
            # As documented: a FIFO queue looks through so many messages for groups that are free, and no
            # further.
            if sequence > horizon:
                heapq.heappush(self._ready, (sequence, name))
                break
            if not self._take(group, most - len(taken), until, taken, room):
                if not group.in_flight:
                    heapq.heappush(self._ready, (sequence, name))
                break
        # A visibility of zero: a look, after which they are visible again.
        self._release(now)
        return taken

    def _take(self, group: _Group, most: int, until: int, taken: list[Message], room: float) -> bool:
        """Whether there is room for more."""
        now = self._now()
        count = 0
        for message in list(group.messages):
            # A message that is not visible yet holds up those behind it in its group: order is kept.
            if count == most or message.visible_at > now:
                break
            if taken and _size(*taken, message) > room:
                return False
            if self._overflows(message):
                continue
            message.receives += 1
            message.received_at = now
            message.first_received_at = message.first_received_at or now
            message.visible_at = until
            message.in_flight = True
            group.in_flight += 1
            heapq.heappush(self._hidden, (until, message.sequence, message))
            taken.append(message)
            count += 1
        return True

    def _overflows(self, message: Message) -> bool:
        """Whether the message went to the dead letters instead of being received once more."""
        settings = self.settings
        if settings.dead_letters is None or message.receives < settings.max_receives:
            return False
        target = self._find(settings.dead_letters)
        if target is None:
            return False
        self._remove(message)
        message.source = self.arn
        message.visible_at = 0
        if settings.fifo:
            message.sent_at = self._now()
        target.accept(message)
        return True

    def _release(self, now: int) -> None:
        """What was hidden until now is visible again."""
        while self._hidden and self._hidden[0][0] <= now:
            due_at, _, message = heapq.heappop(self._hidden)
            # Deleted, or hidden for longer since: another entry in the heap speaks for it.
            if self._messages.get(message.id) is not message or message.visible_at != due_at:
                continue
            group = self._groups[message.group]
            if message.in_flight:
                message.in_flight = False
                group.in_flight -= 1
            if not group.in_flight:
                self._offer(group)

    def _offer(self, group: _Group) -> None:
        first = group.messages[0]
        heapq.heappush(self._ready, (first.sequence, first.group))

    def _forget(self, now: int) -> None:
        """Drop what was kept for the retention period."""
        before = now - self.settings.retention
        # Retention counts from the time of sending, also for a message in flight.
        while self._messages and (oldest := next(iter(self._messages.values()))).sent_at <= before:
            self._remove(oldest)

    def _horizon(self) -> int:
        if len(self._messages) <= self.scanned:
            return self._sequence
        return next(islice(self._messages.values(), self.scanned, None)).sequence - 1

    # what was received

    def handle(self, message: Message) -> str:
        """The receipt handle of a message for its latest receive; an earlier receive's handle has expired."""
        return base64.b64encode(f"{self.arn} {message.id} {message.receives}".encode()).decode()

    def delete(self, handle: str) -> None:
        """Delete a message that was received. Once more is harmless.

        Raises:
            AwsError: for a handle that is none, and on a FIFO queue for one that has expired.
        """
        message, receives = self._named(handle)
        if message is None:
            return
        if self.settings.fifo and not self._holds(message, receives):
            raise invalid(handle, "ReceiptHandle", "The receipt handle has expired.")
        if self.repeats > 0 and not self.settings.fifo:
            self.repeats -= 1
            self._show(message)
        else:
            self._remove(message)
        self._tell()

    def change_visibility(self, handle: str, milliseconds: int) -> None:
        """Let a received message come back at another time.

        Args:
            handle: Of its latest receive.
            milliseconds: From now on; 0 is at once.

        Raises:
            AwsError: if the message is not in flight, or would be hidden for more than twelve hours.
        """
        message, receives = self._named(handle)
        now = self._now()
        if message is None or not self._holds(message, receives):
            if message is not None and not self.settings.fifo:
                raise AwsError("MessageNotInflight", "The message referred to isn't in flight.")
            raise invalid(
                handle,
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            )
        if now + milliseconds > message.received_at + LONGEST_MS:
            raise invalid(
                milliseconds // 1000,
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
            )
        message.visible_at = now + milliseconds
        heapq.heappush(self._hidden, (message.visible_at, message.sequence, message))
        self._release(now)
        self._tell()

    def _named(self, handle: str) -> tuple[Message | None, int]:
        try:
            arn, name, receives = base64.b64decode(handle, validate=True).decode().split(" ")
        except (binascii.Error, ValueError):
            raise AwsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.") from None
        if arn != self.arn:
            raise AwsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        return self._messages.get(name), int(receives)

    def _holds(self, message: Message, receives: int) -> bool:
        """Whether who received the message that time still has it."""
        return message.in_flight and message.receives == receives and message.visible_at > self._now()

    def _remove(self, message: Message) -> None:
        del self._messages[message.id]
        group = self._groups[message.group]
        first = group.messages[0] is message
        group.messages.remove(message)
        group.in_flight -= message.in_flight
        if not group.messages:
            del self._groups[message.group]
        elif not group.in_flight and (first or message.in_flight):
            self._offer(group)

    def purge(self) -> None:
        self._messages.clear()
        self._groups.clear()

    def expire(self) -> int:
        """Let everything in flight come back now, as if its time were over; for tests.

        Returns:
            How many messages those were.
        """
        now = self._now()
        self._release(now)
        flying = [message for message in self._messages.values() if message.in_flight]
        for message in flying:
            self._show(message)
        self._tell()
        return len(flying)

    def _show(self, message: Message) -> None:
        now = self._now()
        message.visible_at = now
        heapq.heappush(self._hidden, (now, message.sequence, message))
        self._release(now)

    # looking

    def messages(self) -> list[Message]:
        """All that are in the queue, in flight or not, in the order in which they came."""
        self._forget(self._now())
        return list(self._messages.values())

    def counts(self) -> tuple[int, int, int]:
        """How many are visible, in flight, delayed."""
        now = self._now()
        self._release(now)
        every = self.messages()
        flying = sum(message.in_flight for message in every)
        delayed = sum(message.visible_at > now and not message.in_flight for message in every)
        return len(every) - flying - delayed, flying, delayed

    def next_visible(self) -> int | None:
        """When the earliest hidden message becomes visible, in ms."""
        while self._hidden:
            due_at, _, message = self._hidden[0]
            if self._messages.get(message.id) is message and message.visible_at == due_at:
                return due_at
            heapq.heappop(self._hidden)
        return None

    def listen(self, told: Callable[[], None]) -> Callable[[], None]:
        """Hear of changes.

        Args:
            told: Called when something may have become visible. It must not receive by itself.

        Returns:
            Ends that.
        """
        self._listeners.append(told)
        return lambda: self._listeners.remove(told)

    # an earlier run

    def sent(self) -> list[tuple[tuple[str, str], tuple[int, Message]]]:
        """What a repeated send would be told, by scope and deduplication id, with the time of the first send."""
        return list(self._sent.items())

    def restore(self, message: Message) -> None:
        """A message as it was; they are to come in the order of their sequence."""
        sequence = message.sequence
        self._sequence = sequence - 256
        self.accept(message)

    def remember(self, key: tuple[str, str], at: int, message: Message) -> None:
        self._sent[key] = (at, message)
        self._sequence = max(self._sequence, message.sequence)

    @property
    def listening(self) -> int:
        """How many wait for a message: long polls and mappings."""
        return len(self._listeners)

    def _tell(self) -> None:
        for told in list(self._listeners):
            told()


def _size(*messages: Message) -> int:
    return sum(len(json.dumps(message.body)) for message in messages)
