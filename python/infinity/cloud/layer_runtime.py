"""Lambda's side of a function for ``layer_check``: a Runtime API on loopback, and the runtime client that is in Lambda's images."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

from infinity.errors import ConfigError

from .layer_python import PythonVersion

__all__ = ["Answer", "RuntimeApi", "runtime_folder"]

CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
_PREFIX = "/2018-06-01/runtime/"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an event. ``problem``: the error's type, if there was one; ``value`` is the answer, or the error as Lambda shows it.

    ``at`` is ``time.perf_counter`` when it arrived.
    """

    value: Any
    problem: str | None
    at: float


@dataclass
class RuntimeApi:
    """One function's Runtime API: ``address`` for ``AWS_LAMBDA_RUNTIME_API``. A context manager."""

    seconds: float = 60.0
    """Of time that each invocation has."""
    _events: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    _answers: queue.Queue[Answer] = field(default_factory=queue.Queue)
    _ready: queue.Queue[float] = field(default_factory=queue.Queue)
    _server: ThreadingHTTPServer | None = None
    _count: int = 0

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RuntimeApi:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._events.put(("", b""))
        self._server.shutdown()
        self._server.server_close()

    def initialised(self, process: subprocess.Popen[Any]) -> float | Answer:
        """``time.perf_counter`` when the function asked for its first event, or the error that its start ended with."""
        ready: float | Answer = self._wait(self._ready, process)
        return ready

    def invoke(self, event: Any, process: subprocess.Popen[Any]) -> Answer:
        self._count += 1
        self._events.put((f"00000000-0000-0000-0000-{self._count:012d}", json.dumps(event).encode()))
        answer = self._wait(self._answers, process)
        assert isinstance(answer, Answer)
        return answer

    def _wait(self, arriving: queue.Queue[Any], process: subprocess.Popen[Any]) -> Any:
        """Bounded: a function that ended, or that takes longer than it may, is a failure."""
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            for source in (arriving, self._answers):
                try:
                    return source.get(timeout=0.02)
                except queue.Empty:
                    continue
            if process.poll() is not None and self._answers.empty():
                return Answer(
                    f"the process ended with {process.returncode}", "Runtime.ExitError", time.perf_counter()
                )
        return Answer(f"nothing within {self.seconds:.0f} s", "Sandbox.Timedout", time.perf_counter())


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api._ready.put(time.perf_counter())
            name, event = api._events.get()
            if not name:
                return
            deadline = int((time.time() + api.seconds) * 1000)
            headers = {
                "Lambda-Runtime-Aws-Request-Id": name,
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:check",
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            }
            self._say(200, event, headers)

        def do_POST(self) -> None:
            at = time.perf_counter()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Lambda-Runtime-Function-Error-Type") or "Error"
            failed = self.path.removeprefix(_PREFIX).endswith("error")
            value = json.loads(body) if body else None
            if failed and isinstance(value, dict):
                kind = value.get("errorType") or kind
            api._answers.put(Answer(value, kind if failed else None, at))
            self._say(202, b'{"status":"OK"}', {})

        def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler


def runtime_folder(version: PythonVersion, scratch: Path) -> Path:
    """``awslambdaric`` and what it needs, and nothing else: that of this environment if it is of the same version, else from PyPI."""
    folder = scratch / "runtime"
    folder.mkdir()
    if sys.version_info[:2] == version and _linked(folder):
        return folder
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]
    command += [
        "--target",
        str(folder),
        "--only-binary=:all:",
        "--python-version",
        str(version),
        "awslambdaric",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise ConfigError(
            f"the runtime client of Lambda's Python {version} could not be installed; put awslambdaric into a folder and name it with --runtime:\n{ran.stderr.strip()}"
        )
    return folder


def _linked(folder: Path) -> bool:
    for name in CLIENT:
        try:
            files = metadata.distribution(name).files or []
        except metadata.PackageNotFoundError:
            return False
        for top in {file.parts[0] for file in files if ".." not in file.parts}:
            link = folder / top
            target = Path(str(metadata.distribution(name).locate_file(top)))
            if target.exists() and not link.exists():
                link.symlink_to(target)
    return True
