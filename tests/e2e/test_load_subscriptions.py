"""Many subscriptions and rounds of events on one real daemon, a small ``benches/subscriptions.py``: none lost, none doubled, nothing piles up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHES))
    import subscriptions

    return subscriptions


@pytest.mark.slow
@pytest.mark.rap("SUB-4", "SUB-5", "CB-4")
@pytest.mark.trap("R3", "G3")
async def test_of_many_events_none_is_lost_none_is_doubled_and_none_leaves_anything_in_memory(
    tmp_path: Path, bench: Any
) -> None:
    # Few threads are kept in memory, so that what is kept on purpose is full after the first round.
    load = bench.Load(threads=10, subscriptions=100, events=500, rounds=5, hot_threads=4)
    done = await bench.measure(tmp_path / "home", load)
    assert (done.lost, done.doubled, done.refused) == ([], [], 0)
    assert done.children == load.all_events // bench.THREADED_EVERY, (
        "a repeated event has made a second child"
    )
    # Counted are objects, not bytes: what an event left behind would be there 1,500 times. Connections and caches come and go by tens.
    second, last = done.held[2]["objects"], done.held[5]["objects"]
    grown = {kind: count - second.get(kind, 0) for kind, count in last.items()}
    assert {kind: more for kind, more in grown.items() if more > load.events // 2} == {}
