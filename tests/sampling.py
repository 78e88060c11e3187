"""Long tables of cases: all of them, or, for ``make test``, a part that each run draws anew.

``INFINITY_CASES``: ``half``, or ``all``, which holds where nothing is said, in the sweep and in CI. ``INFINITY_SEED``: the same part again. A case that
failed is run again by its name, which needs no seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import TypeVar

Case = TypeVar("Case")

HALF = os.environ.get("INFINITY_CASES", "all") == "half"
# Both workers of a run have to collect the same.
SEED = os.environ.get("INFINITY_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.random())


def sample(
    cases: Iterable[Case], kind: Callable[[Case], str], *, half: bool = HALF, seed: str = SEED
) -> list[Case]:
    """In their order. Of each kind half of the cases, and one at least."""
    table = list(cases)
    if not half:
        return table
    by_kind: dict[str, list[int]] = {}
    for place, case in enumerate(table):
        by_kind.setdefault(kind(case), []).append(place)
    drawn = {
        place
        for name, places in by_kind.items()
        for place in random.Random(f"{seed} {name}").sample(places, (len(places) + 1) // 2)
    }
    return [case for place, case in enumerate(table) if place in drawn]
