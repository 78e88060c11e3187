"""Many subscriptions and events on one real daemon, a tenth of ``benches/subscriptions.py``: none lost, none doubled, nothing piles up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).parents[2] / "benches"
MEBIBYTE = 1 << 20


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHES))
    import subscriptions

    return subscriptions


@pytest.mark.slow
@pytest.mark.rap("SUB-4", "SUB-5", "CB-4")
@pytest.mark.trap("R3", "G3")
async def test_of_many_events_none_is_lost_and_none_is_doubled(tmp_path: Path, bench: Any) -> None:
    load = bench.Load(threads=10, subscriptions=100, events=1_000)
    done = await bench.measure(tmp_path / "home", load)
    assert (done.lost, done.doubled, done.refused) == ([], [], 0)
    assert done.children == load.events // bench.THREADED_EVERY, "a repeated event has made a second child"
    before, half, whole = done.resident
    assert whole - half < max(half - before, 0) + 24 * MEBIBYTE, "memory grows with every event"
