"""Forks daemons from a process that has done the imports already, so that a thousand crashes take minutes and not an hour.

What it forks is ``infinity daemon run``, whole: a process, a lock, a port and a journal of its own. One connection stands for one daemon:
the client sends one line of JSON (``arguments``, ``environment``), and gets ``pid N``, the daemon's stderr, and ``exit N`` (negative: the
signal that ended it). When the client hangs up, its daemon is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

from infinity.cli.main import infinity


def serve(address: str) -> None:
    """Until stdin ends, which is when whoever started it has ended."""
    _import_everything()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                os._exit(_supervise(connection))
            connection.close()


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
    """Own process for each daemon: it alone waits for it, so no status is lost and none is mixed up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        _become_daemon(connection, asked)
    with suppress(OSError):
        connection.sendall(b"pid %d\n" % pid)
    threading.Thread(target=_kill_when_left, args=(connection, pid), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        connection.sendall(b"exit %d\n" % status)
    return 0


def _kill_when_left(connection: socket.socket, pid: int) -> None:
    with suppress(OSError):
        while connection.recv(1):
            pass
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


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
    serve(sys.argv[1])
