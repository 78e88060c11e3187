"""Started by another runtime (SRV-7): with ``RAP_EMBEDDED=1`` the first line on standard output is
``{"port": N}``, and nothing else is written there.
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Embedded", "embedded"]

VARIABLE = "RAP_EMBEDDED"


class Embedded(NamedTuple):
    """``output``: the descriptor of what was standard output."""

    output: int

    def announce(self, port: int) -> None:
        """Say where the server listens. The runtime may have gone meanwhile; nobody waits for the line
        then.

        Args:
            port: on the loopback.
        """
        line = b'{"port": %d}\n' % port
        try:
            # A pipe may take a part of it only.
            while line:
                line = line[os.write(self.output, line) :]
        except BrokenPipeError:
            return


_found: list[Embedded] = []


def embedded() -> Embedded | None:
    """Whether a runtime started this process and waits for its port.

    Call it before any code of tools is loaded.

    From the first call on standard output is standard error, for this process and those that it starts:
    a tool that prints something writes into the log and not into the protocol.
    """
    if not _found and os.environ.get(VARIABLE) == "1":
        output = os.dup(1)  # not inherited: the end of this process is the end of the stream
        # Below Python: also what a library or a subprocess prints goes to the log.
        os.dup2(2, 1)
        _found.append(Embedded(output))
    return _found[0] if _found else None
