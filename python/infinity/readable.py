"""Waiting for one descriptor in a thread that has nothing else to do, whatever its number: ``select.select``
takes none from 1,024 on.
"""

from __future__ import annotations

import select

__all__ = ["readable"]


def readable(descriptor: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor can be read, or has ended.

    Args:
        descriptor: Any open one.
        seconds: How long; ``None`` is for ever.

    Returns:
        ``False`` if it took longer.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
