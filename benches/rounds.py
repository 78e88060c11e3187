"""Complete tool rounds over real HTTP, next to a floor in the same run.

Both run side by side and are measured in turn, so that whatever disturbs the machine disturbs both; the best of several counts.
A round: a model request streamed in ten events, a tool POST, its callback, two durable commits. The floor (``floor.py``) is the least
asyncio, aiohttp and sqlite3 code that does that much; both talk to the same servers (``servers.py``), in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infinity.demo.daemon import Daemon, free_port
from processes import get, model_config, rest_of, script, wait_for

ROUNDS = 20
QUESTION = "What is 1 + 2?"
SENDERS = 16


@dataclass(frozen=True)
class Subject:
    """What is measured: a process, how a thread is made (not timed), how it is asked."""

    name: str
    pid: int
    make: Callable[[], str]
    ask: Callable[[str], object]


@dataclass(frozen=True)
class Figure:
    rounds: float
    """Per second."""
    cpu: float
    """Milliseconds of the measured process per round."""


def post(url: str, body: object, headers: dict[str, str] | None = None) -> dict[str, str]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, str] = json.load(answer)
    return found


def measure(subject: Subject, servers: str, *, concurrency: int, batches: int) -> Figure:
    """``batches`` times: ``concurrency`` threads at once, each making ``ROUNDS`` rounds and a last answer."""
    seconds, rounds = 0.0, concurrency * batches * ROUNDS
    requests = get(f"{servers}/counts")["requests"]
    cpu = 0
    with ThreadPoolExecutor(min(concurrency, SENDERS)) as senders:
        for _ in range(batches):
            threads = [subject.make() for _ in range(concurrency)]
            began, before = time.perf_counter(), rest_of(subject.pid).cpu_ns
            list(senders.map(subject.ask, threads))
            requests += concurrency * (ROUNDS + 1)
            wait_for(f"{servers}/counts", "requests", requests)
            seconds += time.perf_counter() - began
            cpu += rest_of(subject.pid).cpu_ns - before
    return Figure(rounds / seconds, cpu / 1e6 / rounds)


@contextmanager
def floor(servers: str, home: Path) -> Iterator[Subject]:
    port = free_port()

    def ask(_: str) -> object:
        return post(f"http://127.0.0.1:{port}/messages", {"content": QUESTION})

    with script("floor.py", port, servers, home / "floor.db") as process:
        yield Subject("floor", process.pid, str, ask)


@contextmanager
def infinity(servers: str, home: Path) -> Iterator[Subject]:
    config = f'{model_config(servers)}\n[toolsets.bench]\nurl = "{servers}"\n'
    with Daemon(home / "daemon", config) as daemon:

        def make() -> str:
            return str(daemon.post("/v1/threads", {})["id"])

        def ask(thread: str) -> object:
            return daemon.post(f"/v1/threads/{thread}/messages", {"content": QUESTION})

        yield Subject("infinity", daemon.pid, make, ask)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--times", type=int, default=5, help="measure each so often, in turn; the best counts"
    )
    times = options.parse_args().times
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    found: dict[tuple[str, int], list[Figure]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="infinity-bench-") as folder,
        script("servers.py", port, "--rounds", ROUNDS),
        floor(servers, Path(folder)) as least,
        infinity(servers, Path(folder)) as whole,
    ):
        for subject in (least, whole):
            measure(subject, servers, concurrency=4, batches=1)
        for concurrency, batches in ((1, 10), (100, 1)):
            for _ in range(times):
                for subject in (least, whole):
                    figure = measure(subject, servers, concurrency=concurrency, batches=batches)
                    found.setdefault((subject.name, concurrency), []).append(figure)
    show(found)


def show(found: dict[tuple[str, int], list[Figure]]) -> None:
    print(f"{'':10} {'concurrency':>11} {'rounds/s':>9} {'':>8} {'CPU ms/round':>13}")
    for (name, concurrency), figures in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        floors = found["floor", concurrency]
        rounds, cpu = max(each.rounds for each in figures), min(each.cpu for each in figures)
        faster = rounds / max(each.rounds for each in floors)
        dearer = cpu / min(each.cpu for each in floors)
        print(f"{name:10} {concurrency:11} {rounds:9.0f} {faster:6.2f} x {cpu:13.2f} {dearer:6.2f} x")


if __name__ == "__main__":
    main()
