"""The daemon in the background: started detached, waited for until it serves, and stopped by its lock, not by its name."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from infinity.errors import InfinityError, StoreError, StoreLocked
from infinity.readable import readable

from .home import DaemonState, Home

__all__ = ["Started", "report_failure", "report_ready", "start_background", "stop_background"]

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_LONGEST_REPORT = 1 << 16


class Started:
    """What the daemon said when it began to serve."""

    def __init__(self, state: DaemonState, notices: list[str]) -> None:
        self.state = state
        self.notices = notices


def start_background(home: Home, project: Path | None, *, within: float = START_SECONDS) -> Started:
    """Start a daemon that outlives this process; returns when it serves. The error is the daemon's own where it gave one."""
    home.prepare()
    reader, writer = os.pipe()
    try:
        with _output(home) as output:
            process = subprocess.Popen(  # noqa: S603 our own interpreter and module
                _command(home, project, writer),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home.path,
                pass_fds=(writer,),
                start_new_session=True,
            )
        os.close(writer)
        writer = -1
        return _started(_report(reader, within), process, home)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _command(home: Home, project: Path | None, writer: int) -> list[str]:
    where = ["--project", str(project)] if project else ["--no-project"]
    return [
        *(sys.executable, "-m", "infinity.cli", "daemon", "run"),
        *("--home", str(home.path), "--ready-fd", str(writer)),
        *where,
    ]


def report_ready(descriptor: int, state: DaemonState, notices: list[str]) -> None:
    _write(descriptor, {"state": asdict(state), "notices": notices})


def report_failure(descriptor: int, error: InfinityError) -> None:
    _write(descriptor, {"error": str(error), "code": error.code})


def stop_background(home: Home, *, kill: bool = False, within: float = STOP_SECONDS) -> DaemonState | None:
    """Stop the daemon of this home and wait until it has let go and its process has ended; who it was, or ``None`` if none ran."""
    state = home.holder()
    if state is None or state.pid <= 0:
        return None
    with contextlib.ExitStack() as open_until_it_ended:
        ended = _end_of(state.pid)
        if ended is not None:
            open_until_it_ended.callback(os.close, ended)
        return _stopped(home, state, ended, kill=kill, within=within)


def _stopped(
    home: Home, state: DaemonState, ended: int | None, *, kill: bool, within: float
) -> DaemonState | None:
    try:
        os.kill(state.pid, signal.SIGKILL if kill else signal.SIGTERM)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise StoreError(
            f"the daemon (pid {state.pid}) belongs to another user; ask them to stop it"
        ) from error
    deadline = time.monotonic() + within
    while home.holder() is not None:
        if time.monotonic() > deadline:
            raise StoreError(
                f"the daemon (pid {state.pid}) did not stop within {within:.0f} s; look at {home.log}, or force it with 'infinity daemon stop --kill'"
            )
        time.sleep(0.02)
    if ended is not None:
        readable(ended, max(deadline - time.monotonic(), 0))
    return state


def _end_of(pid: int) -> int | None:
    """A descriptor that is readable once the process has ended, no matter who its parent is; ``None`` where there is no such thing."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _write(descriptor: int, report: dict[str, Any]) -> None:
    with open(descriptor, "wb") as pipe:
        pipe.write(json.dumps(report).encode())


def _report(reader: int, within: float) -> bytes:
    """Everything up to the end; nothing if the daemon ended without a word or the time is over."""
    report = b""
    deadline = time.monotonic() + within
    while (left := deadline - time.monotonic()) > 0 and len(report) < _LONGEST_REPORT:
        if not readable(reader, left):
            break
        piece = os.read(reader, 4096)
        if not piece:
            return report
        report += piece
    return b""


def _started(report: bytes, process: subprocess.Popen[bytes], home: Home) -> Started:
    if not report:
        status = process.poll()
        what = "does not answer" if status is None else f"ended with status {status}"
        raise StoreError(f"the daemon {what}; {home.log} says more. To see it start: infinity daemon run")
    said = json.loads(report)
    if "error" in said:
        process.wait()
        raise (StoreLocked if said["code"] == StoreLocked.code else StoreError)(said["error"])
    # It goes on by itself: nothing of this process waits for it.
    process.returncode = 0
    return Started(DaemonState(**said["state"]), said["notices"])


def _output(home: Home) -> IO[bytes]:
    return open(os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
