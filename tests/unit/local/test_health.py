"""How tool servers have answered is told from their last requests."""

from __future__ import annotations

from itertools import count

from infinity.abc import Delivery, Verdict
from infinity.local.health import HealthBook

BASE = "http://127.0.0.1:1"
OK = Delivery(Verdict.DELIVERED)
FAILED = Delivery(Verdict.FAILED, "HTTP 503 from 127.0.0.1:1")
REFUSED = Delivery(Verdict.REFUSED, "HTTP 404 from 127.0.0.1:1")


def test_a_server_that_was_never_asked_is_unknown() -> None:
    found = HealthBook().of(BASE)
    assert (found.state, found.since, found.p50_ms, found.answers) == ("unknown", None, None, 0)


def test_a_state_begins_with_the_request_that_changed_it() -> None:
    times = count(1)
    book = HealthBook(lambda: next(times))
    told = []
    for delivery in (OK, OK, FAILED, FAILED, REFUSED, OK):
        book.note(BASE, delivery, 0.1)
        found = book.of(BASE)
        told.append((found.state, found.since, found.last_ok_at, found.last_error_at))
    assert told == [
        ("answers", 1, 1, None),
        ("answers", 1, 2, None),
        ("fails", 3, 2, 3),
        ("fails", 3, 2, 4),
        ("answers", 5, 2, 5),
        ("answers", 5, 6, 5),
    ]
    assert book.of(BASE).last_error == REFUSED.detail
    assert book.of("http://127.0.0.1:2").state == "unknown"


def test_times_are_of_answers_alone() -> None:
    book = HealthBook()
    for milliseconds in range(1, 101):
        book.note(BASE, OK, milliseconds / 1000)
    book.note(BASE, FAILED, 30)
    found = book.of(BASE)
    assert (found.answers, found.p50_ms, found.p95_ms) == (100, 50, 95)
