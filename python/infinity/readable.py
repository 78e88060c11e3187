"""Waiting for one descriptor in a thread that has nothing else to do, whatever its number: ``select.select`` takes none from 1,024 on."""

from __future__ import annotations

import select

__all__ = ["readable"]


def readable(descriptor: int, seconds: float | None = None) -> bool:
    """Wait until it can be read, or has ended; false if that takes longer than ``seconds``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
