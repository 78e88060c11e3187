"""What followers of event streams cost: complete tool rounds at concurrency 100, with nobody watching and with 200 followers, in pairs that take turns.

Each thread is followed by two clients from its first event on. They are one process that reads and throws away (``followers.py --read``), so that what is measured is
the daemon's work for them; rounds per second contain the reader's share of the machine, too. The ratio of each pair is of two measurements that follow each other
directly, in alternating order; the median of the ratios counts.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infinity.demo.daemon import Daemon, free_port
from processes import BENCHES, get, model_config, rest_of, script, wait_for
from rounds import QUESTION, ROUNDS, Figure

THREADS = 100


def read() -> None:
    """Requests come as one line of JSON; "open" is said when each has its first bytes."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    waiting, chosen = len(asked["paths"]), selectors.DefaultSelector()
    for path in asked["paths"]:
        connection = socket.create_connection(("127.0.0.1", asked["port"]))
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{asked['port']}\r\nAuthorization: Bearer {asked['token']}\r\n\r\n"
        connection.sendall(head.encode())
        chosen.register(connection, selectors.EVENT_READ, [True])
    took = 0
    while chosen.get_map():
        for key, _ in chosen.select():
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(1 << 18)
            took += len(data)
            if not data:
                chosen.unregister(key.fileobj)
                key.fileobj.close()
            if key.data[0]:
                key.data[0] = False
                waiting -= 1
                if not waiting:
                    print("open", flush=True)


@contextmanager
def followed(daemon: Daemon, token: str, threads: list[str], followers: int) -> Iterator[None]:
    """So many streams, evenly over the threads; closed at the end of the block."""
    if not followers:
        yield
        return
    command = [sys.executable, str(BENCHES / "followers.py"), "--read"]
    paths = [f"/v1/threads/{threads[number % len(threads)]}/events?after=-1" for number in range(followers)]
    port = int(daemon.address.rpartition(":")[2])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        reader.stdin.write(json.dumps({"port": port, "token": token, "paths": paths}) + "\n")
        reader.stdin.flush()
        if reader.stdout.readline().strip() != "open":
            raise RuntimeError("the streams were not opened")
        yield
        reader.kill()


def measure(daemon: Daemon, token: str, servers: str, followers: int) -> Figure:
    threads = [str(daemon.post("/v1/threads", {})["id"]) for _ in range(THREADS)]
    asked = get(f"{servers}/counts")["requests"] + THREADS * (ROUNDS + 1)
    with followed(daemon, token, threads, followers):
        began, before = time.perf_counter(), rest_of(daemon.pid).cpu_ns
        for thread in threads:
            daemon.post(f"/v1/threads/{thread}/messages", {"content": QUESTION})
        wait_for(f"{servers}/counts", "requests", asked)
        seconds, cpu = time.perf_counter() - began, rest_of(daemon.pid).cpu_ns - before
    rounds = THREADS * ROUNDS
    return Figure(rounds / seconds, cpu / 1e6 / rounds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--followers", type=int, default=200)
    options.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.read:
        read()
        return
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    pairs: list[tuple[Figure, Figure]] = []
    with (
        tempfile.TemporaryDirectory(prefix="infinity-bench-") as folder,
        script("servers.py", port, "--rounds", ROUNDS),
    ):
        home = Path(folder) / "daemon"
        with Daemon(home, f'{model_config(servers)}\n[toolsets.bench]\nurl = "{servers}"\n') as daemon:
            token = (home / "token").read_text().strip()
            measure(daemon, token, servers, 0)
            for number in range(chosen.pairs):
                order = (0, chosen.followers) if number % 2 else (chosen.followers, 0)
                found = {followers: measure(daemon, token, servers, followers) for followers in order}
                pairs.append((found[0], found[chosen.followers]))
                show(*pairs[-1])
    slower = statistics.median(1 - watched.rounds / alone.rounds for alone, watched in pairs)
    dearer = statistics.median(watched.cpu / alone.cpu - 1 for alone, watched in pairs)
    print(
        f"{chosen.followers} followers, median of {len(pairs)} pairs: rounds/s {-slower:+.1%}, CPU per round {dearer:+.1%}"
    )


def show(alone: Figure, watched: Figure) -> None:
    print(
        f"rounds/s {alone.rounds:7.0f} -> {watched.rounds:7.0f} ({watched.rounds / alone.rounds - 1:+.1%})"
        f"   CPU ms/round {alone.cpu:6.3f} -> {watched.cpu:6.3f} ({watched.cpu / alone.cpu - 1:+.1%})",
        flush=True,
    )


if __name__ == "__main__":
    main()
