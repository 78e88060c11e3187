"""A process whose event loop is held ends all the same when it is asked to stop (L17, B14); one that hears the signal stops in its own time."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest
from tests.patience import PATIENCE

PROGRAM = """
import asyncio, re, signal, sys, time
from infinity._core import StopGuard

async def main(how, unheard, unfinished):
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    guard = None

    def signalled():
        guard.heard()
        stopping.set()

    loop.add_signal_handler(signal.SIGTERM, signalled)
    guard = StopGuard([signal.SIGTERM, signal.SIGINT], unheard, unfinished)
    print("ready", flush=True)
    if how == "held by Python":
        while True:
            pass
    if how == "held below Python":
        re.match(r"(a+)+$", "a" * 64 + "b")  # It keeps the interpreter lock.
    await stopping.wait()
    if how == "never finished":
        await asyncio.Event().wait()
    guard.finished()
    loop.remove_signal_handler(signal.SIGTERM)

asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
print("stopped")
"""


async def _ended(how: str, unheard: float, unfinished: float) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, how, str(unheard), str(unfinished)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"ready\n"
        process.send_signal(signal.SIGTERM)
        out, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


@pytest.mark.trap("L17")
@pytest.mark.parametrize("how", ["held by Python", "held below Python"])
async def test_a_process_whose_loop_is_held_ends_as_by_the_signal(how: str) -> None:
    status, out, error = await _ended(how, 0.2, 60)
    assert (status, out) == (128 + signal.SIGTERM, "")
    assert "did not hear the signal" in error and "on disk" in error


@pytest.mark.trap("L17")
async def test_a_stop_that_never_ends_is_ended() -> None:
    status, _, error = await _ended("never finished", 60, 0.2)
    assert status == 128 + signal.SIGTERM and "did not finish its stop" in error


async def test_a_process_that_hears_the_signal_stops_in_its_own_time() -> None:
    assert await _ended("free", 60, 60) == (0, "stopped\n", "")


def test_times_that_are_none_are_refused() -> None:
    from infinity._core import StopGuard

    bad: Any
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"."):
            StopGuard([signal.SIGUSR1], bad, 1.0)
