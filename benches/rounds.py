"""Complete tool rounds over real HTTP, next to a floor in the same run.

A round: a model request streamed in ten events, a tool POST, its callback, two durable commits. The floor (``floor.py``) is the least
asyncio, aiohttp and sqlite3 code that does that much; both talk to the same servers (``servers.py``), in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infinity.demo.daemon import Daemon, free_port
from processes import get, model_config, rest_of, script, wait_for

ROUNDS = 20
START = Callable[[], None]


@dataclass(frozen=True)
class Figure:
    subject: str
    concurrency: int
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


def measure(subject: str, pid: int, servers: str, start: START, *, concurrency: int, batches: int) -> Figure:
    """``batches`` times: ``concurrency`` threads at once, each making ``ROUNDS`` rounds and a last answer."""
    requests = get(f"{servers}/counts")["requests"]
    began, cpu = time.perf_counter(), rest_of(pid).cpu_ns
    for _ in range(batches):
        for _ in range(concurrency):
            start()
        requests += concurrency * (ROUNDS + 1)
        wait_for(f"{servers}/counts", "requests", requests)
    rounds = concurrency * batches * ROUNDS
    seconds = time.perf_counter() - began
    return Figure(subject, concurrency, rounds / seconds, (rest_of(pid).cpu_ns - cpu) / 1e6 / rounds)


def of_floor(servers: str, home: Path, plan: list[tuple[int, int]]) -> list[Figure]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with script("floor.py", port, servers, home / "floor.db") as process:

        def start() -> None:
            post(f"{base}/messages", {"content": "What is 1 + 2?"})

        measure("warm-up", process.pid, servers, start, concurrency=4, batches=1)
        return [measure("floor", process.pid, servers, start, concurrency=c, batches=b) for c, b in plan]


def of_daemon(servers: str, home: Path, plan: list[tuple[int, int]]) -> list[Figure]:
    config = f'{model_config(servers)}\n[toolsets.bench]\nurl = "{servers}"\n'
    with Daemon(home, config) as daemon:

        def start() -> None:
            thread = daemon.post("/v1/threads", {})["id"]
            daemon.post(f"/v1/threads/{thread}/messages", {"content": "What is 1 + 2?"})

        measure("warm-up", daemon.pid, servers, start, concurrency=4, batches=1)
        return [measure("infinity", daemon.pid, servers, start, concurrency=c, batches=b) for c, b in plan]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help="a tenth of the rounds")
    options.add_argument("--only", choices=["floor", "infinity"])
    chosen = options.parse_args()
    plan = [(1, 5), (100, 1)] if chosen.short else [(1, 50), (100, 5)]
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="infinity-bench-") as home,
        script("servers.py", port, "--rounds", ROUNDS),
    ):
        figures: list[Figure] = []
        if chosen.only != "infinity":
            figures += of_floor(servers, Path(home), plan)
        if chosen.only != "floor":
            figures += of_daemon(servers, Path(home) / "daemon", plan)
    print(f"{'':10} {'concurrency':>11} {'rounds/s':>9} {'CPU ms/round':>13}  of the floor")
    floors = {figure.concurrency: figure for figure in figures if figure.subject == "floor"}
    for figure in figures:
        floor = floors.get(figure.concurrency)
        ratio = f"{figure.rounds / floor.rounds:6.2f} x" if floor and floor is not figure else ""
        print(f"{figure.subject:10} {figure.concurrency:11} {figure.rounds:9.0f} {figure.cpu:13.2f}  {ratio}")


if __name__ == "__main__":
    main()
