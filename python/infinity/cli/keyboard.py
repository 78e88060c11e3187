"""Lines that the user types, in the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

__all__ = ["Keyboard"]


class Keyboard:
    """Reads standard input in a thread of its own, which ends with the process: a read cannot be taken back."""

    def __init__(self, prompt: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._prompt = prompt
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        threading.Thread(target=self._read, name="keyboard", daemon=True).start()

    async def line(self) -> str | None:
        """The next line without its end; ``None`` at the end of input."""
        return await self._lines.get()

    def _read(self) -> None:
        if self.interactive:
            self._read_terminal()
        else:
            self._read_pipe()
        self._hand_over(None)

    def _read_terminal(self) -> None:
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 editing and history for input()
        while True:
            try:
                self._hand_over(input(self._prompt))
            except (EOFError, OSError):
                return

    def _read_pipe(self) -> None:
        # Not through sys.stdin: its lock would still be held when the interpreter ends.
        rest = b""
        while piece := os.read(0, 65536):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._hand_over(line.decode("utf-8", "replace"))
        if rest:
            self._hand_over(rest.decode("utf-8", "replace"))

    def _hand_over(self, line: str | None) -> None:
        import contextlib

        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody wants the line any more
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
