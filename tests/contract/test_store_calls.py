"""What calls and deliveries are doing: when they left and ended, in how many tries, and why the last one failed."""

from __future__ import annotations

from pathlib import Path

from tests.contract.stores import Opened
from tests.contract.threads import NOW, answer, call, commit, create, message

from infinity._core import Thread
from infinity.abc import CallRow, OutboxRow, Store

TROUBLE = "HTTP 503 from http://tool"


async def _called(store: Store, id: str = "t", *calls: str) -> Thread:
    """A thread with calls that are on their way."""
    thread = await create(store, id)
    call(thread, *calls)
    for each in calls:
        thread.plan_outbox(f"invoke.{each}", "invoke", "http://tool", b"{}", each)
    await commit(store, thread)
    return thread


async def _told(store: Store, id: str, thread: str = "t") -> tuple[object, ...]:
    [row] = await store.call_rows(thread, call=id)
    assert row.call.id == id
    return row.state, row.sent_at, row.ended_at, row.attempts, row.due_at, row.trouble


async def test_a_call_on_its_way_tells_its_tries_and_why_the_last_one_failed(store: Store) -> None:
    await _called(store, "t", "c")
    assert await _told(store, "c") == ("planned", 0, 0, 0, 0, "")
    await store.outbox_retry("invoke.c", NOW + 500, "first")
    await store.outbox_retry("invoke.c", NOW + 900, TROUBLE)
    assert await _told(store, "c") == ("planned", 0, 0, 2, NOW + 900, TROUBLE)
    assert [row.trouble for row in await store.outbox()] == [TROUBLE]


async def test_what_has_left_says_when_and_after_how_many_tries(store: Store) -> None:
    thread = await _called(store, "t", "c", "other")
    await store.outbox_retry("invoke.c", NOW + 500, TROUBLE)
    await store.outbox_done("invoke.c", "c", None, NOW + 600)
    assert await _told(store, "c") == ("sent", NOW + 600, 0, 2, None, None)
    # The same again, after a crash before anybody heard of it.
    await store.outbox_done("invoke.c", "c", None, NOW + 700)
    assert await _told(store, "c") == ("sent", NOW + 600, 0, 2, None, None)
    answer(thread, "c")
    await commit(store, thread, NOW + 800)
    assert await _told(store, "c") == ("answered", NOW + 600, NOW + 800, 2, None, None)
    assert await _told(store, "other") == ("planned", 0, 0, 0, 0, "")


async def test_a_result_that_is_faster_than_the_answer_to_the_request_loses_no_try(store: Store) -> None:
    thread = await _called(store, "t", "c")
    await store.outbox_retry("invoke.c", NOW + 500, TROUBLE)
    answer(thread, "c")
    thread.cancel_outbox("invoke.c")
    await commit(store, thread, NOW + 800)
    assert await _told(store, "c") == ("answered", 0, NOW + 800, 1, None, None)
    await store.outbox_done("invoke.c", "c", None, NOW + 900)
    assert await _told(store, "c") == ("answered", NOW + 900, NOW + 800, 2, None, None)


async def test_a_call_that_never_leaves_keeps_the_number_of_its_tries(store: Store) -> None:
    thread = await _called(store, "t", "c")
    await store.outbox_retry("invoke.c", NOW + 500, TROUBLE)
    failure = message("t", "failed.c", "result", {"failed": True})
    for _ in range(2):
        await store.outbox_done("invoke.c", None, failure, NOW + 600)
        assert await _told(store, "c") == ("planned", 0, 0, 2, None, None)
    answer(thread, "c", state="failed")
    await commit(store, thread, NOW + 700)
    assert await _told(store, "c") == ("failed", 0, NOW + 700, 2, None, None)


async def test_the_end_of_a_call_is_the_first_one(store: Store) -> None:
    """Its row is written again when its subscription ends."""
    thread = await _called(store, "t", "s")
    answer(thread, "s", subscription=True)
    await commit(store, thread, NOW + 100)
    thread.end_subscription("s")
    await commit(store, thread, NOW + 5_000)
    [row] = await store.call_rows("t", call="s")
    assert row.ended_at == NOW + 100


async def test_calls_are_read_by_pages_in_their_order(store: Store) -> None:
    thread = await _called(store, "t", "b", "a")
    for id in ("b", "a"):
        answer(thread, id)
    await commit(store, thread)
    call(thread, "c")
    await commit(store, thread)
    await _called(store, "else", "x")
    found: list[CallRow] = []
    while page := await store.call_rows("t", after=found[-1].number if found else -1, limit=2):
        found += page
    assert [row.call.id for row in found] == ["b", "a", "c"]
    assert await store.call_rows("t", call="x") == [] == await store.call_rows("nowhere")


async def test_times_and_tries_move_with_their_tree(store: Store, opened: Opened, tmp_path: Path) -> None:
    thread = await _called(store, "t", "c", "d", "e")
    await store.outbox_done("invoke.c", "c", None, NOW + 600)
    await store.outbox_retry("invoke.d", NOW + 500, TROUBLE)
    answer(thread, "e")
    await commit(store, thread, NOW + 800)
    before = [await _told(store, id) for id in "cde"]
    assert before[0][1] and before[1][5]
    await store.export_tree("t", str(tmp_path / "t.infinity"))
    (tmp_path / "elsewhere").mkdir()
    async with opened(tmp_path / "elsewhere") as other:
        await other.import_tree(str(tmp_path / "t.infinity"))
        assert [await _told(other, id) for id in "cde"] == before
        assert await other.outbox() == await store.outbox()


async def test_deliveries_come_by_their_next_try(store: Store) -> None:
    await _called(store, "t", "a", "b", "c")
    await _called(store, "gone", "x")
    await store.outbox_retry("invoke.a", NOW + 900, TROUBLE)
    await store.outbox_retry("invoke.b", NOW + 500, "")
    await store.retire_tree("gone", "moved")
    found: list[OutboxRow] = []
    while page := await store.deliveries(found[-1].place if found else None, limit=2):
        found += page
    assert [(row.key, row.due_at, row.trouble) for row in found] == [
        ("invoke.c", 0, ""),
        ("invoke.b", NOW + 500, ""),
        ("invoke.a", NOW + 900, TROUBLE),
    ]


async def test_timers_of_all_threads_come_by_pages(store: Store) -> None:
    for id, due in (("one", 30), ("two", 10)):
        thread = await create(store, id)
        thread.set_timer("late", NOW + due, "timer", b"{}")
        thread.set_timer("same", NOW + 20, "timer", b'{"purpose":"sleep"}')
        await commit(store, thread)
    assert await store.due_timers(limit=1) == [(await store.timers("two"))[0]]
    found = await store.due_timers(limit=3)
    assert [(row.thread, row.id) for row in found] == [("two", "late"), ("one", "same"), ("two", "same")]
    assert await store.due_timers(found[-1].place) == [(await store.timers("one"))[1]]
    await store.mark_deleted("one", NOW)
    assert {row.thread for row in await store.due_timers()} == {"two"}


async def test_discards_of_all_threads_come_newest_first(store: Store) -> None:
    for id in ("one", "two", "gone"):
        thread = await create(store, id)
        thread.close()
        await commit(store, thread)
    for number, id in enumerate(("one", "two", "gone", "one")):
        await store.accept(message(id, f"m{number}"))
    await store.mark_deleted("gone", NOW)
    found = await store.all_discards(limit=2)
    assert [(row.thread, row.message) for row in found] == [("one", "m3"), ("two", "m1")]
    [last] = await store.all_discards(found[-1].number)
    assert (last.thread, last.message, last.at) == ("one", "m0", NOW) and last.reason
