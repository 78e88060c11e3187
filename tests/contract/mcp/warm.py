"""Scripted MCP servers, forked from a process that has made the imports already, which cost a second of work each time.

``python -m tests.contract.mcp.warm ADDRESS`` is that process. For anyone who starts a server, the command is ``warm_start.py``: it hands its
arguments, its environment and its standard files over, passes signals on, and ends as the server ends. When it is killed, so is the server.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType

from tests.forking import exit_status, serve

FOLDER = Path(__file__).parent
_LONGEST = 1 << 20


class Warm:
    """``command``: what starts a server, before its own arguments."""

    def __init__(self, directory: Path) -> None:
        address = str(directory / "warm")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.mcp.warm", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=FOLDER.parents[2],
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.command = (sys.executable, "-IS", str(FOLDER / "warm_start.py"), address)

    def close(self) -> None:
        self._process.communicate()


def _supervise(script: ModuleType, connection: socket.socket) -> int:
    said, files, _, _ = socket.recv_fds(connection, _LONGEST, 3)
    while not said.endswith(b"\0\0"):
        said += connection.recv(_LONGEST)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(said, files, script)
    for file in files:
        os.close(file)
    null = os.open(os.devnull, os.O_RDWR)
    for file in range(3):
        os.dup2(null, file)
    with suppress(OSError):
        connection.sendall(b"%d\n" % pid)
    status = exit_status(connection, pid)
    with suppress(OSError):
        connection.sendall(b"%d" % status)
    return 0


def _become(said: bytes, files: list[int], script: ModuleType) -> None:
    status = 1
    try:
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        folder, arguments, environment = said[:-2].decode().split("\0\0")
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(each.split("=", 1) for each in environment.split("\0"))
        sys.argv[1:] = arguments.split("\0")
        script.main()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    import scripted_mcp_server  # type: ignore[import-not-found]

    gc.collect()
    gc.freeze()
    serve(sys.argv[1], partial(_supervise, scripted_mcp_server))
