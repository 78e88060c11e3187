"""Lines that the user types, in the event loop, and the terminal they are typed in.

``input()`` puts the terminal into a state of its own while it waits, in a thread that nobody can end:
whatever ends the program meanwhile would leave the user's shell without echo. ``kept_terminal`` puts back
what was there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Set

__all__ = ["Keyboard", "is_interactive", "kept_terminal"]

_PASTE_OFF = "\x1b[?2004l"
"""Ends bracketed paste, which the line editor asks for: without it the next shell would see the brackets."""


def is_interactive() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


@contextlib.contextmanager
def kept_terminal() -> Iterator[None]:
    """Leave the terminal as it was before, whatever happens inside; suspending it with Ctrl-Z included.

    It does nothing where there is no terminal.
    """
    if not is_interactive():
        yield
        return
    import termios

    before = termios.tcgetattr(0)

    def restore() -> None:
        # A terminal that has hung up has nothing to be restored.
        with contextlib.suppress(OSError, termios.error):
            # At once: waiting for the output to drain would hang on a terminal that is stopped.
            termios.tcsetattr(0, termios.TCSANOW, before)
            if _knows_brackets():
                os.write(1, _PASTE_OFF.encode())

    def suspend(*_: object) -> None:
        with contextlib.suppress(OSError, termios.error):
            editing = termios.tcgetattr(0)
            restore()
            os.kill(os.getpid(), signal.SIGSTOP)
            termios.tcsetattr(0, termios.TCSANOW, editing)

    # Only while the conversation runs; anyone who called this gets its own handler back.
    suspended = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, suspended)
        restore()


class Keyboard:
    """Reads standard input in a thread of its own, which ends with the process: a read cannot be taken back.

    A text of several lines that was pasted into a terminal is one line with line breaks in it.

    Args:
        arrived: Gets each line in the event loop, as soon as it was entered, and ``None`` at the end of
            input.
        last: After one of these nothing more is read.
    """

    def __init__(self, arrived: Callable[[str | None], None], last: Set[str] = frozenset()) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = arrived
        self._last = last
        self.interactive = is_interactive()
        threading.Thread(target=self._read, name="keyboard", daemon=True).start()

    def _read(self) -> None:
        if self.interactive:
            self._read_terminal()
        else:
            self._read_pipe()
        self._hand_over(None)

    def _read_terminal(self) -> None:
        edited = _line_editing()
        pasted: list[str] = []
        while True:
            try:
                line = input()
            except (EOFError, OSError):
                return
            line = line if edited else _unbracketed(line, pasted)
            if pasted:
                continue
            self._hand_over(line)
            # Not after the line was handled: ``input()`` would hold the terminal again by then.
            if line.strip() in self._last:
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
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody wants the line any more
            self._loop.call_soon_threadsafe(self._arrived, line)


def _line_editing() -> bool:
    """Editing and history for ``input()``; whether a paste of several lines comes as one."""
    try:
        import readline
    except ImportError:
        return False
    if "GNU" not in (readline.__doc__ or ""):
        return False  # libedit knows no brackets around what is pasted
    if not _knows_brackets():
        return False
    readline.parse_and_bind("set enable-bracketed-paste on")
    return True


def _knows_brackets() -> bool:
    return os.environ.get("TERM", "dumb") not in ("", "dumb")


def _unbracketed(line: str, pasted: list[str]) -> str:
    """Without line editing the brackets come along with what was pasted; ``pasted`` keeps its lines until the
    closing one.
    """
    begin, end = "\x1b[200~", "\x1b[201~"
    if begin in line or pasted:
        pasted.append(line)
        if end not in line:
            return ""
        line = "\n".join(pasted)
        pasted.clear()
    return line.replace(begin, "").replace(end, "")
