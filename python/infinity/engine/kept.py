"""Kept turns: slices whose turn was paid for and whose commit the store could not take. The same commit is tried again, and nothing is bought anew."""

from __future__ import annotations

from infinity.engine.slice.state import Slice

__all__ = ["KeptTurns"]

MOST, MOST_BYTES = 64, 64 << 20
"""Slices, and bytes of their changes and histories, that are kept at a time. A turn beyond that is given up, its cost recorded."""


class KeptTurns:
    """In memory: if the process ends first, the completion may be bought again, and counts as an attempt (I12)."""

    def __init__(self) -> None:
        self._slices: dict[str, tuple[Slice, int]] = {}
        self._bytes = 0

    def keep(self, current: Slice) -> bool:
        """False if there is no room."""
        assert current.delta is not None, "a turn is kept once its commit was tried"
        size = current.delta.size() + current.thread.live_bytes()
        if len(self._slices) >= MOST or self._bytes + size > MOST_BYTES:
            return False
        self._slices[current.thread.id] = (current, size)
        self._bytes += size
        return True

    def take(self, thread: str) -> Slice | None:
        current, size = self._slices.pop(thread, (None, 0))
        self._bytes -= size
        return current

    def threads(self) -> list[str]:
        return list(self._slices)
