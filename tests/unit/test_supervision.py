"""Background work: one rule for waits, one module for tasks and threads."""

from __future__ import annotations

import ast
import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import infinity
from infinity.backoff import Backoff
from infinity.supervision import in_thread, spawn, tend

SOURCE = Path(infinity.__file__).parent

MAKERS = {
    "create_task",
    "ensure_future",
    "add_reader",
    "to_thread",
    "run_in_executor",
    "ThreadPoolExecutor",
}

ELSEWHERE = ("testing/", "demo/", "emulator/", "cli/")
"""Stand-ins for tests, and programs that a person watches."""

ALLOWED = {
    "supervision.py": "the module itself",
    "engine/slice/complete.py": "one wait for the model, awaited where it is made",
    "local/connections.py": "the listening socket; what accepting may raise is handled there",
    "stores/sqlite/wakeup.py": "the daemon's one descriptor; each listener is guarded",
    "local/process.py": "the end of an adopted process; its callback only sets a future",
    "rap/inspection/probes.py": "one request of an inspection, awaited where it is made",
    "rap/server/store.py": "one thread for short statements of SQLite, awaited",
    "mcp/ledger.py": "one thread for short statements of SQLite, awaited",
}


def makers() -> Iterator[tuple[str, int, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                word = getattr(called, "attr", getattr(called, "id", ""))
                thread = word == "Thread" and ast.unparse(called).startswith("threading")
                if word in MAKERS or thread:
                    yield name, node.lineno, word


@pytest.mark.trap("B11")
def test_every_task_and_thread_begins_in_the_module_that_hears_of_its_end() -> None:
    strangers = [f"{name}:{line} {word}" for name, line, word in makers() if name not in ALLOWED]
    assert not strangers, "use infinity.supervision, or say in ALLOWED why not"


def test_no_exception_of_this_rule_is_kept_longer_than_it_is_needed() -> None:
    assert {name for name, _, _ in makers()} >= ALLOWED.keys() - {"engine/slice/complete.py"}


@pytest.mark.parametrize("tries", [0, 1, 5, 10_000])
def test_a_wait_is_between_its_least_share_and_its_longest(tries: int) -> None:
    assert Backoff(1, 60, chance=lambda: 1.0).wait(tries) == min(60.0, 2.0 ** min(tries, 9))
    assert Backoff(1, 60, chance=lambda: 0.0).wait(tries) == min(60.0, 2.0 ** min(tries, 9)) / 2


async def test_what_must_not_end_is_begun_again_whatever_it_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[BaseException] = [KeyError("x"), asyncio.CancelledError(), OSError(24, "files")]
    waits: list[float] = []

    async def work() -> None:
        if raised:
            raise raised.pop(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    await tend(work, "the work", sleep=sleep)
    assert len(waits) == 3 and waits == sorted(waits)
    assert caplog.text.count("the work failed") == 3


async def test_a_cancellation_ends_what_is_tended() -> None:
    task = tend(asyncio.Event().wait, "waiting")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_error_that_nobody_awaits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise KeyError("unheard")

    with caplog.at_level(logging.ERROR):
        await asyncio.wait([spawn(work(), "some work")])
        await asyncio.sleep(0)
    assert "some work" in caplog.text and "unheard" in caplog.text


@pytest.mark.trap("B12")
async def test_a_thread_of_ours_is_none_that_the_interpreter_waits_for() -> None:
    assert await in_thread(lambda: threading.current_thread().daemon)


async def test_what_a_thread_raises_is_raised_where_it_is_awaited() -> None:
    def stop() -> None:
        raise StopIteration

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError):
        await in_thread(stop)
    with pytest.raises(SystemExit):
        await in_thread(leave)
