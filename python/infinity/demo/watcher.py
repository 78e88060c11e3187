"""Watches a thread's event stream and tells the timeline.

It runs in a thread of its own and survives the daemon: it reconnects where it was, without gap or repeat,
as any client can.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

from infinity.demo.daemon import Daemon
from infinity.demo.timeline import Timeline
from infinity.tools.builtins import BUILTINS

Entry = dict[str, Any]

_BUILT_IN = frozenset(tool.name for tool in BUILTINS)
"""They never leave, so no event of the kind ``call`` tells of them."""


class Watcher:
    """``entries``: every entry seen so far, in order. Its own thread; ``until`` waits for what it sees."""

    def __init__(self, daemon: Daemon, thread: str, timeline: Timeline) -> None:
        self._daemon = daemon
        self._thread = thread
        self._timeline = timeline
        self._cursor: str | None = None
        self._changed = threading.Condition()
        self._over = False
        self.entries: list[Entry] = []
        self.problem: str | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._over = True

    def until(self, enough: Callable[[list[Entry]], bool], seconds: float, what: str) -> None:
        """Wait until the entries satisfy a condition.

        Args:
            enough: Asked with all entries that were seen, after each.
            seconds: How long.
            what: For the error.

        Raises:
            TimeoutError: names what did not happen, and the last problem of the thread.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self.entries), seconds):
                problem = f" ({self.problem})" if self.problem else ""
                raise TimeoutError(f"{what} did not happen within {seconds:g} s{problem}")

    def _run(self) -> None:
        while not self._over:
            try:
                for kind, data in self._events():
                    self._see(kind, data)
            except httpx.TransportError:
                pass  # the daemon is down: that is part of the story
            time.sleep(0.1)

    def _events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events of one connection, as (kind, data); remembers the cursor to go on from."""
        headers = {"Last-Event-ID": self._cursor} if self._cursor is not None else {}
        path = f"/v1/threads/{self._thread}/events"
        with (
            self._daemon.connect() as http,
            http.stream("GET", path, headers=headers, timeout=None) as answer,
        ):
            answer.raise_for_status()
            fields: dict[str, str] = {}
            for line in _lines(answer.iter_bytes()):
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                    continue
                # The cursor moves on only with a whole event: one that was cut off comes again.
                if "data" in fields:
                    self._cursor = fields.get("id", self._cursor)
                    yield fields.get("event", "message"), json.loads(fields["data"])
                fields = {}

    def _see(self, kind: str, data: dict[str, Any]) -> None:
        match kind:
            case "entry":
                self._tell(data)
                with self._changed:
                    self.entries.append(data)
                    self._changed.notify_all()
            case "call" if "display" in data:  # the durable one; the live one comes before the arguments
                self._timeline.line("agent", f"calls {data['display']}")
            case "problem":
                self.problem = str(data.get("text"))
                self._timeline.line("problem", self.problem)

    def _tell(self, entry: Entry) -> None:
        if entry["kind"] != "turn":
            return
        for text in texts(entry["assistant"]):
            self._timeline.line("agent", text)
        for block in entry["assistant"]:
            if block["type"] == "tool_use" and block["name"] in _BUILT_IN:
                self._timeline.line("agent", f"calls {block['name']}, which answers at once")


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines end in ``\\n`` alone; httpx's own also end at U+2028 and its like, which are part of what
    somebody said.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)


def texts(blocks: list[dict[str, Any]]) -> list[str]:
    """The texts among content blocks."""
    return [block["text"] for block in blocks or [] if block.get("type") == "text" and block["text"].strip()]
