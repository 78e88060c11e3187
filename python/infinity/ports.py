"""Local ports that are chosen now and used later: written into a file, handed to another process, or told to
callers for good.

The system gives out ports from a range of its own to every outgoing connection and to every program that
asks for "any". A port that is kept must lie below that range, or somebody else may hold it by the time it
is needed.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from pathlib import Path

from .errors import ConfigError

__all__ = ["free_port", "is_free"]

HOST = "127.0.0.1"
_LOWEST = 20_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(taken: Collection[int] = ()) -> int:
    """A port of the loopback address that nobody listens on and that is not in ``taken``, drawn at random.

    Where the range of outgoing connections leaves no room below it, any port that the system gives.

    Raises:
        ConfigError: when a hundred tries found none.
    """
    above = _first_outgoing()
    chosen = random.sample(range(_LOWEST, above), 100) if above > _LOWEST + 1000 else []
    for port in [*chosen, *[0] * 100]:
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            # The probe is closed before the port is used: somebody else may take it meanwhile, and the caller
            # must cope with that.
            found = int(probe.getsockname()[1])
        if found not in taken:
            return found
    raise ConfigError(
        f"no free port found on {HOST}; close programs that listen there, or choose the ports yourself"
    )


def is_free(port: int) -> bool:
    """Whether a program could listen on it now, although an earlier one has just ended."""
    with socket.socket() as probe:
        # As servers set it: connections of the earlier program that are still winding down are in nobody's
        # way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _first_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        # Another system than Linux, or a container that hides it: then any port that the system gives has to
        # do.
        return 0
