"""What ``make test`` leaves to other runs is a different half each time, and nothing is left out for good."""

from __future__ import annotations

import re
from pathlib import Path

from tests.sampling import sample

ROOT = Path(__file__).parents[2]
CASES = [(kind, number) for number in range(5) for kind in ("a", "b", "c")] + [("rare", 0)]


def half(seed: str) -> list[tuple[str, int]]:
    return sample(CASES, lambda case: case[0], half=True, seed=seed)


def test_half_of_each_kind_is_drawn_in_order_and_no_kind_is_left_out() -> None:
    drawn = half("a seed")
    assert [sum(kind == name for kind, _ in drawn) for name in ("a", "b", "c", "rare")] == [3, 3, 3, 1]
    assert drawn == sorted(drawn, key=CASES.index)


def test_the_same_seed_draws_the_same_and_others_the_rest() -> None:
    assert half("a seed") == half("a seed")
    assert {case for number in range(50) for case in half(str(number))} == set(CASES)


def test_all_are_run_unless_a_half_is_asked_for_and_ci_asks_for_all() -> None:
    assert sample(CASES, lambda case: case[0], half=False) == CASES
    assert "export INFINITY_CASES=all" in (ROOT / ".ci/run").read_text()
    assert re.search(r"^INFINITY_CASES \?= half$", (ROOT / "Makefile").read_text(), re.MULTILINE)
