"""What a user reads of each state, in words that need no explanation; and what there is to type."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_commands import SOON, new, parsed, settled

from infinity.cli.states import advice, spent_line, state_line
from infinity.cli.threads import reason_line


def explained(state: str, *kinds: str) -> dict[str, Any]:
    return {"state": state, "reasons": [{"kind": kind, "text": kind, "id": ""} for kind in kinds]}


SENTENCES = [
    (("running", "running"), "working right now"),
    (("queued", "queued"), "about to be read"),
    (("idle",), "waits for you"),
    (("idle", "problem"), "could not go on"),
    (("stopped",), "until you resume it"),
    (("closed",), "ended for good"),
    (("waiting", "call"), "a tool is at work"),
    (("waiting", "sleep"), "the agent sleeps"),
    (("waiting", "prompt", "call"), "needs an answer from you"),
    (("waiting", "subscription"), "listens for events"),
    (("waiting", "subscription", "problem"), "could not go on"),
    (("waiting", "timer", "problem"), "continues automatically"),
    (("waiting", "compaction"), "is summarised"),
    (("waiting", "failing"), "Nothing is lost"),
]


@pytest.mark.parametrize(
    ("state", "says"), SENTENCES, ids=lambda part: "-".join(part) if isinstance(part, tuple) else ""
)
def test_every_state_is_a_sentence(state: tuple[str, ...], says: str) -> None:
    assert says in state_line(explained(*state))


def test_what_can_be_done_is_a_command() -> None:
    budget = {"kind": "problem", "text": "budget: all used", "id": ""}
    assert "infinity resume t" in str(advice("t", budget))
    assert "infinity subscriptions cancel c" in str(
        advice("t", {"kind": "subscription", "text": "", "id": "c"})
    )
    assert advice("t", {"kind": "running", "text": "", "id": ""}) is None


@pytest.mark.parametrize(
    ("kind", "text", "id", "beside", "says"),
    [
        ("prompt", "", "consent.call_1", (), "infinity choose t INDEX"),
        ("prompt", "", "oauth.call_1", (), "infinity show t"),
        ("sleep", "", "call_1", (), "infinity send t TEXT"),
        ("call", "", "call_1", (), "infinity interrupt t"),
        ("problem", "gap: 3 events did not arrive", "", (), "take note of it: infinity resume t"),
        ("problem", "overloaded: busy", "", ("timer",), "do not wait for that: infinity resume t"),
        ("problem", "overloaded: busy", "", ("running",), None),
        ("problem", "limit: 50 completions", "", (), "try again: infinity resume t"),
        ("timer", "", "retry.1", (), None),
    ],
)
def test_each_reason_says_what_there_is_to_type(
    kind: str, text: str, id: str, beside: tuple[str, ...], says: str | None
) -> None:
    advised = advice("t", {"kind": kind, "text": text, "id": id}, beside)
    assert (says in advised) if says is not None and advised is not None else advised == says


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ({"kind": "call", "text": "build is running", "until": 1, "id": "c"}, "given up at 1970"),
        (
            {"kind": "sleep", "text": "the agent sleeps", "until": 1, "id": "c"},
            "the agent sleeps, until 1970",
        ),
        (
            {"kind": "timer", "text": "the model is asked again", "until": 1, "id": "r"},
            "asked again, at 1970",
        ),
    ],
)
def test_a_time_is_told_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch, reason: dict[str, Any], says: str
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    line = reason_line(reason)
    assert says in line
    assert ("[" in line) is (reason["kind"] == "call"), "ids only where a command takes them"


def test_spending_is_told_with_its_limit() -> None:
    none = {"tokens": 0, "dollars": 0.0}
    assert spent_line({"spent": none, "budget": none}) is None
    assert (
        spent_line({"spent": {"tokens": 1200, "dollars": 0.0}, "budget": none})
        == "spent 1,200 tokens, children included"
    )
    both = {"spent": {"tokens": 1200, "dollars": 0.5}, "budget": {"tokens": 5000, "dollars": 2.0}}
    assert spent_line(both) == "spent 1,200 of 5,000 tokens, $0.5000 of $2.00, children included"


def test_a_thread_goes_on_another_way_from_an_earlier_point(run: Run) -> None:
    thread = new(run, "by plane")
    settled(run, thread, "by plane")
    made = parsed(run("fork", thread, "1", "--say", "by train", "--title", "Trains", "--json"))
    assert (made["parent"], made["title"]) == (thread, "Trains")
    found = settled(run, made["id"], "by train")
    assert "by plane" not in str(found["entries"])
    assert run("fork", thread, "2").output.startswith("fork_")
    refused = run("fork", thread, "0")
    assert refused.exit_code == 5 and "would inherit nothing" in refused.output


def test_a_thread_shows_what_it_means_and_what_it_cost(run: Run) -> None:
    thread = new(run)
    settled(run, thread, "hello")
    shown = run("show", thread).output
    assert "tokens, children included" in shown
    run("stop", thread)
    deadline = time.monotonic() + SOON
    while "stopped: by you" not in run("show", thread).output:
        assert time.monotonic() < deadline
    assert run("subscriptions").output == "no active subscriptions\n"
    assert parsed(run("subscriptions", thread, "--json")) == {"subscriptions": []}
    assert run("subscriptions", "cancel", "call_none").exit_code == 4
    assert run("subscriptions", "cancel").exit_code == 2
