"""Effects of a commit (wakes, timers, notifications), collected until they are flushed, before the batch is
acknowledged (I5).

The database has a record of every effect. If the process ends before the flush, the queue delivers the
messages again and the effects are read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from infinity._core import Batch, Message
from infinity.stores.postgres.commit import Notification

__all__ = ["Effects", "PostCommit", "collect_effects", "current_effects"]


@dataclass(slots=True)
class Effects:
    """What is to be flushed.

    ``wakes``: the cause, by thread that has something in its inbox. ``timers``: the due time in
    milliseconds since the epoch, by thread and timer. ``notifications``: rows of the output queue, by key.
    """

    wakes: dict[str, str] = field(default_factory=dict)
    timers: dict[tuple[str, str], int] = field(default_factory=dict)
    notifications: dict[str, Notification] = field(default_factory=dict)


_current: ContextVar[Effects | None] = ContextVar("infinity_effects", default=None)


@contextmanager
def collect_effects() -> Iterator[Effects]:
    """Collect the effects of commits of this task, and of the tasks that it starts, from here on.

    The caller flushes what was collected before it acknowledges the work (I5); leaving the block flushes
    nothing. Blocks may be nested: the innermost one collects.
    """
    found = Effects()
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def current_effects() -> Effects:
    """The effects that are being collected. To commit outside of ``collect_effects`` is a programming error."""
    found = _current.get()
    assert found is not None, "nobody flushes effects here: work within `collect_effects`"
    return found


class PostCommit:
    """``abc.Mailbox`` and ``abc.Alarm`` of a host that exits between slices: they collect effects, which the
    host flushes before it exits.
    """

    def __init__(self) -> None:
        self._urgent: dict[str, list[Message]] = {}
        self._returned: dict[str, list[Message]] = {}

    # abc.Mailbox

    def put(self, messages: Sequence[Message]) -> None:
        """Note a wake for each message that a commit put into an inbox.

        Args:
            messages: Those without a place (``seq`` 0) are in the inbox queue already, which wakes their
                thread by itself.
        """
        for message in messages:
            if message.seq:
                current_effects().wakes[message.thread] = message.id

    def give_back(self, messages: Sequence[Message]) -> None:
        """Take back messages that are due before what their thread has in the queue.

        The queue waits while this invocation has the thread. The wake is for an invocation that breaks off.

        Args:
            messages: In order; ``returned`` gives them to the batch.
        """
        self.put(messages)
        for message in messages:
            self._returned.setdefault(message.thread, []).append(message)

    def returned(self, thread: str) -> list[Message]:
        """What the last commit gave back."""
        return self._returned.pop(thread, [])

    async def take(self) -> Batch:
        raise AssertionError("the queue hands out batches here, nobody takes them")

    def more(self, thread: str) -> list[Message]:
        """Messages that a running slice is to have at once; each is given once."""
        return self._urgent.pop(thread, [])

    def hurry(self, message: Message) -> None:
        """A message that a running slice is to have at once; another copy of it rests in the queue."""
        # It is folded in once: the copy in the queue has the same id, and counts as processed afterwards
        # (I3).
        self._urgent.setdefault(message.thread, []).append(message)

    def queued(self, thread: str) -> int:
        """Nothing waits in this process: the queue has the messages."""
        return 0

    def release(self, thread: str, *, keep: bool = False) -> None:
        """The slice of a thread is over; what it was to have at once is in the queue as well."""
        self._urgent.pop(thread, None)

    # abc.Alarm

    def arm(self, thread: str, timers: Iterable[tuple[str, int]], cancelled: Iterable[str] = ()) -> None:
        """Note timers whose alarms are to be set after the commit.

        Args:
            thread: Whose timers they are.
            timers: Ids with their times, in milliseconds since the epoch.
            cancelled: Ids of timers that are over. A schedule of one stays, and wakes for nothing.
        """
        for timer_id in cancelled:
            current_effects().timers.pop((thread, timer_id), None)
        for timer_id, due_at in timers:
            current_effects().timers[thread, timer_id] = due_at
