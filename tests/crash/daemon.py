"""A daemon as a process: started, listened to, killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.patience import PATIENCE

REPOSITORY = Path(__file__).parents[2]


class Launcher(Protocol):
    """How a daemon process comes to be. Lines that come back: ``pid N``, then the daemon's stderr, then ``exit N``."""

    async def __call__(self, arguments: list[str], environment: Mapping[str, str]) -> Process: ...


class Process:
    """One process. ``lines``: what it wrote to stderr."""

    def __init__(self) -> None:
        self.pid = 0
        self.lines: list[str] = []
        self.status: int | None = None
        self._changed = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    async def line(self, text: str) -> str:
        """The first line with this text. ``AssertionError`` if the process ends without one."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self._has(text) or self.status is not None)
        found = [line for line in self.lines if text in line]
        assert found, f"the daemon ended with {self.status} and never said {text!r}:\n{self.log}"
        return found[0]

    async def ended(self, within: float = PATIENCE) -> int:
        """How it ended: its exit status, or minus the signal."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: self.status is not None)
        assert self.status is not None
        return self.status

    def signal(self, number: signal.Signals) -> None:
        if self.status is None:
            os.kill(self.pid, number)

    async def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return await self.ended()

    def _has(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    async def _said(self, line: str) -> None:
        async with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    async def _over(self, status: int) -> None:
        async with self._changed:
            self.status = status
            self._changed.notify_all()


async def execute(arguments: list[str], environment: Mapping[str, str]) -> Process:
    """The real command in a new interpreter, as users start it."""
    made = Process()
    command = Path(sys.executable).with_name("infinity")
    child = await asyncio.create_subprocess_exec(
        command,
        *arguments,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | dict(environment),
    )
    made.pid = child.pid

    async def read() -> None:
        assert child.stderr is not None
        async for line in child.stderr:
            await made._said(line.decode().rstrip("\n"))
        await made._over(await child.wait())

    made._reading = asyncio.create_task(read())
    return made


class Forks:
    """Daemons forked from one warm process (see ``fork_server``). Belongs to no event loop."""

    def __init__(self, directory: Path) -> None:
        self._address = str(directory / "forks")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server", self._address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"

    def close(self) -> None:
        self._server.communicate()

    async def __call__(self, arguments: list[str], environment: Mapping[str, str]) -> Process:
        reader, writer = await asyncio.open_unix_connection(self._address)
        asked = {"arguments": arguments, "environment": dict(environment)}
        writer.write(json.dumps(asked).encode() + b"\n")
        await writer.drain()
        made = Process()
        made.pid = int((await reader.readline()).removeprefix(b"pid "))

        async def read() -> None:
            try:
                async for line in reader:
                    word, _, rest = line.decode().rstrip("\n").partition(" ")
                    if word == "exit":
                        await made._over(int(rest))
                        return
                    await made._said(f"{word} {rest}")
            finally:
                writer.close()

        made._reading = asyncio.create_task(read())
        return made
