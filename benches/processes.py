"""Processes that a bench starts, and what they cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infinity.demo.rest import Rest

BENCHES = Path(__file__).parent


@contextmanager
def script(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """One of the bench's own servers, from its line "ready" to the end of the block."""
    command = [sys.executable, str(BENCHES / name), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name} did not start; run it alone: {' '.join(command)}")
        yield process
    finally:
        process.terminate()
        process.wait(10)


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def wait_for(url: str, name: str, value: int, seconds: float = 300.0) -> None:
    """Until a server's own count ``name`` has reached ``value``."""
    limit = time.monotonic() + seconds
    while (count := get(url)[name]) < value:
        if time.monotonic() > limit:
            raise TimeoutError(f"{name} stopped at {count} of {value}")
        time.sleep(0.001)


def rest_of(pid: int) -> Rest:
    rest = Rest.of(pid)
    if rest is None:
        raise SystemExit("this system does not count CPU time and switches by thread; run the bench on Linux")
    return rest


def resident(pid: int) -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def bytes_written(pid: int) -> int:
    """By write calls, to files."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "wchar":
            return int(value)
    raise SystemExit("this system does not count bytes written by process; run the bench on Linux")


def model_config(servers: str) -> str:
    """For a daemon whose model is the bench's own server."""
    return f"""
[models]
default = "anthropic/bench"

[models.providers.anthropic]
base_url = "{servers}"
api_key = "none"
"""
