"""What may lag behind: every write lost, late or repeated, every read failing, and nothing that matters is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.contract.aws_clients.conftest import Makes

from infinity.aws.breaker import Breaker
from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.backoff import Backoff
from infinity.cloud.blobs import BlobStore
from infinity.cloud.hints import (
    FAILING_SECONDS,
    INTERRUPT_SECONDS,
    LARGEST,
    SEEN_SECONDS,
    HintTable,
    Interrupt,
    Trouble,
)
from infinity.emulator import Emulator, broken, delayed, lost, repeated, reset, slow, throttled
from infinity.emulator.faults import Attempt, Fault
from infinity.emulator.wire import Reply
from infinity.errors import DamagedStore, LimitReached
from infinity.testing.clock import VirtualClock

ODD = ["t", "x" * 5000, "a b\n", "ü🙂", "\ud800", "sha256.0", "#", ""]


@pytest.fixture
def blobs(aws: Aws) -> BlobStore:
    return BlobStore(aws, "claims-bucket")


@pytest.fixture
def hints(aws: Aws, clock: VirtualClock, blobs: BlobStore) -> HintTable:
    """A table that is asked again at once, however often it has given no answer."""
    breaker = Breaker("dynamodb", rest=Backoff(0.0, 0.0))
    return HintTable(aws, "items", clock.now, blobs=blobs, breaker=breaker)


# -- ids already applied


@pytest.mark.parametrize("thread", ODD)
async def test_what_was_remembered_is_seen_by_its_thread_whatever_ids_hold(
    hints: HintTable, thread: str
) -> None:
    await hints.remember(thread, [*ODD, *ODD])
    assert all([await hints.seen(thread, id) for id in ODD])
    assert not await hints.seen(thread, "another") and not await hints.seen(thread + "-", "t")
    assert hints.lost == {}


async def test_many_ids_leave_in_few_requests_and_none_in_none(hints: HintTable, aws: Aws) -> None:
    await hints.remember("t", [])
    assert aws.counts.total() == 0
    await hints.remember("t", [str(number) for number in range(60)])
    assert aws.counts["dynamodb.BatchWriteItem"] == 3
    assert await hints.seen("t", "59")


async def test_an_id_is_forgotten_when_no_queue_can_bring_it_back_and_not_by_its_deletion(
    hints: HintTable, clock: VirtualClock
) -> None:
    await hints.remember("t", ["m"])
    clock.advance(SEEN_SECONDS - 1)
    assert await hints.seen("t", "m")
    clock.advance(1)
    assert not await hints.seen("t", "m"), "it is still in the table: DynamoDB deletes late"


@pytest.mark.trap("R1", "R2")
@pytest.mark.parametrize(
    "fault",
    [throttled(), broken(500), broken(503), reset(), reset(after=True)],
    ids=["throttled", "500", "503", "reset", "reset after"],
)
async def test_a_table_that_is_away_fails_no_slice_and_is_counted(
    cloud: Emulator, hints: HintTable, fault: Fault
) -> None:
    await hints.remember("t", ["m"])
    cloud.faults.add("dynamodb", "*", fault)
    assert not await hints.seen("t", "m"), "not known here: the database is asked"
    await hints.remember("t", ["n"])
    await hints.interrupt("t", "stop", "m")
    assert await hints.take_interrupt("t") is None
    await hints.put_toolset("https://tools.example", b"{}")
    assert await hints.toolset("https://tools.example") is None
    await hints.put_trouble({"t": Trouble("why")})
    assert await hints.failing("t") is None
    assert set(hints.lost) == {
        "seen", "remember", "interrupt", "take_interrupt",
        "put_toolset", "toolset", "put_trouble", "trouble",
    }  # fmt: skip
    cloud.faults.clear()
    assert await hints.seen("t", "m")


@pytest.mark.trap("B1")
async def test_a_hint_that_is_not_answered_costs_a_slice_a_few_seconds_at_most(
    cloud: Emulator, hints: HintTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infinity.aws.client import RetryPolicy
    from infinity.cloud import hints as module

    assert module._HINT.total <= 3
    monkeypatch.setattr(module, "_HINT", RetryPolicy(tries=2, once=0.1, total=0.3))
    cloud.faults.add("dynamodb", "*", slow(3600))
    assert not await hints.seen("t", "m")
    assert hints.lost == {"seen": 1}


def leaving(count: int, times: int) -> Fault:
    """Of a batch, this many are left unprocessed."""
    left = times

    async def act(attempt: Attempt) -> Reply:
        nonlocal left
        assert attempt.request is not None
        asked = json.loads(attempt.request.body)
        ((table, requests),) = asked["RequestItems"].items()
        if left <= 0:
            return await attempt.act()
        left -= 1
        asked["RequestItems"] = {table: requests[count:]}
        if requests[count:]:
            attempt.service.operations["BatchWriteItem"](asked)  # type: ignore[attr-defined]
        answer = {"UnprocessedItems": {table: requests[:count]}}
        return Reply(200, json.dumps(answer).encode(), {"content-type": "application/x-amz-json-1.0"})

    return act


async def test_what_is_left_of_a_batch_is_written_by_the_next(
    cloud: Emulator, hints: HintTable, aws: Aws
) -> None:
    cloud.faults.add("dynamodb", "BatchWriteItem", leaving(3, 2))
    await hints.remember("t", [str(number) for number in range(10)])
    assert all([await hints.seen("t", str(number)) for number in range(10)])
    assert aws.counts["dynamodb.BatchWriteItem"] == 3 and hints.lost == {}
    cloud.faults.clear()
    cloud.faults.add("dynamodb", "BatchWriteItem", leaving(1, 99))
    await hints.remember("t", ["a", "b"])
    assert hints.lost == {"remember": 1} and not await hints.seen("t", "a") and await hints.seen("t", "b")


@pytest.mark.parametrize(
    "fault", [lost, lambda: delayed(60), lambda: repeated(60)], ids=["lost", "late", "repeated"]
)
async def test_an_id_whose_write_went_astray_is_at_worst_asked_for_in_the_database(
    cloud: Emulator, hints: HintTable, clock: VirtualClock, fault: Callable[[], Fault]
) -> None:
    cloud.faults.add("dynamodb", "*", fault(), times=1)
    await hints.remember("t", ["m"])
    await hints.seen("t", "m")  # either answer is right: only true says anything
    clock.advance(61)
    assert not await hints.seen("t", "never applied")


# -- views


async def test_the_latest_view_of_each_type_is_kept(hints: HintTable, clock: VirtualClock) -> None:
    await hints.put_view("t", "plan", b'{"v":1}')
    clock.advance(1)
    await hints.put_view("t", "plan", b'{"v":2}')
    await hints.put_view("t", "x" * 3000, b'{"v":3}')
    await hints.remember("t", ["view#plan"])
    assert sorted(await hints.views("t")) == [("plan", b'{"v":2}'), ("x" * 3000, b'{"v":3}')]
    assert await hints.views("u") == []


async def test_a_view_that_comes_late_does_not_replace_a_later_one(
    cloud: Emulator, hints: HintTable, clock: VirtualClock
) -> None:
    cloud.faults.add("dynamodb", "PutItem", repeated(60), times=1)
    await hints.put_view("t", "plan", b"old")
    clock.advance(1)
    await hints.put_view("t", "plan", b"new")
    clock.advance(61)
    assert await hints.views("t") == [("plan", b"new")]


async def test_views_that_cannot_be_stored_or_read_are_errors_and_not_none(
    cloud: Emulator, hints: HintTable
) -> None:
    await hints.put_view("t", "plan", b"{}")
    cloud.faults.add("dynamodb", "*", broken(500))
    with pytest.raises(AwsError):
        await hints.put_view("t", "plan", b"{}")
    with pytest.raises(AwsError):
        await hints.views("t")
    assert hints.lost == {}


async def test_a_large_view_goes_to_the_bucket_and_comes_back(cloud: Emulator, hints: HintTable) -> None:
    large = b"x" * (LARGEST + 1)
    await hints.put_view("t", "plan", large)
    await hints.put_view("t", "edge", large[:LARGEST])
    assert sorted(await hints.views("t")) == [("edge", large[:LARGEST]), ("plan", large)]
    assert len(cloud.s3.objects("claims-bucket")) == 1
    cloud.s3.objects("claims-bucket").clear()
    with pytest.raises(DamagedStore):
        await hints.views("t")


async def test_without_a_bucket_a_large_view_is_refused_with_its_size(
    make: Makes, clock: VirtualClock
) -> None:
    bare = HintTable(make(), "items", clock.now)
    with pytest.raises(LimitReached, match="the view plan has 380001 bytes, more than 380000"):
        await bare.put_view("t", "plan", b"x" * (LARGEST + 1))


async def test_views_of_many_pages_are_all_there(hints: HintTable) -> None:
    for number in range(5):
        await hints.put_view("t", str(number), b"x" * (LARGEST - 5))
    assert [len(body) for _, body in await hints.views("t")] == [LARGEST - 5] * 5


# -- toolsets, interrupts, failures


async def test_a_toolset_is_kept_whatever_its_size(hints: HintTable) -> None:
    assert await hints.toolset("https://tools.example") is None
    for copy in (b'{"tools":[]}', b"x" * 1_000_000):
        await hints.put_toolset("https://tools.example", copy)
        assert await hints.toolset("https://tools.example") == copy
    assert hints.lost == {}


async def test_an_interrupt_is_taken_once(hints: HintTable) -> None:
    assert await hints.take_interrupt("t") is None
    await hints.interrupt("t", "stop", "control.1")
    assert await hints.take_interrupt("u") is None
    assert await hints.take_interrupt("t") == Interrupt("stop", "control.1")
    assert await hints.take_interrupt("t") is None
    await hints.interrupt("t", "interrupt", "control.2", "keep calls")
    assert await hints.take_interrupt("t") == Interrupt("interrupt", "control.2", "keep calls")


async def test_looking_for_an_interrupt_that_is_not_there_only_reads(hints: HintTable, aws: Aws) -> None:
    await hints.take_interrupt("t")
    assert dict(aws.counts) == {"dynamodb.GetItem": 1}


async def test_an_interrupt_of_a_slice_long_over_is_not_found_by_another(
    hints: HintTable, clock: VirtualClock
) -> None:
    await hints.interrupt("t", "stop", "control.1")
    clock.advance(INTERRUPT_SECONDS)
    assert await hints.take_interrupt("t") is None


async def test_one_that_another_process_takes_first_is_not_taken_twice(
    cloud: Emulator, hints: HintTable
) -> None:
    await hints.interrupt("t", "stop", "control.1")

    async def first(attempt: Attempt) -> Reply:
        await attempt.act()
        return await attempt.act()

    cloud.faults.add("dynamodb", "DeleteItem", first)
    assert await hints.take_interrupt("t") is None and hints.lost == {}


async def test_why_a_thread_fails_is_shown_for_a_while(hints: HintTable, clock: VirtualClock) -> None:
    await hints.put_trouble({"t": Trouble("storage: the database is away")})
    assert await hints.failing("t") == "storage: the database is away"
    clock.advance(FAILING_SECONDS)
    assert await hints.failing("t") is None


async def test_an_item_that_is_none_of_ours_is_no_answer(cloud: Emulator, hints: HintTable, aws: Aws) -> None:
    item = {"pk": {"S": "thread#t"}, "sk": {"S": "schedule"}, "expires": {"N": "9999999999"}}
    await aws.json("dynamodb", "PutItem", {"TableName": "items", "Item": item})
    assert await hints.schedule("t") is None and hints.lost == {"schedule": 1}
