"""What a slice costs on a young and on an old thread (I10): CPU of the daemon, bytes written, and the request that has to be sent.

Each slice is one message answered with one short text, by the same daemon and the same model server. Sending the history to the model
grows with it, as it must; what is written must not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from infinity.demo.daemon import Daemon, free_port
from processes import bytes_written, get, model_config, rest_of, script, wait_for
from threads import NOW, conversation, write


@dataclass(frozen=True)
class Figure:
    entries: int
    milliseconds: float
    cpu: float
    written: float


def measure(daemon: Daemon, servers: str, thread: str, entries: int, slices: int) -> Figure:
    def slice_once(number: int) -> None:
        requests = get(f"{servers}/counts")["requests"]
        daemon.post(f"/v1/threads/{thread}/messages", {"content": f"And parcel {number}?"})
        wait_for(f"{servers}/counts", "requests", requests + 1)
        while daemon.get(f"/v1/threads/{thread}")["status"] != "idle":
            time.sleep(0.001)

    slice_once(0)  # opens the thread: from now on it is in memory
    pid = daemon.pid
    began, cpu, written = time.perf_counter(), rest_of(pid).cpu_ns, bytes_written(pid)
    for number in range(slices):
        slice_once(number + 1)
    return Figure(
        entries,
        (time.perf_counter() - began) * 1000 / slices,
        (rest_of(pid).cpu_ns - cpu) / 1e6 / slices,
        (bytes_written(pid) - written) / slices,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slices", type=int, default=100)
    options.add_argument("--entries", type=int, nargs="+", default=[10, 1_000, 10_000])
    chosen = options.parse_args()
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="infinity-bench-") as folder,
        script("servers.py", port, "--rounds", 0),
    ):
        home = Path(folder)
        daemon = Daemon(home, model_config(servers))
        daemon.start()
        daemon.stop()
        threads = {entries: f"thread_flat_{entries}" for entries in chosen.entries}
        write(
            home / "infinity.db",
            (conversation(id, entries, "anthropic/bench").delta(NOW) for entries, id in threads.items()),
        )
        with daemon:
            figures = [
                measure(daemon, servers, id, entries, chosen.slices) for entries, id in threads.items()
            ]
    first = figures[0]
    print(f"{'entries':>8} {'ms/slice':>9} {'CPU ms':>8} {'':>7} {'bytes written':>14}")
    for figure in figures:
        print(
            f"{figure.entries:8,} {figure.milliseconds:9.2f} {figure.cpu:8.2f} {figure.cpu / first.cpu:6.2f} x"
            f" {figure.written:14,.0f} {figure.written / first.written:6.2f} x"
        )


if __name__ == "__main__":
    main()
