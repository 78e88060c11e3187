"""What could not be recorded is recorded later: each completion by itself, and none of it is lost when that fails again (I12)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from infinity.engine.attempts import Attempts, Owed
from infinity.errors import StoreError
from infinity.testing.clock import VirtualClock


class Records:
    """The one method of a store that attempts need. ``fail``: how many of the next calls do."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.fail = 0
        self.version = 0
        self.may_answer = asyncio.Event()

    async def thread(self, id: str) -> Any:
        await self.may_answer.wait()
        return SimpleNamespace(version=self.version)

    async def record_attempt(self, thread: str, code: str, at: int, **spent: int) -> int:
        if self.fail:
            self.fail -= 1
            raise StoreError("the disk is full")
        self.codes.append(code)
        return len(self.codes)


@pytest.mark.trap("L22")
async def test_what_one_slice_leaves_behind_is_an_attempt_for_each_completion() -> None:
    records: Any = Records()
    attempts = Attempts(records, VirtualClock())
    records.fail = 2
    for code in ("overloaded", "storage"):
        with pytest.raises(StoreError):
            await attempts.record("t", Owed(code))
    assert attempts.owed("t") and records.codes == []
    assert await attempts.settle("t") == 2
    assert records.codes == ["overloaded", "storage"] and not attempts.owed("t")


@pytest.mark.trap("L22")
@pytest.mark.parametrize(("version", "codes"), [(7, []), (6, ["abandoned"])], ids=["durable", "not durable"])
async def test_a_commit_that_nobody_waited_for_is_looked_up_and_a_look_that_is_cut_off_forgets_nothing(
    version: int, codes: list[str]
) -> None:
    records: Any = Records()
    records.version = version
    attempts = Attempts(records, VirtualClock())
    attempts.owe("t", Owed("abandoned", version=7))
    looking = asyncio.ensure_future(attempts.settle("t"))
    await asyncio.sleep(0)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert attempts.owed("t")
    records.may_answer.set()
    await attempts.settle_commits("t")
    assert records.codes == codes and not attempts.owed("t")
