"""Ports for servers that a test starts later, or again after a crash: one that the system gave out could be somebody else's by then.

They lie below the range that the system gives out by itself, in the worker's own part of it.
"""

from __future__ import annotations

import os
import random

from infinity.ports import is_free

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_LOWEST = 15_000
_OF_A_WORKER = 4_250
_given: dict[int, None] = {}
"""In the order in which they were given out."""


def free_port(following: int = 0) -> int:
    """A port, and so many after it for the tool servers of a daemon, that nobody listens on."""
    first = _LOWEST + _WORKER * _OF_A_WORKER
    # Long ago is as good as never: the oldest are given out again.
    for old in list(_given)[: max(0, len(_given) - _OF_A_WORKER // 2)]:
        del _given[old]
    for _ in range(10_000):
        port = random.SystemRandom().randrange(first, first + _OF_A_WORKER - following)
        ports = range(port, port + following + 1)
        if not _given.keys() & set(ports) and all(map(is_free, ports)):
            _given.update(dict.fromkeys(ports))
            return port
    raise AssertionError(f"no free port between {first} and {first + _OF_A_WORKER}")
