"""Forks daemons from a process that has done the imports already, so that a thousand crashes take minutes and not an hour.

What it forks is ``infinity daemon run``, whole: a process, a lock, a port and a journal of its own. One connection stands for one daemon:
the client sends one line of JSON (``arguments``, ``environment``), and gets ``pid N``, the daemon's stderr, and ``exit N`` (negative: the
signal that ended it). When the client hangs up, its daemon is killed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.forking import exit_status, serve

from infinity.cli.main import infinity


def _import_everything() -> None:
    import infinity.cli.daemon
    import infinity.engine.spending
    import infinity.local.background
    import infinity.local.daemon
    import infinity.local.logs
    import infinity.models.anthropic
    import infinity.testing.gates

    # Nothing that is proved with these daemons hangs on how long a failed completion is waited for, and each of them waits again.
    infinity.engine.spending.BACKOFF = replace(infinity.engine.spending.BACKOFF, first=0.05)


def _supervise(connection: socket.socket) -> int:
    asked = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        _become_daemon(connection, asked)
    with suppress(OSError):
        connection.sendall(b"pid %d\n" % pid)
    status = exit_status(connection, pid)
    with suppress(OSError):
        connection.sendall(b"exit %d\n" % status)
    return 0


def _become_daemon(connection: socket.socket, asked: dict[str, Any]) -> None:
    status = 1
    try:
        os.dup2(connection.fileno(), 2)
        connection.close()
        os.environ.update(asked["environment"])
        infinity(args=asked["arguments"], prog_name="infinity")
        status = 0
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _import_everything()
    serve(sys.argv[1], _supervise)
