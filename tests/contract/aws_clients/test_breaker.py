"""A service that gives no answer costs one slow try, anyone who asks for it: counted at the stand-in."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from infinity.aws.breaker import Breaker, NotAsked
from infinity.aws.client import Aws, RetryPolicy
from infinity.aws.failure import AwsError
from infinity.backoff import Backoff
from infinity.cloud import hints as module
from infinity.cloud.hints import HintTable, Trouble
from infinity.emulator import Emulator, broken, refused, reset, slow, throttled
from infinity.emulator.faults import Fault, Gate
from infinity.testing.clock import VirtualClock

REST = 10.0
TRIES = 2
SILENT: dict[str, Fault] = {"silent": slow(3600), "cut off": reset(), "500": broken(500), "503": broken(503)}
PRESENT: dict[str, Fault] = {"throttled": throttled(), "refused": refused("AccessDeniedException")}


class Hands:
    """Two clocks that a test turns."""

    def __init__(self) -> None:
        self.now = self.wall = 1000.0

    def turn(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def breaker(hands: Hands) -> Breaker:
    rest = Backoff(REST, 4 * REST, least=1.0)
    return Breaker("dynamodb", rest=rest, now=lambda: hands.now, wall=lambda: hands.wall)


@pytest.fixture
def hints(aws: Aws, clock: VirtualClock, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> HintTable:
    brief = RetryPolicy(tries=TRIES, connect=2.0, once=0.5, total=10.0)
    monkeypatch.setattr(module, "_HINT", brief)
    monkeypatch.setattr(module, "_VIEW", brief)
    return HintTable(aws, "items", clock.now, breaker=breaker)


async def _everything(hints: HintTable) -> None:
    """What slices and doors ask of the table: every hint, and views."""
    for n in range(5):
        assert not await hints.seen("t", f"m{n}")
        await hints.remember("t", [f"m{n}"])
        assert await hints.claim_key("t", f"m{n}", "print")
        await hints.interrupt("t", "stop", "m")
        assert await hints.take_interrupt("t") is None
        assert await hints.toolset("https://tools.example") is None
        await hints.put_trouble({"t": Trouble("why")})
        assert await hints.trouble("t") is None
        assert await hints.schedule("t") is None
        with pytest.raises(AwsError):
            await hints.views("t")
        with pytest.raises(AwsError):
            await hints.put_view("t", "diff", b"{}")


@pytest.mark.trap("B1", "R1")
@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
async def test_a_table_that_gives_no_answer_costs_one_slow_try(
    cloud: Emulator, hints: HintTable, aws: Aws, hands: Hands, fault: Fault
) -> None:
    rule = cloud.faults.add("dynamodb", "*", fault)
    await _everything(hints)
    assert aws.counts.total() == TRIES, "the tries of the first request"
    assert hints.lost["seen"] == 5, "and all hints are lost, as if each had been tried"
    hands.turn(REST)
    await _everything(hints)
    assert aws.counts.total() == 2 * TRIES, "one request finds out whether it is back"
    hands.turn(REST)
    await _everything(hints)
    assert aws.counts.total() == 2 * TRIES, "it is left alone for longer each time"
    rule.remove()
    hands.turn(REST)
    await hints.remember("t", ["m"])
    assert await hints.seen("t", "m"), "and used again as soon as it is back"


@pytest.mark.parametrize("fault", PRESENT.values(), ids=PRESENT)
async def test_a_table_that_says_no_at_once_is_asked_each_time(
    cloud: Emulator, hints: HintTable, fault: Fault
) -> None:
    rule = cloud.faults.add("dynamodb", "*", fault)
    for n in range(5):
        assert not await hints.seen("t", f"m{n}")
    assert rule.hits >= 5


async def test_a_refusal_is_an_answer(cloud: Emulator, hints: HintTable, hands: Hands) -> None:
    cloud.faults.add("dynamodb", "*", reset(), times=TRIES)
    cloud.faults.add("dynamodb", "*", refused("AccessDeniedException"), times=1)
    assert not await hints.seen("t", "m")
    hands.turn(REST)
    assert not await hints.seen("t", "m")
    await hints.remember("t", ["m"])
    assert await hints.seen("t", "m")


async def test_several_requests_that_fall_silent_together_are_one_failure(
    cloud: Emulator, hints: HintTable, hands: Hands
) -> None:
    rule = cloud.faults.add("dynamodb", "*", reset())
    assert not any(await asyncio.gather(*(hints.seen("t", f"m{n}") for n in range(10))))
    rule.remove()
    hands.turn(REST)
    await hints.remember("t", ["m"])
    assert await hints.seen("t", "m"), "it has rested once, and not ten times"


@pytest.mark.parametrize("cancelled", [False, True], ids=["answered", "cancelled"])
async def test_one_request_at_a_time_finds_out_whether_the_table_is_back(
    cloud: Emulator, hints: HintTable, hands: Hands, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    cloud.faults.add("dynamodb", "*", reset(), times=TRIES)
    assert not await hints.seen("t", "m")
    hands.turn(REST)
    monkeypatch.setattr(module, "_HINT", RetryPolicy(tries=1, once=30.0, total=30.0))
    gate = Gate()
    rule = cloud.faults.add("dynamodb", "*", gate, times=1)
    asking = asyncio.create_task(hints.trouble("t"))
    await gate.arrived()
    assert await hints.trouble("t") is None and hints.lost["trouble"] == 1
    assert rule.hits == 1
    if cancelled:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    gate.open()
    assert cancelled or await asking == Trouble()
    assert await hints.trouble("t") == Trouble(), "nobody waits for the one that was cancelled"


async def test_a_process_that_was_frozen_asks_again_at_once(hands: Hands, breaker: Breaker) -> None:
    with pytest.raises(AwsError), breaker.request():
        raise AwsError("no answer", retryable=True)
    with pytest.raises(NotAsked), breaker.request():
        raise AssertionError("left alone")
    hands.wall -= 3600
    with pytest.raises(NotAsked), breaker.request():
        raise AssertionError("a clock that is put back ends no rest, and makes none longer")
    hands.wall += 3600 + REST
    with breaker.request():
        pass
    hands.wall -= 3600
    with breaker.request():
        pass
