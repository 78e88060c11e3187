"""Ports for servers that a test starts later, or again after a crash: one that the system gave out could be somebody else's by then.

They lie below the range that the system gives out by itself, in the worker's own part, and are given to nobody else of this process. The ports that
follow are free as well: a daemon gives them to its tool servers.
"""

from __future__ import annotations

import os
import random

from infinity.ports import is_free

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_LOWEST = 15_000
_OF_A_WORKER = 4_248
_APART = 8
_given: set[int] = set()


def free_port() -> int:
    first = _LOWEST + _WORKER * _OF_A_WORKER
    while True:
        port = random.SystemRandom().randrange(first, first + _OF_A_WORKER, _APART)
        if port not in _given and all(is_free(port + offset) for offset in range(_APART)):
            _given.add(port)
            return port
