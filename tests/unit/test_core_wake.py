"""One descriptor for everything the core finishes, on the host's event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest
from tests.patience import PATIENCE

from infinity._core import Wake
from infinity.readable import readable


def is_readable(wake: Wake, patience: float = 0) -> bool:
    return readable(wake.fileno(), patience)


def now() -> int:
    return time.time_ns() // 1_000_000


async def until_readable(wake: Wake) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(wake.fileno(), readable.set)
    try:
        await asyncio.wait_for(readable.wait(), PATIENCE)
    finally:
        loop.remove_reader(wake.fileno())


async def test_a_signal_from_another_thread_wakes_the_event_loop() -> None:
    wake = Wake()
    thread = threading.Timer(0.01, wake.signal)
    thread.start()
    await until_readable(wake)
    assert wake.drain() is False
    assert not is_readable(wake)
    thread.join()


async def test_an_alarm_wakes_the_event_loop_and_says_that_it_was_the_alarm() -> None:
    wake = Wake()
    due = now() + 30
    wake.arm(due)
    await until_readable(wake)
    assert now() >= due
    assert wake.drain() is True
    assert wake.drain() is False


@pytest.mark.parametrize("due", [0, -1, 1])
def test_an_alarm_in_the_past_goes_off_at_once(due: int) -> None:
    wake = Wake()
    wake.arm(due)
    assert is_readable(wake, PATIENCE)
    assert wake.drain() is True


def test_a_disarmed_alarm_stays_silent() -> None:
    wake = Wake()
    wake.arm(now() + 3_600_000)
    wake.arm(None)
    assert not is_readable(wake)
    assert wake.drain() is False


def test_a_burst_of_signals_is_drained_once() -> None:
    wake = Wake()
    for _ in range(1000):
        wake.signal()
    assert is_readable(wake)
    wake.drain()
    assert not is_readable(wake)


def test_the_descriptors_are_closed_with_the_wake() -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before = open_descriptors()
    for _ in range(50):
        Wake().arm(now() + 3_600_000)
    assert open_descriptors() == before


def test_child_processes_do_not_inherit_the_descriptor() -> None:
    wake = Wake()
    assert not os.get_inheritable(wake.fileno())
    command = [sys.executable, "-c", f"import os; os.fstat({wake.fileno()})"]
    child = subprocess.run(command, capture_output=True, close_fds=False, check=False)
    assert b"Bad file descriptor" in child.stderr


def test_an_armed_wake_with_an_idle_journal_makes_no_wake_ups(tmp_path: os.PathLike[str]) -> None:
    """I9: the process parks on the descriptor; nothing in it ticks."""
    script = """
import os, pathlib, select, sys, time
from infinity._core import Journal, Mailboxes, Wake
wake = Wake()
boxes = Mailboxes(wake)
journal = Journal.open(sys.argv[1], wake)
ticket = journal.meta("nothing")
select.select([wake.fileno()], [], [])
wake.drain()
wake.arm(time.time_ns() // 1_000_000 + 1500)
def switches():
    tasks = pathlib.Path("/proc/self/task").iterdir()
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
before = switches()
select.select([wake.fileno()], [], [])
after = switches()
assert wake.drain() is True
print(after - before)
"""
    path = os.path.join(tmp_path, "infinity.db")
    child = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=60, check=True
    )
    # One switch to fall asleep for the alarm; reading /proc may cost a few of its own, ticking would cost hundreds.
    assert int(child.stdout) <= 5, child.stdout
