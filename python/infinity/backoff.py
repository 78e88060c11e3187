"""How long to wait before the next try: the one rule for all waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]

_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between tries: doubling from ``first`` to ``longest``, with jitter.

    Jitter keeps those who failed together from coming back together.

    Args:
        first: The longest first wait.
        longest: What no wait exceeds.
        least: The share of each wait that is not left to chance, 0 to 1.
        chance: Gives 0 to 1; tests give a fixed one.
    """

    first: float = 0.5
    longest: float = 60.0
    least: float = 0.5
    chance: Callable[[], float] = random.random

    def wait(self, tries: int) -> float:
        """The next wait in seconds.

        Args:
            tries: How many waits there were before this one; 0 is the first.
        """
        longest = min(self.longest, self.first * 2.0 ** min(max(tries, 0), _MOST_DOUBLINGS))
        return longest * (self.least + (1.0 - self.least) * self.chance())

    def longer(self, wait: float) -> float:
        """The wait after one of ``wait`` seconds, without jitter; for callers that keep nothing but the last
        wait.
        """
        return min(max(wait * 2.0, self.first), self.longest)
