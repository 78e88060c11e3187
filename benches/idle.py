"""A daemon with many parked threads next to an empty one: what it does in a minute, what it holds, how soon it is ready.

A parked thread has asked, called a tool, and waits for the events of a subscription. The guarantee is I9: no wake-ups at all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from infinity.demo.daemon import Daemon
from processes import resident, rest_of
from threads import parked, write


@dataclass(frozen=True)
class Figure:
    threads: int
    ready: float
    """Seconds from the start of the process to its first answer, the database being there."""
    resident: int
    """Bytes, after that."""
    switches: int
    cpu_ns: int


def measure(home: Path, threads: int, seconds: float) -> Figure:
    daemon = Daemon(home)
    daemon.start()  # makes the home and the database
    daemon.stop()
    if threads:
        began = time.perf_counter()
        write(home / "infinity.db", (parked(number) for number in range(threads)))
        print(f"wrote {threads:,} parked threads in {time.perf_counter() - began:.1f} s")
    ready = daemon.start(seconds=120)
    try:
        held = resident(daemon.pid)
        time.sleep(2)  # what a start has left to do (checkpoint, garbage) is no idling
        before = rest_of(daemon.pid)
        time.sleep(seconds)
        rest = rest_of(daemon.pid).since(before)
    finally:
        daemon.stop()
    return Figure(threads, ready, held, rest.switches, rest.cpu_ns)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=100_000)
    options.add_argument("--seconds", type=float, default=60.0)
    chosen = options.parse_args()
    figures = []
    for threads in (0, chosen.threads):
        with tempfile.TemporaryDirectory(prefix="infinity-bench-") as home:
            figures.append(measure(Path(home), threads, chosen.seconds))
    print(
        f"{'threads':>9} {'ready s':>8} {'resident MiB':>13} {'switches':>9} {'CPU ms':>7}  in {chosen.seconds:g} s"
    )
    for figure in figures:
        print(
            f"{figure.threads:9,} {figure.ready:8.2f} {figure.resident / 2**20:13.1f}"
            f" {figure.switches:9} {figure.cpu_ns / 1e6:7.1f}"
        )


if __name__ == "__main__":
    main()
