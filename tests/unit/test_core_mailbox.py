"""The mailboxes as Python sees them; the rules themselves are proved in rust/tests/mailbox.rs."""

from __future__ import annotations

import threading

import pytest
from tests.patience import PATIENCE

from infinity._core import CoreError, Mailboxes, Message, Wake
from infinity.readable import readable


def message(thread: str, id: str, body: bytes = b"{}") -> Message:
    return Message(thread, id, "user", body)


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


def is_readable(wake: Wake) -> bool:
    return readable(wake.fileno(), 0)


def test_a_message_carries_what_it_was_made_of() -> None:
    made = Message("t", "m", "user", b'{"text":"\xc3\xa4"}', seq=7, accepted_at=9)
    assert (made.thread, made.id, made.kind, made.body) == ("t", "m", "user", '{"text":"ä"}'.encode())
    assert (made.seq, made.accepted_at) == (7, 9)


def test_a_message_cannot_be_changed_and_is_equal_only_to_itself() -> None:
    made = message("t", "m")
    with pytest.raises(AttributeError):
        made.seq = 1  # type: ignore[misc]
    assert made != message("t", "m")
    assert len({made, made, message("t", "m")}) == 2


@pytest.mark.trap("S9")
def test_a_message_shows_its_size_and_never_its_body() -> None:
    shown = repr(message("t", "m", b'{"text":"a secret"}'))
    assert "secret" not in shown
    assert "19 bytes" in shown


@pytest.mark.rap("THR-1")
def test_a_thread_is_taken_with_its_whole_queue_in_order_and_by_one_taker() -> None:
    boxes = Mailboxes()
    for thread, id in [("a", "1"), ("b", "2"), ("a", "3")]:
        assert boxes.put(message(thread, id))
    batch = boxes.take()
    assert batch is not None
    assert (batch.thread, ids(batch.messages)) == ("a", ["1", "3"])
    boxes.put(message("a", "4"))
    assert boxes.take_thread("a") is None
    assert boxes.taken("a")
    assert boxes.queued("a") == 1
    other = boxes.take()
    assert other is not None
    assert other.thread == "b"
    assert boxes.take() is None


def test_a_batch_that_is_kept_goes_back_to_the_front_with_what_joined_it() -> None:
    boxes = Mailboxes()
    boxes.put(message("a", "1"))
    assert boxes.take() is not None
    boxes.put(message("a", "2"))
    assert ids(boxes.more("a")) == ["2"]
    boxes.put(message("a", "3"))
    boxes.release("a", keep=True)
    batch = boxes.take_thread("a")
    assert batch is not None
    assert ids(batch.messages) == ["1", "2", "3"]


def test_a_released_thread_without_messages_is_forgotten() -> None:
    boxes = Mailboxes()
    boxes.put(message("a", "1"))
    assert len(boxes) == 1
    boxes.take()
    boxes.release("a")
    assert len(boxes) == 0
    assert not boxes.taken("a")


def test_a_message_is_queued_once_however_often_it_is_put() -> None:
    boxes = Mailboxes()
    assert boxes.put(message("a", "1"))
    assert not boxes.put(message("a", "1"))
    assert boxes.put(message("b", "1"))


@pytest.mark.trap("G2")
def test_a_full_mailbox_raises_limit() -> None:
    boxes = Mailboxes(capacity=1)
    boxes.put(message("a", "1"))
    with pytest.raises(CoreError) as caught:
        boxes.put(message("a", "2"))
    code, text = caught.value.args
    assert code == "limit"
    assert "thread a" in text


def test_a_ready_thread_signals_the_wake() -> None:
    wake = Wake()
    boxes = Mailboxes(wake)
    boxes.put(message("a", "1"))
    assert is_readable(wake)
    wake.drain()
    boxes.put(message("a", "2"))
    assert not is_readable(wake), "it was ready before"
    boxes.take()
    boxes.release("a", keep=True)
    assert is_readable(wake)


def test_messages_may_be_put_from_any_os_thread() -> None:
    wake = Wake()
    boxes = Mailboxes(wake)
    senders = [
        threading.Thread(
            target=lambda name=name: [boxes.put(message("t", f"{name}:{n}")) for n in range(200)]
        )
        for name in "abcd"
    ]
    for sender in senders:
        sender.start()
    seen: list[str] = []
    while len(seen) < 800:
        batch = boxes.take()
        if batch is None:
            assert readable(wake.fileno(), PATIENCE), f"lost after {len(seen)}"
            wake.drain()
            continue
        seen += ids(batch.messages)
        boxes.release("t")
    for sender in senders:
        sender.join()
    for name in "abcd":
        assert [id for id in seen if id[0] == name] == [f"{name}:{n}" for n in range(200)]


@pytest.mark.rap("SUB-9")
@pytest.mark.parametrize("keep", [False, True])
def test_a_message_that_is_given_back_is_taken_before_what_is_queued(keep: bool) -> None:
    boxes = Mailboxes()
    for id in ("confirmation", "early 2"):
        boxes.put(message("t", id))
    assert boxes.take() is not None
    boxes.put(message("t", "late"))
    # One that an earlier slice has put aside, and one that the batch still holds; twice changes nothing.
    for _ in range(2):
        boxes.give_back("t", [message("t", "early 1"), message("t", "early 2")])
    assert not boxes.put(message("t", "early 2")), "it is queued"
    boxes.release("t", keep=keep)
    batch = boxes.take()
    assert batch is not None
    rest = ["early 1", "early 2", "late"]
    assert ids(batch.messages) == (["confirmation", *rest] if keep else rest)
    boxes.release("t")
    assert len(boxes) == 0 and boxes.put(message("t", "early 2")), "its id is free again"


def test_giving_back_to_a_thread_that_nobody_has_taken_makes_it_ready() -> None:
    wake = Wake()
    boxes = Mailboxes(wake)
    boxes.give_back("t", [message("t", "1"), message("t", "2")])
    assert is_readable(wake)
    batch = boxes.take()
    assert batch is not None and ids(batch.messages) == ["1", "2"]
    boxes.give_back("t", [])
    boxes.release("t")
    assert len(boxes) == 0
