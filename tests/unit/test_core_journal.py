"""The journal through its bindings: real threads, tickets, one descriptor. Its insides are tested in rust/tests/journal."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity._core import CoreError, Journal, Message, Thread, Wake, repair_journal
from infinity.readable import readable

TEXT = b'[{"type":"text","text":"hello"}]'


class Desk:
    """Submits, waits for the wake, collects: what a host does, one operation at a time."""

    def __init__(self, path: Path) -> None:
        self.wake = Wake()
        self.journal = Journal.open(str(path), self.wake)
        self.outcomes: dict[int, tuple[Any, CoreError | None]] = {}

    def outcome(self, ticket: int) -> Any:
        while ticket not in self.outcomes:
            for number, value, error in self.journal.finished():
                self.outcomes[number] = (value, error)
            if ticket not in self.outcomes:
                assert readable(self.wake.fileno(), PATIENCE), "the journal does not answer"
                self.wake.drain()
        value, error = self.outcomes.pop(ticket)
        if error is not None:
            assert value is None
            raise error
        return value

    def commit(self, thread: Thread, now: int = 1) -> list[Message]:
        sent: list[Message] = self.outcome(self.journal.commit(thread.delta(now)))
        thread.committed()
        return sent

    def created(self, id: str) -> Thread:
        thread = Thread.create(id, now=1, model="test")
        self.commit(thread)
        return thread

    def queue(self, thread: str, id: str) -> Message:
        status, message = self.outcome(self.journal.accept(Message(thread, id, "user", b"{}", accepted_at=5)))
        assert status == "accepted"
        assert isinstance(message, Message)
        return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "infinity.db"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    desk = Desk(path)
    yield desk
    desk.journal.close()


def code(caught: pytest.ExceptionInfo[CoreError]) -> str:
    return str(caught.value.args[0])


def test_a_message_is_accepted_once_and_found_by_the_next_start(desk: Desk, path: Path) -> None:
    desk.created("t")
    accepted = desk.queue("t", "m1")
    assert (accepted.thread, accepted.id, accepted.accepted_at, accepted.seq > 0) == ("t", "m1", 5, True)
    assert desk.outcome(desk.journal.accept(Message("t", "m1", "user", b"{}"))) == ("duplicate", None)
    assert desk.outcome(desk.journal.accept(Message("u", "m1", "user", b"{}"))) == ("unknown_thread", None)
    desk.journal.close()
    (found,) = (again := Desk(path)).outcome(again.journal.inbox())
    assert (found.thread, found.id, found.kind, found.body, found.seq) == (
        "t",
        "m1",
        "user",
        b"{}",
        accepted.seq,
    )
    assert again.outcome(again.journal.inbox(accepted.seq)) == []


def test_a_thread_is_loaded_as_it_was_committed(desk: Desk) -> None:
    thread = desk.created("t")
    message = desk.queue("t", "m1")
    thread.consume(message)
    thread.add_user(TEXT, now=2)
    desk.commit(thread, 2)
    loaded = Thread.load(desk.outcome(desk.journal.load("t", message_ids=["m1", "m2"])))
    assert (loaded.version, loaded.position, loaded.render()) == (2, 1, thread.render())
    assert (loaded.seen("m1"), loaded.seen("m2")) == (True, False)
    assert desk.outcome(desk.journal.load("t", 2)) is None


def test_a_child_is_loaded_with_the_entries_it_inherits(desk: Desk) -> None:
    parent = desk.created("t")
    parent.add_user(TEXT, now=2)
    child = parent.fork("c", now=2, origin=b"{}", placeholder=TEXT)
    child.add_user(b'[{"type":"text","text":"you are the child"}]', now=2)
    desk.commit(parent, 2)
    loaded = Thread.load(desk.outcome(desk.journal.load("c")))
    assert (loaded.parent, loaded.root, loaded.ancestors) == ("t", "t", ["t"])
    assert b"hello" in loaded.render()
    assert b"you are the child" in loaded.render()
    assert [row[0] for row in desk.outcome(desk.journal.threads(parent="t"))] == ["c"]


@pytest.mark.trap("R4")
def test_the_second_of_two_slices_hears_of_the_conflict(desk: Desk) -> None:
    first = desk.created("t")
    second = Thread.load(desk.outcome(desk.journal.load("t")))
    first.add_user(TEXT, now=2)
    second.add_user(TEXT, now=2)
    desk.commit(first, 2)
    with pytest.raises(CoreError) as caught:
        desk.commit(second, 2)
    assert code(caught) == "conflict"


@pytest.mark.rap("RUN-1")
@pytest.mark.trap("R1")
def test_a_thread_that_is_not_there_is_an_error(desk: Desk) -> None:
    with pytest.raises(CoreError) as caught:
        desk.outcome(desk.journal.load("nobody"))
    assert code(caught) == "not_found"
    assert desk.outcome(desk.journal.thread("nobody")) is None


@pytest.mark.trap("S6")
@pytest.mark.rap("CB-2")
def test_what_a_message_expects_is_checked_before_it_is_accepted(desk: Desk) -> None:
    thread = desk.created("t")
    block = b'[{"type":"tool_use","id":"c1","name":"get","input":{}}]'
    thread.add_user(TEXT, now=2)
    call = thread.plan_call(
        "c1", provider_id="c1", tool="get", toolset="s", arguments=b"{}", deadline=None, user_id=None
    )
    thread.add_turn(block, [call], now=2)
    thread.plan_outbox("c1", "invoke", "http://tool", b"{}", "c1")
    desk.commit(thread, 2)

    def accept(id: str, expect: str, call_id: str) -> str:
        status: str = desk.outcome(desk.journal.accept(Message("t", id, "result", b"{}"), expect, call_id))[0]
        return status

    assert accept("c1", "call", "c1") == "accepted"
    assert accept("c1", "call", "c1") == "duplicate"
    assert accept("x", "call", "x") == "unknown_call"
    assert accept("e", "event", "c1") == "accepted"
    ((record, state),) = desk.outcome(desk.journal.calls("t"))
    assert (desk.outcome(desk.journal.find_call("c1")), state) == ((record, "planned"), "planned")
    assert desk.outcome(desk.journal.outbox_done("c1", sent_call="c1")) is None
    assert desk.outcome(desk.journal.find_call("c1")) == (record, "sent")


def test_expecting_without_a_call_or_with_an_unknown_word_is_refused_at_once(desk: Desk) -> None:
    for expect, call_id in [("call", None), ("event", None), ("hope", "c")]:
        with pytest.raises(CoreError) as caught:
            desk.journal.accept(Message("t", "m", "user", b"{}"), expect, call_id)
        assert code(caught) == "rule"


@pytest.mark.trap("L14")
def test_timers_fire_outbox_rows_wait_and_prompts_stay_across_a_restart(desk: Desk, path: Path) -> None:
    thread = desk.created("t")
    thread.set_timer("late", 20, "timer", b"[2]")
    thread.set_timer("soon", 10, "timer", b"[1]")
    thread.plan_outbox("k", "close", "http://tool", b"{}")
    thread.open_prompt("p", "choice", b"{}")
    desk.commit(thread)
    desk.journal.close()
    desk = Desk(path)
    journal = desk.journal
    assert desk.outcome(journal.next_timer()) == 10
    assert desk.outcome(journal.timers("t")) == [
        ("soon", "t", 10, "timer", b"[1]"),
        ("late", "t", 20, "timer", b"[2]"),
    ]
    assert [(fired.id, fired.body) for fired in desk.outcome(journal.fire_timers(15))] == [("soon", b"[1]")]
    assert desk.outcome(journal.fire_timers(15)) == []
    desk.outcome(journal.outbox_retry("k", 99))
    assert desk.outcome(journal.outbox()) == [("k", "close", "http://tool", b"{}", None, "t", 1, 99, "")]
    assert desk.outcome(journal.prompts()) == [("p", "t", "choice", b"{}")]
    journal.close()


def test_the_feed_goes_on_after_the_position_last_seen(desk: Desk) -> None:
    thread = desk.created("t")
    thread.add_user(TEXT, now=2)
    thread.note("note", b'{"a":1}')
    desk.commit(thread, 2)
    (_, record), *_ = desk.outcome(desk.journal.entries("t"))
    first, second = desk.outcome(desk.journal.feed("t"))
    assert (first[0], first[1], first[3]) == (0, "entry", record)
    assert second == (1, "note", b'{"a":1}', None)
    assert desk.outcome(desk.journal.feed("t", 0)) == [second]


@pytest.mark.rap("VIEW-1")
def test_views_settings_and_counts_are_kept(desk: Desk) -> None:
    desk.created("t")
    assert desk.outcome(desk.journal.put_view("t", "diff", b"1")) is True
    assert desk.outcome(desk.journal.put_view("t", "diff", b"2")) is True
    assert desk.outcome(desk.journal.put_view("x", "diff", b"2")) is False
    assert desk.outcome(desk.journal.views("t")) == [("diff", b"2")]
    assert desk.outcome(desk.journal.put_meta("key", b"\x00")) is None
    assert desk.outcome(desk.journal.meta("key")) == b"\x00"
    assert desk.outcome(desk.journal.meta("other")) is None
    assert set(desk.outcome(desk.journal.counts())) == {
        "threads", "entries", "inbox", "outbox", "timers", "seen", "discards", "prompts",
    }  # fmt: skip


def test_a_discard_is_recorded_with_its_reason(desk: Desk) -> None:
    thread = desk.created("t")
    thread.consume(desk.queue("t", "m1"), "malformed")
    thread.close()
    desk.commit(thread, 7)
    assert desk.outcome(desk.journal.accept(Message("t", "m2", "user", b"{}", accepted_at=8))) == (
        "discarded",
        None,
    )
    assert desk.outcome(desk.journal.discards("t")) == [("m2", "closed", 8), ("m1", "malformed", 7)]


@pytest.mark.trap("B7")
def test_a_second_journal_is_told_who_holds_the_file(desk: Desk, path: Path) -> None:
    with pytest.raises(CoreError) as caught:
        Journal.open(str(path), Wake())
    assert code(caught) == "locked"
    assert str(os.getpid()) in caught.value.args[1]


def test_a_closed_journal_answers_closed(desk: Desk) -> None:
    desk.journal.close()
    with pytest.raises(CoreError) as caught:
        desk.outcome(desk.journal.counts())
    assert code(caught) == "closed"


def test_a_journal_that_is_forgotten_lets_go_of_its_file(path: Path) -> None:
    desk = Desk(path)
    desk.created("t")
    del desk
    gc.collect()
    again = Desk(path)
    assert again.outcome(again.journal.thread("t"))[0] == "t"


@pytest.mark.trap("L16")
def test_a_damaged_file_is_refused_and_can_be_repaired(desk: Desk, path: Path) -> None:
    desk.created("t")
    desk.queue("t", "m1")
    desk.journal.close()
    contents = bytearray(path.read_bytes())
    contents[:100] = bytes(100)
    path.write_bytes(contents)
    with pytest.raises(CoreError) as caught:
        Journal.open(str(path), Wake())
    assert code(caught) == "damaged"
    assert "infinity doctor --repair" in caught.value.args[1]

    report = json.loads(repair_journal(str(path)))
    assert report["path"] == str(path)
    assert Path(report["damaged"]).read_bytes() == contents
    assert (report["rows"]["threads"], report["rows"]["inbox"]) == (1, 1)
    assert report["lost"] == ["the first page, which was replaced"]
    again = Desk(path)
    assert [message.id for message in again.outcome(again.journal.inbox())] == ["m1"]


def test_waiting_for_the_disk_does_not_hold_the_interpreter(desk: Desk) -> None:
    desk.created("t")
    turns = 0
    done = threading.Event()

    def close() -> None:
        desk.journal.close()
        done.set()

    for number in range(2000):
        desk.journal.accept(Message("t", str(number), "user", b"x" * 1000))
    closer = threading.Thread(target=close)
    closer.start()
    while not done.wait(0.0001):
        turns += 1
    closer.join()
    assert turns > 0, "close kept the GIL until it was done"
    assert len(desk.journal.finished()) >= 2000


@pytest.mark.trap("L1")
def test_what_was_accepted_survives_sigkill(path: Path) -> None:
    script = """
import os, select, signal, sys
from infinity._core import Journal, Message, Thread, Wake
wake = Wake()
journal = Journal.open(sys.argv[1], wake)
def wait(ticket):
    outcomes = {}
    while ticket not in outcomes:
        select.select([wake.fileno()], [], [])
        wake.drain()
        outcomes.update({number: (value, error) for number, value, error in journal.finished()})
    return outcomes[ticket]
wait(journal.commit(Thread.create("t", now=1, model="test").delta(1)))
(status, message), error = wait(journal.accept(Message("t", "m1", "user", b"{}")))
assert status == "accepted", error
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL
    desk = Desk(path)
    assert [message.id for message in desk.outcome(desk.journal.inbox())] == ["m1"]
