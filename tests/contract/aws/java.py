"""DynamoDB Local and ElasticMQ, from the jars that ``make contract-java`` has fetched; each is started when first asked for."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.patience import PATIENCE
from tests.ports import free_port

_HERE = Path(__file__).parent / "java_servers"
_STARTS_WITHIN = 60.0


def _jars(name: str) -> Path:
    folder = Path(os.environ["INFINITY_CONTRACT_JAVA"]).absolute() / name
    assert any(folder.glob("*.jar")), f"{folder} holds no jars; 'make contract-java' fetches them"
    return folder


@functools.cache
def dynamodb_local() -> str:
    jars, port = _jars("dynamodb-local"), free_port()
    main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
    options = ["-inMemory", "-sharedDb", "-port", str(port)]
    return _started(jars, port, f"-Djava.library.path={jars}", "-cp", f"{jars}/*", main, *options)


@functools.cache
def elasticmq() -> str:
    jars, port = _jars("elasticmq"), free_port()
    return _started(jars, port, "-cp", f"{jars}/*", str(_HERE / "ElasticMq.java"), str(port))


def _started(folder: Path, port: int, *arguments: str) -> str:
    server = subprocess.Popen(
        ["java", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Where it may leave what it likes to leave behind.
        cwd=folder,
        preexec_fn=_end_with_parent,
    )
    atexit.register(_stop, server)
    deadline = time.monotonic() + _STARTS_WITHIN
    while not _listens(port):
        assert server.poll() is None and time.monotonic() < deadline, f"java {arguments} did not start"
        select.select([], [], [], 0.1)
    return f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        # Refused or accepted at once on loopback; not to be waited for.
        probe.setblocking(False)
        probe.connect_ex(("127.0.0.1", port))
        _, writable, _ = select.select([], [probe], [], 0.5)
        return bool(writable) and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def _end_with_parent() -> None:
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait(PATIENCE)
