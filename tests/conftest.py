"""What holds for every test: a call that blocks the event loop fails it, and its files are in memory where there is room."""

from __future__ import annotations

import gc
import os
import resource
import socket
import sys
import tempfile
import time
import traceback
from asyncio import events
from collections.abc import Generator, Iterator
from typing import Any, SupportsIndex

import pytest

_blocked: list[str] = []
_sleep = time.sleep


def _report(what: str) -> None:
    where = "".join(traceback.format_stack(sys._getframe(2), limit=4))
    _blocked.append(f"{what} was called in the event loop, which stands still meanwhile:\n{where}")


def _watched_sleep(seconds: float | SupportsIndex) -> None:
    # An audit event for time.sleep exists only from Python 3.13 on.
    if events._get_running_loop() is not None:
        _report("time.sleep")
    _sleep(seconds)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: sees name look-ups and blocking connects wherever they are called from."""
    if event not in ("socket.getaddrinfo", "socket.connect") or events._get_running_loop() is None:
        return
    if event == "socket.connect":
        connecting = arguments[0]
        if not isinstance(connecting, socket.socket) or connecting.gettimeout() == 0:
            return
    _report(event)


def _allow_descriptors(most: int = 20_000) -> None:
    """Hundreds of hosts live and die in one process, and an ordinary user's shell allows 1,024 descriptors until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _memory(least: int = 4 << 30) -> str | None:
    """A directory whose files are memory, with room, from which programs may be started; none in many a container and elsewhere than on Linux."""
    place = "/dev/shm"
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    fits = found.f_bavail * found.f_frsize >= least and not found.f_flag & getattr(os, "ST_NOEXEC", 0)
    return place if fits and os.access(place, os.W_OK | os.X_OK) else None


def pytest_configure() -> None:
    """No test cuts the power off, so databases need no disk: what a process has written outlives it in memory, too."""
    if "TMPDIR" not in os.environ and (place := _memory()) is not None:
        # For pytest, for the tests and for the processes that they start.
        tempfile.tempdir = os.environ["TMPDIR"] = place


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and all that they import stay for as long as the process: nobody looks through them for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


_allow_descriptors()
sys.addaudithook(_watch)
time.sleep = _watched_sleep


@pytest.fixture(autouse=True)
def event_loop_is_never_blocked() -> Iterator[None]:
    _blocked.clear()
    yield
    if _blocked:
        pytest.fail(_blocked[0], pytrace=False)
