"""``infinity chat`` as people and scripts use it: through pipes and through a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE as SOON
from tests.unit.cli.conftest import command, environment, prepared, process


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = prepared(tmp_path / "home")
    yield made
    process(made, "daemon", "stop", "--kill")


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        env = {**environment(home), "TERM": "dumb"}
        self.process = subprocess.Popen(
            command("chat", *arguments),
            env=env,
            cwd=home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode() + b"\n")

    def end_of_input(self) -> None:
        os.write(self._ours, b"\x04")

    def control_c(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def shows(self, text: str, times: int = 1) -> None:
        """Wait until it does."""
        deadline = time.monotonic() + SOON
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, f"never showed {text!r}:\n{self.screen}"
            if select.select([self._ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.screen += os.read(self._ours, 65536).decode(errors="replace").replace("\r\n", "\n")
            assert (
                self.process.poll() is None
                or select.select([self._ours], [], [], 0)[0]
                or self.screen.count(text) >= times
            ), self.screen

    def ends(self) -> int:
        return self.process.wait(SOON)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    made = Terminal(home)
    yield made
    made.close()


def test_a_pipe_is_answered_and_the_daemon_is_started_for_it(home: Path) -> None:
    found = process(home, "chat", input="how do you do\n")
    assert found.returncode == 0, found.stderr
    assert "started the daemon in the background" in found.stderr
    assert "how do you do" in found.stdout
    assert process(home, "daemon", "status").returncode == 0


def test_a_thread_is_gone_on_with(home: Path) -> None:
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "first", "--json").stdout)["thread"]
    found = process(home, "chat", thread, input="second\n")
    assert found.returncode == 0 and thread in found.stdout and "second" in found.stdout
    assert process(home, "chat", "nobody", input="").returncode == 4


def test_ctrl_c_cancels_no_call_and_leaves_when_pressed_twice(terminal: Terminal, home: Path) -> None:
    terminal.shows("default model")
    terminal.type("sleep 3600")
    terminal.shows("(waiting: asleep")
    terminal.control_c()
    terminal.shows("still open: asleep; /cancel cancels that")
    terminal.type("/cancel")
    terminal.shows("(interrupted)")
    terminal.type("still there?")
    terminal.shows("You said: still there?")
    time.sleep(3.1)  # longer than two presses may be apart
    terminal.control_c()
    terminal.shows("(Ctrl-C again leaves)")
    terminal.control_c()
    assert terminal.ends() == 0
    assert process(home, "daemon", "status").returncode == 0


def test_the_end_of_input_leaves(terminal: Terminal) -> None:
    terminal.type("hello")
    terminal.shows("You said:")
    terminal.end_of_input()
    assert terminal.ends() == 0


def test_a_restart_of_the_daemon_is_lived_through(terminal: Terminal, home: Path) -> None:
    terminal.shows("default model")
    terminal.type("before")
    terminal.shows("You said:")
    process(home, "daemon", "stop")
    terminal.shows("the daemon is away")
    process(home, "daemon", "start")
    terminal.shows("connected again")
    terminal.type("after")
    terminal.shows("You said: after")
    assert terminal.screen.count("You said: after") == 1
