"""Processes that a bench starts, and what they cost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BENCHES = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


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


def model_config(servers: str) -> str:
    """For a daemon whose model is the bench's own server."""
    return f"""
[models]
default = "anthropic/bench"

[models.providers.anthropic]
base_url = "{servers}"
api_key = "none"
"""
