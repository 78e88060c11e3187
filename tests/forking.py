"""A process that has made its imports already, and forks a child for each connection: what ``tests/crash/fork_server.py`` and
``tests/contract/mcp/warm.py`` share. One connection stands for one child, which is killed when the client hangs up."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def serve(address: str, supervise: Callable[[socket.socket], int]) -> None:
    """Until stdin ends, which is when anyone who started it has ended. ``supervise`` runs in a process of its own for each connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(supervise(connection))
            connection.close()


def exit_status(connection: socket.socket, pid: int) -> int:
    """Of the child, once it has ended; negative: the signal that ended it. Only its supervisor waits for it, so no status is mixed up."""
    threading.Thread(target=_kill_when_left, args=(connection, pid), daemon=True).start()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _kill_when_left(connection: socket.socket, pid: int) -> None:
    with suppress(OSError):
        while connection.recv(1):
            pass
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
