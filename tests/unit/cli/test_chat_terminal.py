"""``infinity chat`` in a terminal: every way out leaves it as it was, and leaving cancels nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import prepared, process
from tests.unit.cli.terminals import Terminal

Open = Callable[..., Terminal]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = prepared(tmp_path_factory.mktemp("chat") / "home")
    assert process(made, "daemon", "start").returncode == 0
    yield made
    process(made, "daemon", "stop", "--kill")


@pytest.fixture
def chat(home: Path) -> Iterator[Open]:
    """Opens a chat that has said hello."""
    made: list[Terminal] = []

    def start(*arguments: str, at: Path = home, program: str | None = None) -> Terminal:
        terminal = Terminal(at, *arguments, program=program)
        made.append(terminal)
        terminal.shows("default model")
        terminal.type("hello")
        terminal.shows("You said: hello")
        return terminal

    yield start
    for terminal in made:
        terminal.close()


def thread_of(terminal: Terminal) -> str:
    return "thread_" + terminal.screen.split("thread_")[1].split(" ")[0]


@pytest.mark.parametrize(
    ("way", "code"),
    [
        (lambda terminal: terminal.press(b"\x04"), 0),
        (lambda terminal: terminal.type("/quit"), 0),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), 128 + signal.SIGTERM),
        (lambda terminal: terminal.process.send_signal(signal.SIGHUP), 128 + signal.SIGHUP),
        (lambda terminal: terminal.process.send_signal(signal.SIGQUIT), 128 + signal.SIGQUIT),
    ],
    ids=["Ctrl-D", "/quit", "SIGTERM", "SIGHUP", "SIGQUIT"],
)
def test_a_way_out_leaves_the_terminal_as_it_was(
    chat: Open, way: Callable[[Terminal], None], code: int
) -> None:
    terminal = chat()
    way(terminal)
    assert terminal.ends() == code
    assert terminal.is_as_before()
    assert "it goes on without you" in terminal.screen


def test_ctrl_c_twice_leaves_the_terminal_as_it_was_even_in_the_middle_of_a_line(chat: Open) -> None:
    terminal = chat()
    terminal.type("half a li", end="")
    terminal.press(b"\x03")
    terminal.shows("Ctrl-C again leaves)")
    terminal.press(b"\x03")
    assert terminal.ends() == 0
    assert terminal.is_as_before()


def test_a_thread_that_is_closed_elsewhere_ends_the_chat(chat: Open, home: Path) -> None:
    terminal = chat()
    assert process(home, "close", thread_of(terminal)).returncode == 0
    assert terminal.ends() == 0
    assert terminal.is_as_before() and "(closed)" in terminal.screen


def test_a_daemon_that_does_not_come_back_ends_the_chat(chat: Open, tmp_path: Path) -> None:
    away = prepared(tmp_path / "home")
    assert process(away, "daemon", "start").returncode == 0
    program = "import infinity.cli.stream as s; s.PATIENCE = 0.5; from infinity.cli.main import main; main()"
    terminal = chat(at=away, program=program)
    process(away, "daemon", "stop", "--kill")
    assert terminal.ends() == 3
    assert terminal.is_as_before() and "did not come back" in terminal.screen


def test_an_error_in_the_chat_itself_leaves_the_terminal_as_it_was(chat: Open) -> None:
    program = (
        "import infinity.cli.transcript as t\n"
        "def fail(*_): raise RuntimeError('broken on purpose')\n"
        "t.Transcript._status = fail\n"
        "from infinity.cli.main import main; main()"
    )
    terminal = chat(program=program)
    terminal.type("/cancel")
    assert terminal.ends() == 1
    assert terminal.is_as_before() and "broken on purpose" in terminal.screen


def test_a_terminal_that_is_closed_ends_the_chat(chat: Open) -> None:
    terminal = chat()
    os.close(terminal.theirs)
    os.close(terminal.ours)
    assert terminal.process.wait(30) == 128 + signal.SIGHUP


@pytest.mark.trap("L26")
@pytest.mark.parametrize("keys", [b"\x04", b"\x03\x03"], ids=["Ctrl-D", "Ctrl-C twice"])
def test_leaving_cancels_no_call(chat: Open, home: Path, keys: bytes) -> None:
    terminal = chat()
    terminal.type("sleep 3600")
    terminal.shows("(waiting: asleep")
    for times, key in enumerate(keys):
        terminal.shows("Ctrl-C again leaves)", times=times)
        terminal.press(bytes([key]))
    assert terminal.ends() == 0
    found = json.loads(process(home, "show", thread_of(terminal), "--json").stdout)
    assert [reason["kind"] for reason in found["explanation"]["reasons"]] == ["sleep"]


def test_returning_shows_the_last_exchanges_and_what_is_open(chat: Open, home: Path) -> None:
    terminal = chat()
    for text in ("one", "two", "three"):
        terminal.type(text)
        terminal.shows(f"You said: {text}")
    terminal.type("sleep 3600")
    terminal.shows("(waiting: asleep")
    terminal.press(b"\x04")
    terminal.ends()
    again = Terminal(home, thread_of(terminal))
    try:
        again.shows("(waiting: the agent sleeps")
        assert (
            "> two" in again.screen and "You said: three" in again.screen and "> sleep 3600" in again.screen
        )
        assert "You said: hello" not in again.screen and "earlier history is left out" in again.screen
        again.reads()
        again.press(b"\x04")
        assert again.ends() == 0
    finally:
        again.close()


def test_a_pasted_text_of_several_lines_is_one_message(chat: Open, home: Path) -> None:
    terminal = chat()
    terminal.type("\x1b[200~first\rsecond\n\nfourth\x1b[201~")
    terminal.shows("I am the scripted model", times=2)
    terminal.press(b"\x04")
    terminal.ends()
    shown = json.loads(process(home, "show", thread_of(terminal), "--json").stdout)
    said = [entry["user"][-1]["text"] for entry in shown["entries"] if "message_id" in entry["meta"]]
    assert said == ["hello", "first\nsecond\n\nfourth"]
