"""One run of a command, in a folder: ``output``, ``status`` once it has ended, ``told``: where each event ended.

The command belongs to no process of ours: it has a session of its own, prints into a file and leaves its exit status in another. Anyone who
crashes meanwhile reads on when they come back.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

LONGEST = 4_000  # characters of one event

# The claim makes a second start, after a crash in the middle of the first, do nothing.
SCRIPT = """
mkdir claim 2>/dev/null || exit 0
echo $$ > pid
sh ./command > output 2>&1
echo "exit status $?" > ended
mv ended status
"""


class Part(NamedTuple):
    """A piece of the output, as bytes from where to where."""

    start: int
    end: int


class Run:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: str) -> None:
        if (self.folder / "claim").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "output").touch()
        (self.folder / "command").write_text(command)
        self._process = subprocess.Popen(["sh", "-c", SCRIPT], cwd=self.folder, start_new_session=True)

    def status(self) -> str | None:
        """How it ended; ``None`` while it runs."""
        alive = self._alive()
        status = self.folder / "status"
        if status.exists():
            return status.read_text().strip()
        return None if alive else "ended without a status: it was killed, or the machine was restarted"

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        try:
            os.kill(int((self.folder / "pid").read_text()), 0)
        except ProcessLookupError:
            return False
        except (FileNotFoundError, ValueError):
            pass  # it begins at this moment
        return True

    def last(self) -> Part | None:
        """The part that was told last; a crash may have kept it from leaving."""
        ends = [0, *self._told()]
        return Part(ends[-2], ends[-1]) if len(ends) > 1 else None

    def news(self) -> Part | None:
        """The complete lines that were not told yet. On record before they are told, so that a crash does not move the part."""
        start = ([0, *self._told()])[-1]
        output = self._read(Part(start, self._size()))
        part = Part(start, start + output.rfind(b"\n") + 1)
        if part.start == part.end:
            return None
        with (self.folder / "told").open("a") as told:
            told.write(f"{part.end}\n")
        return part

    def rest(self) -> Part:
        return Part(([0, *self._told()])[-1], self._size())

    def text(self, part: Part) -> str:
        text = self._read(part).decode(errors="replace")
        return text if len(text) <= LONGEST else f"… {text[-LONGEST:]}"

    def _told(self) -> list[int]:
        told = self.folder / "told"
        return [int(line) for line in told.read_text().split()] if told.exists() else []

    def _size(self) -> int:
        return (self.folder / "output").stat().st_size

    def _read(self, part: Part) -> bytes:
        with (self.folder / "output").open("rb") as output:
            output.seek(part.start)
            return output.read(part.end - part.start)
