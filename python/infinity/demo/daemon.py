"""The real daemon as a child process in a home of its own: started, killed, started again, and talked to over
HTTP only.

The demo's story and benchmarks use it. It must never touch the user's own daemon: home, port and settings
are its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from infinity.errors import BadRequest, ConfigError
from infinity.ports import free_port


class Daemon:
    """One daemon in a home of its own. As a context manager it is started on entering and stopped on leaving.

    Args:
        home: A directory; made if it is not there.
        config: The text of its ``infinity.toml`` but for ``[daemon]``.
        port: ``None`` takes a free one; it stays the same over restarts.
        public_url: Where tool servers call back, if not at the daemon itself.
        program: What Python runs in place of ``infinity``, for anyone who wants to look inside.
    """

    def __init__(
        self,
        home: Path,
        config: str = "",
        *,
        port: int | None = None,
        public_url: str | None = None,
        program: Sequence[str] = ("-m", "infinity.cli"),
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        public = f'public_url = "{public_url}"\n' if public_url else ""
        self._config = f"{config}\n[daemon]\nport = {self.port}\n{public}"
        self._program = tuple(program)
        self._process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the daemon is not running")
        return self._process.pid

    @property
    def output(self) -> Path:
        return self.home / "output.log"

    def start(self, seconds: float = 30.0) -> float:
        """Start it in its home and wait until it answers.

        Args:
            seconds: How long it may take.

        Returns:
            Seconds that it took.

        Raises:
            ConfigError: with its last words, if it ends or takes too long.
        """
        if self._process is not None:
            raise RuntimeError("the daemon is running already")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.home / "infinity.toml").write_text(self._config)
        began = time.monotonic()
        # Settings in the caller's environment are meant for the caller's own daemon.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INFINITY_")}
        environment = {**inherited, "INFINITY_HOME": str(self.home)}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *self._program, "daemon", "run", "--no-project"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > seconds:
                self.kill()
                raise ConfigError(f"the daemon did not start; it said:\n{self.last_words()}")
            time.sleep(0.01)
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/healthz", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    def last_words(self, lines: int = 15) -> str:
        """The end of what the daemon printed, for errors."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL: it gets to finish nothing."""
        self._end(signal.SIGKILL)

    def stop(self, seconds: float = 15.0) -> int | None:
        """End it with SIGTERM; it is killed if it takes longer than ``seconds``.

        Returns:
            Its exit status; ``None`` if it was not running.
        """
        return self._end(signal.SIGTERM, seconds)

    def _end(self, how: signal.Signals, seconds: float = 15.0) -> int | None:
        if self._http is not None:
            self._http.close()
            self._http = None
        if self._process is None:
            return None
        # Forgotten before it is waited for, so that a second call finds nothing to end.
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def connect(self) -> httpx.Client:
        """A client of one's own, authenticated."""
        token = (self.home / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=15.0)

    def client(self) -> httpx.Client:
        """One for all requests of this run of the daemon."""
        if self._http is None:
            self._http = self.connect()
        return self._http

    def get(self, path: str, **parameters: Any) -> Any:
        """Send a GET, and give the answer's JSON. ``parameters``: of the query."""
        return _body(self.client().get(path, params=parameters))

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> Any:
        """Send a request with a JSON body.

        Args:
            path: Of the API.
            body: A JSON object.
            key: The ``Idempotency-Key``; sent again under the same one, a message counts once.

        Raises:
            BadRequest: with the daemon's own words, if it refused.
        """
        headers = {"Idempotency-Key": key} if key else {}
        headers["Content-Type"] = "application/json"
        return _body(self.client().post(path, content=json.dumps(body), headers=headers))


def _body(answer: httpx.Response) -> Any:
    """The answer's JSON. ``BadRequest`` with the daemon's own words if it refused."""
    if answer.is_success:
        return answer.json()
    raise BadRequest(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
