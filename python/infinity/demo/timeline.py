"""The story of a run as lines: when, who, what. In colour on a terminal, plain text anywhere else."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from typing import TextIO

_COLOURS = {
    "you": "1;36",
    "agent": "1;32",
    "tests": "33",
    "repo": "35",
    "wire": "36",
    "github": "1;35",
    "daemon": "1",
    "rest": "1;34",
    "kill -9": "1;37;41",
    "again": "2",
    "problem": "1;31",
}
_ACTOR_WIDTH = 8


class Timeline:
    """The lines of a story, written by several threads.

    Args:
        out: Where they go.
        colour: ``None`` decides by whether that is a terminal.
    """

    def __init__(self, out: TextIO = sys.stdout, *, colour: bool | None = None) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._colour = out.isatty() if colour is None else colour
        self._began = time.monotonic()
        self._width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 110))

    def begin(self) -> None:
        """Time counts from here."""
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def line(self, actor: str, text: str) -> None:
        """One thing that happened, now."""
        indent = 8 + _ACTOR_WIDTH + 1
        first, *rest = textwrap.wrap(text, self._width - indent) or [""]
        stamp = self._paint(f"{self.seconds():6.1f}s ", "2")
        told = f"{stamp}{self._paint(actor.ljust(_ACTOR_WIDTH), _COLOURS.get(actor, '0'))} {first}"
        self._write("\n".join([told, *(" " * indent + more for more in rest)]))

    def plain(self, text: str = "") -> None:
        self._write(text)

    def heading(self, text: str) -> None:
        self._write(self._paint(text, "1"))

    def verdict(self, text: str, *, good: bool) -> None:
        """The last line: green if all is well, else red."""
        self._write(self._paint(text, "1;32" if good else "1;31"))

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        """Whole lines, whichever thread they come from."""
        with self._lock:
            self._out.write(f"{text}\n")
            self._out.flush()
