"""An environment that is a process of its own, running AWS's runtime client ``awslambdaric``.

It lives by the system's time, whatever the emulator's clock says: its deadline is compared with the
system's clock in the process. Between invocations it is stopped, as Lambda freezes an environment, so that
work left behind in the background does not go on.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..clock import WallClock
from .invocation import Invocation, Outcome, failed
from .runtime_api import RuntimeApi
from .settings import FunctionSettings

__all__ = ["Process"]

INIT_SECONDS = 10.0


class Process:
    """One environment. The process starts with the first run, and is frozen between runs.

    Args:
        settings: Its ``handler`` is ``module.function`` in ``code``.
        arn: Of the function.
        variables: The emulator's (``AWS_ENDPOINT_URL`` …), beneath the function's own.
        heard: Gets each line that the process writes.
    """

    def __init__(
        self, settings: FunctionSettings, arn: str, variables: Mapping[str, str], heard: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._arn = arn
        self._variables = variables
        self._heard = heard
        self._api: RuntimeApi | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._exited = asyncio.Event()
        self.alive = True

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def run(self, invocation: Invocation) -> Outcome:
        try:
            return await self._run(invocation)
        finally:
            # An environment that has ended keeps neither its API server nor its reader.
            if not self.alive:
                await self.close()

    async def _run(self, invocation: Invocation) -> Outcome:
        seconds = self._settings.timeout
        if self._process is None:
            broken = await self._initialised(INIT_SECONDS)
            if broken is not None and self.alive and broken.payload == _SLOW.payload:
                # As on Lambda: once more, now within the function's own time.
                await self._end_process()
                broken = await self._initialised(seconds)
            if broken is not None:
                self.alive = False
                return broken
        assert self._api is not None
        ended = self._api.give(invocation, WallClock().now() + int(seconds * 1000))
        await self._first(ended, seconds)
        if ended.done():
            return ended.result()
        # Asked before ``kill``, which would hide whether somebody else had killed it.
        killed = not self.alive
        self.kill()
        if self._exited.is_set() or killed:
            return self._exit_outcome(invocation)
        return failed(
            "Sandbox.Timedout",
            f"RequestId: {invocation.id} Error: Task timed out after {seconds:.2f} seconds",
        )

    def _exit_outcome(self, invocation: Invocation) -> Outcome:
        code = self._process.returncode if self._process is not None else None
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
        return failed(
            "Runtime.ExitError", f"RequestId: {invocation.id} Error: Runtime exited with error: {how}"
        )

    def kill(self) -> None:
        """SIGKILL to the process and what it started."""
        self.alive = False
        self._signal(signal.SIGKILL)

    async def close(self) -> None:
        self.alive = False
        await self._end_process()

    # life

    async def _initialised(self, seconds: float) -> Outcome | None:
        """Start, and wait until the runtime asks for work. What went wrong, if something did."""
        await self._start()
        assert self._api is not None
        await self._first(self._api.ready, seconds)
        if self._api.ready.done():
            return self._api.ready.result()
        return _GONE if self._exited.is_set() else _SLOW

    async def _first(self, awaited: asyncio.Future[Any], seconds: float) -> None:
        """Until it is there, or the process has ended, or time is up."""
        exited = asyncio.create_task(self._exited.wait())
        waiting: set[asyncio.Future[Any]] = {awaited, exited}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            exited.cancel()

    async def _start(self) -> None:
        settings = self._settings
        self._exited.clear()
        self._api = RuntimeApi(
            self._arn, lambda: self._signal(signal.SIGSTOP), lambda: self._signal(signal.SIGCONT)
        )
        await self._api.start()
        assert isinstance(settings.handler, str)
        root = str(settings.code or Path.cwd())
        self._process = await asyncio.create_subprocess_exec(
            settings.python,
            "-m",
            "awslambdaric",
            settings.handler,
            cwd=root,
            env=self._environment(root, self._api.address),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
            limit=1 << 20,
        )
        self._tasks = [asyncio.create_task(self._listen(self._process))]
        # Killed while it was starting: there was nothing yet that a signal could reach.
        if not self.alive:
            self._signal(signal.SIGKILL)

    def _environment(self, root: str, address: str) -> dict[str, str]:
        settings = self._settings
        name = settings.name
        paths = [str(layer / "python") for layer in settings.layers]
        reserved = {
            "_HANDLER": str(settings.handler),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory),
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{id(self):x}",
            "AWS_LAMBDA_RUNTIME_API": address,
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LAMBDA_TASK_ROOT": root,
            "TZ": ":UTC",
        }
        inherited = {n: os.environ[n] for n in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if n in os.environ}
        python = {"PYTHONPATH": os.pathsep.join([root, *paths])}
        usual = {"LANG": "en_US.UTF-8", "LAMBDA_DISABLE_PREVIEW_WARN": "1"}
        # Later ones win: what Lambda reserves cannot be set by the function, and its own settings win over
        # the emulator's.
        return {**inherited, **usual, **python, **self._variables, **settings.environment, **reserved}

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Hand on what it writes, until it ends."""
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # Longer than a line may be; the rest of it follows.
                continue
            if not line:
                break
            self._heard(line.decode(errors="replace").rstrip("\n"))
        await process.wait()
        self.alive = False
        self._exited.set()

    async def _end_process(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._api is not None:
            await self._api.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                # It has just ended by itself.
                return


_SLOW = failed("Sandbox.Timedout", "Error: Init phase timed out")
_GONE = failed("Runtime.ExitError", "Error: Runtime exited without providing a reason")


def _end_with_parent() -> None:
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG: an emulator that is killed leaves no function behind.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
