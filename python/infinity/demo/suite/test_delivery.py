"""A suite of a few seconds, most of which it really waits. One test fails: ``delays`` forgets its longest
wait.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable

from delivery import delays, deliver  # type: ignore[import-not-found]


def door(opens_at: int) -> Callable[[], bool]:
    knocks = iter(range(1, 100))
    return lambda: next(knocks) >= opens_at


class DeliveryTest(unittest.TestCase):
    def test_an_open_door_needs_one_knock(self) -> None:
        self.assertTrue(deliver(door(1)))

    def test_a_slow_door_is_knocked_at_again(self) -> None:
        self.assertTrue(deliver(door(3)))

    def test_a_closed_door_is_given_up(self) -> None:
        self.assertFalse(deliver(door(99)))

    def test_waits_double(self) -> None:
        self.assertEqual(delays(4, 0.2, 10.0), [0.2, 0.4, 0.8])

    def test_the_last_knock_counts(self) -> None:
        began = time.monotonic()
        self.assertTrue(deliver(door(4)))
        self.assertGreater(time.monotonic() - began, 1.3)

    def test_a_long_round_takes_its_time(self) -> None:
        self.assertFalse(deliver(door(99), tries=5, first=0.2))

    def test_no_wait_is_longer_than_the_longest(self) -> None:
        self.assertLessEqual(max(delays(8, 0.2, 1.0)), 1.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
