"""Order numbers of queued messages.

They count within a thread; no sequence is shared, which every transaction of a cluster would have to
ask.

A number begins with the time, so that it is unlike those of other threads, and is greater than any that
its thread has queued. A collision costs a second try. Tables that used a sequence before hold smaller
numbers: what they queued is first. While both versions run side by side, for the minutes of one
deployment, messages that the old one numbers by its sequence may come before earlier ones of their
thread that the new one has queued.
"""

from __future__ import annotations

import random
import time

__all__ = ["fresh", "fresh_many", "step"]

_BITS = 11
"""Random ones behind microseconds since the epoch, which leave room in a BIGINT until 2112."""


_STEP = 20
_now, _chance = time.time_ns, random.getrandbits


class _Latest:
    number = 0


def fresh() -> int:
    """A number greater than any that this process had before."""
    _Latest.number = max(_Latest.number + 1, _now() // 1000 << _BITS | _chance(_BITS))
    return _Latest.number


def step() -> int:
    """How far behind the last one of its thread a number is put.

    That one may be ahead of the time. Not the next number, which another thread may have.
    """
    return 1 + _chance(_STEP)


def fresh_many(count: int) -> list[int]:
    """So many numbers, in order.

    Args:
        count: how many.
    """
    return [fresh() for _ in range(count)]
