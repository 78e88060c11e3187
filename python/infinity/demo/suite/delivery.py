"""Delivering a parcel to a door that does not always open: the code under test in the demo."""

from __future__ import annotations

import time
from collections.abc import Callable


def delays(tries: int, first: float, longest: float) -> list[float]:
    """How long to wait before each try after the first one, doubling up to ``longest`` seconds."""
    return [first * 2**number for number in range(tries - 1)]


def deliver(knock: Callable[[], bool], tries: int = 4, first: float = 0.2, longest: float = 1.0) -> bool:
    """Knock until somebody opens; true if anybody did."""
    if knock():
        return True
    for delay in delays(tries, first, longest):
        time.sleep(delay)
        if knock():
            return True
    return False
