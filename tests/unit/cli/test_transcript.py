"""What a conversation looks like: each word once, void text marked, the terminal never steered by content."""

from __future__ import annotations

from typing import Any

import click
import pytest

from infinity.cli.stream import Event, lines, parse
from infinity.cli.transcript import Transcript


class Screen:
    def __init__(self) -> None:
        self.text = ""
        self.transcript = Transcript(self._write)
        self._cursor = 0

    def _write(self, text: str) -> None:
        self.text += click.unstyle(text)

    def live(self, kind: str, /, **data: Any) -> Screen:
        self.transcript.show(Event(None, kind, data))
        return self

    def recorded(self, kind: str, /, **data: Any) -> Screen:
        self._cursor += 1
        self.transcript.show(Event(self._cursor, kind, data))
        return self

    def turn(self, text: str) -> Screen:
        return self.recorded(
            "entry", kind="turn", assistant=[{"type": "text", "text": text}], user=[], meta={}
        )


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_live_text_is_not_repeated_by_its_record(screen: Screen) -> None:
    screen.live("slice", state="started").live("text", text="Hel").live("text", text="lo").turn("Hello")
    assert screen.text == "Hello\n"


def test_what_was_not_shown_live_is_shown_from_the_record(screen: Screen) -> None:
    screen.live("slice", state="started").live("text", text="Hel").turn("Hello")
    screen.turn("And more")
    assert screen.text == "Hello\nAnd more\n"


def test_rounds_of_one_slice_are_matched_one_by_one(screen: Screen) -> None:
    screen.live("slice", state="started").live("text", text="One")
    screen.live("slice", state="started").live("text", text="Two")
    screen.turn("One").turn("Two").recorded("slice", rounds=2)
    assert screen.text.count("One") == 1 and screen.text.count("Two") == 1


@pytest.mark.trap("M5")
def test_text_of_a_broken_attempt_is_marked_as_void(screen: Screen) -> None:
    screen.live("slice", state="started").live("text", text="Wrong").live("retract")
    screen.live("slice", state="retrying", code="overloaded").live("text", text="Right").turn("Right")
    assert "Wrong\n(that was cut off and does not count)" in screen.text
    assert screen.text.endswith("Right\n") and screen.text.count("Right") == 1


def test_after_a_gap_the_record_is_shown_whole(screen: Screen) -> None:
    screen.live("slice", state="started").live("text", text="The fi").live("lost", events=3).live(
        "text", text="rst"
    )
    screen.live("disconnected", reason="x").live("connected").turn("The first")
    assert "The first\n" in screen.text


def test_a_stream_that_the_daemon_refuses_is_told_with_its_reason(screen: Screen) -> None:
    screen.live("disconnected", reason="the disk is gone", answered=True)
    assert screen.text == "(the disk is gone; trying again …)\n"


def test_open_calls_are_what_the_thread_waits_for(screen: Screen) -> None:
    screen.recorded("call", id="c1", tool="build", display="build(all)").recorded("slice", rounds=1)
    assert "→ build(all)" in screen.text and "(waiting: build(all); you can go on talking)" in screen.text
    screen.recorded("call_ended", id="c1", state="failed")
    assert "✗ build(all): failed" in screen.text and screen.transcript.calls == {}


@pytest.mark.rap("RES-3")
def test_a_result_shows_the_first_segment_that_a_terminal_knows(screen: Screen) -> None:
    segments = [{"type": "hologram", "content": 1}, {"type": "text", "content": "1 insertion"}]
    user = [{"type": "tool_result", "content": [{"type": "text", "text": "for the model"}]}]
    screen.recorded(
        "entry", kind="result", assistant=[], user=user, meta={"display": segments, "tool": "edit"}
    )
    assert "1 insertion" in screen.text and "for the model" not in screen.text
    screen.recorded(
        "entry", kind="result", assistant=[], user=user, meta={"display": segments[:1], "tool": "edit"}
    )
    assert "edit: for the model" in screen.text


def test_own_messages_are_not_echoed_and_others_are(screen: Screen) -> None:
    screen.transcript.sent.add("m1")
    for id, text in (("m1", "mine"), ("m2", "somebody else's")):
        screen.recorded(
            "entry", kind="user", assistant=[], user=[{"type": "text", "text": text}], meta={"message_id": id}
        )
    assert "mine" not in screen.text and "> somebody else's" in screen.text


def test_questions_are_shown_with_numbers_until_they_are_closed(screen: Screen) -> None:
    screen.recorded(
        "prompt", id="choice.c", prompt_kind="choice", prompt="Sure?", choices=["Yes", "No"], default=1
    )
    assert (
        "? the tool a tool asks: Sure?" in screen.text
        and "0: Yes" in screen.text
        and "1: No (default)" in screen.text
    )
    assert list(screen.transcript.prompts) == ["choice.c"]
    screen.recorded("prompt_closed", id="choice.c", selected=0)
    assert screen.transcript.prompts == {}


def asked(
    screen: Screen,
    id: str,
    *,
    kind: str = "choice",
    prompt: str = "Sure?",
    choices: tuple[str, ...] = ("Yes", "No"),
) -> Screen:
    return screen.recorded(
        "prompt", id=id, prompt_kind=kind, tool="edit", prompt=prompt, choices=list(choices), default=1
    )


@pytest.mark.parametrize(("line", "choice"), [("0", 0), (" 1 ", 1), ("y", 0), ("No", 1), ("yes", 0)])
def test_a_question_is_answered_by_its_number_or_y_and_n(screen: Screen, line: str, choice: int) -> None:
    assert asked(screen, "q").transcript.answer(line) == ("q", choice)


@pytest.mark.parametrize("line", ["2", "-1", "0 please", "yes, do", "1.", "", "\u0661", "00000", "y\nn"])
def test_everything_else_is_no_answer(screen: Screen, line: str) -> None:
    assert asked(screen, "q").transcript.answer(line) is None


def test_letters_answer_only_a_question_that_offers_yes_and_no(screen: Screen) -> None:
    asked(screen, "q", choices=("Red", "Green"))
    assert screen.transcript.answer("y") is None and screen.transcript.answer("1") == ("q", 1)


def test_no_question_no_answer(screen: Screen) -> None:
    assert screen.transcript.answer("1") is None
    asked(screen, "q").recorded("prompt_closed", id="q", selected=0)
    assert screen.transcript.answer("1") is None


def test_only_the_question_that_is_shown_is_answered(screen: Screen) -> None:
    asked(asked(screen, "q1"), "q2", prompt="Delete all?")
    assert "Delete all?" not in screen.text and screen.transcript.answer("0") == ("q1", 0)
    screen.recorded("prompt_closed", id="q1", selected=0)
    assert "Delete all?" in screen.text and screen.transcript.answer("0") == ("q2", 0)


@pytest.mark.trap("S12")
def test_a_question_says_who_asks_and_shows_everything_in_it(screen: Screen) -> None:
    asked(screen, "q1", prompt="Infinity asks:\n? Infinity asks: x\u202ey\u200d?", choices=("A\u200bB", "C"))
    asked(screen, "q2", kind="consent").recorded("prompt_closed", id="q1", selected=0)
    lines = screen.text.split("\n")
    assert (
        "? the tool edit asks: Infinity asks:" in lines
        and "    | ? Infinity asks: x\\u202ey\\u200d?" in lines
    )
    assert "    0: A\\u200bB" in lines and "? Infinity asks: Sure?" in lines


def test_the_link_to_sign_in_is_shown(screen: Screen) -> None:
    screen.recorded("prompt", id="o", prompt_kind="oauth", tool="mail")
    assert screen.text == ""
    screen.live("prompt", id="o", prompt_kind="oauth", tool="mail", auth_url="https://login.example/x")
    assert screen.text == "? the tool mail wants you to sign in: https://login.example/x\n"


@pytest.mark.trap("S12")
def test_a_result_cannot_write_a_line_of_somebody_else(screen: Screen) -> None:
    user = [
        {
            "type": "tool_result",
            "content": [{"type": "text", "text": "fine\n> delete it\n? Infinity asks: Sure?"}],
        }
    ]
    screen.recorded("entry", kind="result", assistant=[], user=user, meta={"tool": "edit"})
    assert screen.text == "  ↳ edit: fine\n    > delete it\n    ? Infinity asks: Sure?\n"


@pytest.mark.trap("M4")
def test_content_cannot_steer_the_terminal(screen: Screen) -> None:
    evil = "a\x1b[2Jb\x07c\x9bd\u202ee"
    screen.live("text", text=evil).live("view", view_type=evil, content=1)
    screen.recorded("problem", code="x", text=evil).recorded("call", id="c", tool=evil)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(screen.text)


def test_a_sleeping_thread_is_said_to_sleep(screen: Screen) -> None:
    sleep = {"type": "tool_use", "id": "c", "name": "sleep_until_event_or_input", "input": {}}
    screen.recorded("entry", kind="turn", assistant=[sleep], user=[], meta={}).recorded("slice", rounds=1)
    assert screen.text == "(waiting: asleep; you can go on talking)\n"
    screen.recorded("call_ended", id="c", state="answered").recorded("slice", rounds=1)
    assert screen.text.count("asleep") == 1 and screen.transcript.calls == {}


def test_kinds_of_later_versions_are_passed_over(screen: Screen) -> None:
    screen.recorded("hologram", anything=1).live("call", attempt=1, id="x", tool="y")
    assert screen.text == ""


async def test_a_line_of_a_stream_ends_at_a_line_feed_alone() -> None:
    said = "a\u2028b\u2029c\x85d\x0be\rf\x1cg"
    wire = f"event: text\ndata: {said}\n\n".encode()

    async def pieces() -> Any:
        for place in range(len(wire)):
            yield wire[place : place + 1]

    assert [line async for line in lines(pieces())] == ["event: text", f"data: {said}", ""]


async def test_server_sent_events_are_parsed() -> None:
    async def typed() -> Any:
        for line in [
            "retry: 1000",
            "",
            ": waiting",
            "",
            "id: 7",
            "event: entry",
            'data: {"a": ": b"}',
            "",
            "event: text",
            "data: {}",
            "",
        ]:
            yield line

    events = [event async for event in parse(typed())]
    assert events == [Event(7, "entry", {"a": ": b"}), Event(None, "text", {})]


def test_a_switch_to_another_model_is_shown(screen: Screen) -> None:
    screen.recorded("fallback", model="spare", instead_of="main", text="the API is busy")
    assert screen.text == "(spare answers instead of main: the API is busy)\n"
