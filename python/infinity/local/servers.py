"""Tool servers that are configured by a command: started when first needed, watched, restarted with back-off, ended with the daemon.

Nobody waits for a server but who needs that server (B1), and nobody waits longer than its ``start_timeout``.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity.backoff import Backoff
from infinity.config.schema import ToolsetConfig
from infinity.errors import InfinityError, ToolsetError
from infinity.ports import is_free
from infinity.supervision import shared

from .process import Identity, ServerProcess, shorten_output

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Record", "StartedServer", "free_port"]

logger = logging.getLogger("infinity.servers")

LOOKS = Backoff(first=0.02, longest=0.5)
"""Between looks whether a server answers already."""
BACKOFF = Backoff(first=0.5, longest=60.0)
LOOK_AT_OUTPUT = 5.0
"""Seconds between looks at the output of a server that writes."""
STEADY = 60.0
"""Seconds after which a server counts as well and its back-off begins anew."""
_PASSED_ON = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "VIRTUAL_ENV",
        "PYTHONPATH",
    }
    | {"SSL_CERT_FILE", "SSL_CERT_DIR"}
)


@dataclass(frozen=True, slots=True)
class Record:
    """What survives the daemon: the port that callers were told, and the process that may still run."""

    port: int
    process: Identity | None = None


class StartedServer:
    """One configured command. ``remember`` makes a record durable before the process is used by anybody."""

    def __init__(
        self,
        name: str,
        config: ToolsetConfig,
        record: Record,
        *,
        home: Path,
        remember: Callable[[str, Record], Awaitable[None]],
    ) -> None:
        self.name = name
        self.base_url = f"http://127.0.0.1:{record.port}"
        self.restarts = 0
        self.problem = ""
        self._config = config
        self._record = record
        self._home = home
        self._remember = remember
        self._process: ServerProcess | None = None
        self._healthy = False
        self._has_run = False
        self._starting: asyncio.Task[None] | None = None
        self._failures = 0
        """In a row."""
        self._not_before = 0.0
        self._restart: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._output_size = -1
        self._stopped = False

    @property
    def state(self) -> str:
        """``running``, ``starting``, ``failed`` or ``resting``."""
        if self._starting is not None:
            return "starting"
        if self._healthy and self._process is not None and self._process.alive():
            return "running"
        return "failed" if self.problem else "resting"

    @property
    def pid(self) -> int | None:
        return self._process.identity.pid if self._process is not None and self._process.alive() else None

    @property
    def used_before(self) -> bool:
        return self._record.process is not None

    async def ready(self) -> None:
        """Return once it answers; start it if need be. ``ToolsetError`` says why it does not; at once while it rests after a failure."""
        if self.state == "running":
            self._look_at_output()
            return
        if self._stopped:
            raise ToolsetError(f"tool server {self.name} is not started: the daemon is stopping")
        if self._starting is None:
            wait = self._not_before - asyncio.get_running_loop().time()
            if wait > 0:
                raise ToolsetError(f"tool server {self.name} {self.problem}; next try in {wait:.0f} s")
            self._begin()
        assert self._starting is not None
        await asyncio.shield(self._starting)

    def start(self) -> None:
        """Begin in the background, unless it runs or begins already."""
        if self._starting is None and self.state != "running" and not self._stopped:
            self._begin()

    def _look_at_output(self) -> None:
        """Soon, and again as long as it grows; a server that is silent wakes nobody (I9, G9)."""
        if self._looking is None and not self._stopped:
            self._looking = asyncio.get_running_loop().call_later(LOOK_AT_OUTPUT, self._looked)

    def _looked(self) -> None:
        self._looking = None
        size = shorten_output(self.output)
        if size != self._output_size:
            self._output_size = size
            self._look_at_output()

    async def stop(self) -> None:
        self._stopped = True
        if self._looking is not None:
            self._looking.cancel()
        if self._restart is not None:
            self._restart.cancel()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        if self._process is not None:
            await self._process.stop()

    # -- starting

    def _begin(self) -> None:
        self._starting = shared(self._start(), f"start tool server {self.name}")
        self._starting.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("%s", error)

    async def _start(self) -> None:
        try:
            self._process = await self._found() or await self._spawn()
            await self._answering(self._process)
        except Exception as error:
            # Whatever it was: a server that is not begun again takes its subscriptions with it (B11).
            if not isinstance(error, InfinityError):
                logger.exception("tool server %s could not be started", self.name)
            await self._failed(str(error) or type(error).__name__)
            raise ToolsetError(f"tool server {self.name} {self.problem}") from error
        except asyncio.CancelledError:
            if self._process is not None:
                await self._process.stop()
            raise
        self._healthy = self._has_run = True
        self._look_at_output()
        self.problem = ""
        logger.info("tool server %s runs, pid %d, %s", self.name, self._process.identity.pid, self.base_url)
        began = asyncio.get_running_loop().time()
        process = self._process
        process.exited.add_done_callback(lambda ended: self._ended(process, began, ended))

    async def _found(self) -> ServerProcess | None:
        """The process of a daemon that was killed."""
        return ServerProcess.adopt(self._record.process) if self._record.process is not None else None

    async def _spawn(self) -> ServerProcess:
        port = self._record.port
        if not is_free(port):
            raise ToolsetError(
                f"cannot start: another program listens on port {port}; stop it, or write another one: [toolsets.{self.name}] port = …"
            )
        config = self._config
        assert config.command is not None
        arguments = [argument.replace("{port}", str(port)) for argument in config.args]
        process = await ServerProcess.start(
            [config.command, *arguments],
            cwd=self._directory,
            environment=_environment(config, port),
            output=self.output,
        )
        self._record = Record(port, process.identity)
        try:
            await self._remember(self.name, self._record)
        except InfinityError:
            await process.stop()
            raise
        return process

    @property
    def _directory(self) -> Path:
        return Path(self._config.cwd).expanduser() if self._config.cwd else self._home

    @property
    def output(self) -> Path:
        """What the server prints."""
        return self._home / "servers" / f"{self.name}.log"

    async def _answering(self, process: ServerProcess) -> None:
        """Ask, ever more slowly, until it answers at all; what it answers is discovery's business."""
        import aiohttp

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            try:
                async with asyncio.timeout(self._config.start_timeout):
                    tries = itertools.count()
                    while not await _answers(session, self.base_url):
                        await asyncio.wait((process.exited,), timeout=LOOKS.wait(next(tries)))
                        if not process.alive():
                            raise ToolsetError(f"{await process.exited}; see {self.output}")
            except TimeoutError:
                raise ToolsetError(
                    f"did not answer on port {self._record.port} within {self._config.start_timeout:g} s; see {self.output}"
                ) from None

    # -- failing

    async def _failed(self, problem: str) -> None:
        if self._process is not None:
            await self._process.stop()
        self._process = None
        self._rest(problem)
        if self._has_run:
            self._restart_later()

    def _ended(self, process: ServerProcess, began: float, ended: asyncio.Future[str]) -> None:
        if self._stopped or process is not self._process:
            return
        self._healthy = False
        self._process = None
        loop = asyncio.get_running_loop()
        if loop.time() - began >= STEADY:
            self._failures = 0
        self._rest("ended" if ended.cancelled() else ended.result())
        logger.warning("tool server %s %s; restarting", self.name, self.problem)
        self._restart_later()

    def _restart_later(self) -> None:
        """Not only on demand: subscriptions live in it, and nobody asks it for their events."""
        self._restart = asyncio.get_running_loop().call_at(self._not_before, self._again)

    def _again(self) -> None:
        self.restarts += 1
        self.start()

    def _rest(self, problem: str) -> None:
        self.problem = problem
        self._not_before = asyncio.get_running_loop().time() + BACKOFF.wait(self._failures)
        self._failures += 1


async def _answers(session: aiohttp.ClientSession, base_url: str) -> bool:
    import aiohttp

    try:
        async with session.get(f"{base_url}/.well-known/rap-toolset", allow_redirects=False):
            return True
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _environment(config: ToolsetConfig, port: int) -> dict[str, str]:
    """Little of the daemon's own: a tool server has no business with the model's key (S9)."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")
    }
    asked_for = {name: os.environ[name] for name in config.env_from if name in os.environ}
    if config.token_env and config.token_env in os.environ:
        asked_for[config.token_env] = os.environ[config.token_env]
    return {**passed_on, **asked_for, **config.env, "PORT": str(port)}


def free_port(taken: Mapping[str, Any] | set[int], first: int) -> int:
    """The first free port from here on; below the range from which systems take ports for outgoing connections."""
    for port in range(first, min(first + 2000, 65536)):
        if port not in taken and is_free(port):
            return port
    raise ToolsetError(
        f"no port from {first} on is free for a tool server; write one: [toolsets.NAME] port = …"
    )
