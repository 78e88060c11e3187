"""A tool server as a child process.

What it does it says on its standard output, one JSON object a line; that is where the counts of the story
come from, and not from the daemon that is to be judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infinity.demo.timeline import Timeline
from infinity.ports import free_port

Report = dict[str, Any]


class ToolProcess:
    """One tool server as a child process. ``reports`` is everything it said, by kind, in order.

    Args:
        actor: Under which name its words go to the timeline.
        module: Run with ``--port`` and ``--state``.
        state: A directory for its state and its log.
        timeline: Gets reports of the kind ``say``.
        environment: Variables that it gets besides ours.
    """

    def __init__(self, actor: str, module: str, state: Path, timeline: Timeline, **environment: str) -> None:
        self.actor = actor
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._timeline = timeline
        self._changed = threading.Condition()
        self._reports: list[tuple[str, Report]] = []
        state.mkdir(parents=True, exist_ok=True)
        self._log = state / "output.log"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "--port", str(port), "--state", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **environment},
            )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        self.until("ready", 20.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def reports(self, kind: str) -> list[Report]:
        with self._changed:
            return [report for found, report in self._reports if found == kind]

    def until(self, kind: str, seconds: float, count: int = 1) -> Report:
        """Wait for a report.

        Args:
            kind: Of the report.
            seconds: How long.
            count: Which one of this kind, counted from 1.

        Raises:
            TimeoutError: if it does not come, or the process ends; with the end of its log.
        """

        def there() -> bool:
            return sum(found == kind for found, _ in self._reports) >= count

        with self._changed:
            self._changed.wait_for(lambda: there() or self._process.poll() is not None, seconds)
            if not there():
                said = self._log.read_text(errors="replace")[-1000:]
                raise TimeoutError(
                    f"the tool server '{self.actor}' did not report '{kind}' within {seconds:g} s; its log ends:\n{said}"
                )
        return self.reports(kind)[count - 1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            report = json.loads(line)
            kind = report.pop("kind")
            if kind == "say":
                self._timeline.line(self.actor, report["text"])
            with self._changed:
                self._reports.append((kind, report))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
