"""A chat in a terminal of its own: what is typed, what is shown, and what state the terminal is left in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

import click
from tests.patience import PATIENCE as SOON
from tests.unit.cli.conftest import command, environment

BRACKETS, NO_BRACKETS = "\x1b[?2004h", "\x1b[?2004l"
"""What a line editor asks of a terminal: to bracket what is pasted."""


class Terminal:
    """``attributes``: of the terminal before anything ran in it. The chat is a session of its own with the terminal as its controlling one."""

    def __init__(self, home: Path, *arguments: str, program: str | None = None) -> None:
        self.ours, self.theirs = pty.openpty()
        self.attributes = termios.tcgetattr(self.theirs)
        line = command("chat", *arguments)
        if program is not None:
            line = [line[0], "-c", program, *line[3:]]
        self.process = subprocess.Popen(
            line,
            env={**environment(home), "TERM": "xterm"},
            cwd=home,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.received = ""
        self.screen = ""

    def type(self, text: str, end: str = "\r") -> None:
        os.write(self.ours, (text + end).encode())

    def press(self, key: bytes) -> None:
        os.write(self.ours, key)

    def shows(self, text: str, times: int = 1) -> None:
        """Wait until it does."""
        deadline = time.monotonic() + SOON
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, f"never showed {text!r}:\n{self.screen}"
            ended = self.process.poll() is not None
            self._read(0.1)
            assert not ended or self.screen.count(text) >= times or self._readable(0), self.screen

    def ends(self) -> int:
        """Its exit code."""
        deadline = time.monotonic() + SOON
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.screen}"
            self._read(0.1)
        while self._readable(0):
            self._read(0)
        return self.process.returncode

    def is_as_before(self) -> bool:
        """Whether the terminal is in the state that it was in, and brackets no pastes."""
        brackets = self.received.rfind(BRACKETS) > self.received.rfind(NO_BRACKETS)
        return termios.tcgetattr(self.theirs) == self.attributes and not brackets

    def reads(self) -> None:
        """Wait until it reads what is typed."""
        deadline = time.monotonic() + SOON
        while BRACKETS not in self.received:
            assert time.monotonic() < deadline, self.screen
            self._read(0.1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.ours, self.theirs):
            with contextlib.suppress(OSError):
                os.close(end)

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self.ours], [], [], seconds)[0])

    def _read(self, seconds: float) -> None:
        if self._readable(seconds):
            with contextlib.suppress(OSError):
                self.received += os.read(self.ours, 65536).decode(errors="replace").replace("\r\n", "\n")
                self.screen = click.unstyle(self.received)
