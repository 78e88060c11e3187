"""Counts from outside: what the senders had accepted, against what the thread's history holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infinity.demo.watcher import texts

EVENT_TOOL = "receive_event__injected"


@dataclass(frozen=True, slots=True)
class Tally:
    """``said``: ids of accepted user messages with their text; ``results``, ``events``: ids of accepted
    callbacks, one for each delivery.
    """

    said: list[tuple[str, str]]
    results: list[str]
    events: list[str]
    entries: list[dict[str, Any]]

    @property
    def messages_in(self) -> int:
        """Every delivery that somebody was told is accepted, repeats included."""
        return len(self.said) + len(self.results) + len(self.events)

    @property
    def duplicates(self) -> int:
        """Deliveries of something that had been delivered before."""
        return self.messages_in - len(set(self.said)) - len(set(self.results)) - len(set(self.events))

    @property
    def applied(self) -> Counter[str]:
        """How often history holds each accepted message."""
        found: Counter[str] = Counter()
        # A set: what was posted again under its key is the same message.
        for key, text in set(self.said):
            found[key] = sum(_says(entry, text) for entry in self.entries)
        for call in set(self.results):
            found[call] = sum(_results_of(self.entries, call))
        for event in set(self.events):
            found[event] = sum(event in str(entry["meta"].get("message_id", "")) for entry in self.entries)
        return found

    @property
    def lost(self) -> int:
        return sum(count == 0 for count in self.applied.values())

    @property
    def repeated(self) -> int:
        return sum(count > 1 for count in self.applied.values())

    def line(self) -> str:
        repeated = f" · applied twice {self.repeated}" if self.repeated else ""
        return (
            f"messages in {self.messages_in} · history entries {len(self.entries)} · "
            f"duplicates dropped {self.duplicates}{repeated} · lost {self.lost}"
        )


def _says(entry: dict[str, Any], text: str) -> bool:
    return entry["kind"] == "user" and text in texts(entry["user"])


def _results_of(entries: list[dict[str, Any]], call: str) -> Iterable[bool]:
    """Entries that hold the call's real result: in its turn, or as an event; a placeholder is neither."""
    for entry in entries:
        yield (
            entry["kind"] in ("result", "event")
            and entry["meta"].get("call_id") == call
            and ("message_id" not in entry["meta"])
        )
