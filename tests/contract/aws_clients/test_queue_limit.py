"""How many messages of a thread are queued, counted where they come in: never more than may be, and never far fewer."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from infinity.aws.client import Aws
from infinity.cloud.hints import HintTable
from infinity.cloud.queue_limit import PARTS, QueueLimit
from infinity.errors import LimitReached
from infinity.testing.clock import VirtualClock


class Thread:
    """``queued``: ids that wait; ``consumed``: ids that were read."""

    def __init__(self) -> None:
        self.queued: list[str] = []
        self.consumed: set[str] = set()

    def read(self, count: int) -> None:
        self.consumed |= set(self.queued[:count])
        del self.queued[:count]

    async def known(self, thread: str, ids: Sequence[str]) -> list[str]:
        assert thread == "t"
        return [id for id in ids if id in self.consumed]


@pytest.mark.trap("G2")
@pytest.mark.parametrize("most", [1, 5, 20])
async def test_a_message_is_refused_when_about_as_many_wait_as_may(
    aws: Aws, clock: VirtualClock, most: int
) -> None:
    thread, chance, refusals = Thread(), random.Random(most), 0
    limit = QueueLimit(HintTable(aws, "items", clock.now), most, thread.known)
    for number in range(5 * most):
        try:
            await limit.admit("t", f"m{number}")
        except LimitReached:
            refusals += 1
            assert len(thread.queued) > most - max(1, most // PARTS)
            thread.read(chance.randint(1, most))
        else:
            thread.queued.append(f"m{number}")
            assert len(thread.queued) <= most
            if chance.random() < 0.1:
                thread.read(chance.randint(0, len(thread.queued)))
    assert refusals


@pytest.mark.trap("G2")
async def test_a_thread_that_has_read_everything_is_never_refused(aws: Aws, clock: VirtualClock) -> None:
    """Nor one that was told the same again and again, or refused for long."""
    thread = Thread()
    limit = QueueLimit(HintTable(aws, "items", clock.now), 4, thread.known)
    for again in range(3):
        for _ in range(4):
            await limit.admit("t", f"same{again}")
        for _ in range(9):
            with pytest.raises(LimitReached, match=r"4 messages waiting \(limits.queued_messages\)"):
                await limit.admit("t", "too much")
        thread.consumed.add(f"same{again}")
    await limit.admit("t", "at last")


async def test_threads_are_counted_apart(aws: Aws, clock: VirtualClock) -> None:
    limit = QueueLimit(HintTable(aws, "items", clock.now), 1, Thread().known)
    await limit.admit("t", "m")
    with pytest.raises(LimitReached):
        await limit.admit("t", "n")
    await limit.admit("another", "m")
