"""Daemons that take turns on one database, as in a rolling restart: each with a home and a port of its own, all behind one address."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from tests.ports import free_port

from infinity.models.script import Script
from infinity.testing.model_server import Respond

from .daemon import Launcher, Process
from .host import Host

__all__ = ["Rolling"]


class Rolling(Host):
    """``roll`` starts the next one while the present one works, then stops that one. ``port``: of the address in front of them."""

    def __init__(self, directory: Path, launch: Launcher, respond: Script | Respond) -> None:
        super().__init__(directory / "home-0", launch, respond)
        self._directory = directory
        self._ports = [free_port(), free_port()]
        self._target = self._ports[0]
        self._count = 0
        self._started: list[Process] = []
        self._front: asyncio.Server | None = None
        self._passing: set[asyncio.StreamWriter] = set()

    async def open(self) -> Rolling:
        await super().open()
        other = self._directory / "home-1"
        other.mkdir(mode=0o700)
        for home, port in zip((self.home, other), self._ports, strict=True):
            config = self._config().replace(
                f"port = {self.port}", f'port = {port}\npublic_url = "http://127.0.0.1:{self.port}"'
            )
            (home / "infinity.toml").write_text(config)
            token = home / "token"
            token.touch(0o600)
            token.write_text("the-token-of-all-daemons-behind-one-address")
        self._front = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        return self

    async def next(self, *options: str, **environment: str) -> Process:
        """One more daemon, in the home that is not in use; nobody waits for it."""
        home = self._directory / f"home-{self._count % 2}"
        arguments = ["daemon", "run", "--home", str(home), "--no-project", *options]
        self._count += 1
        made = await self._launch(arguments, environment)
        self._started.append(made)
        return made

    async def begin(self) -> None:
        self.process = await self.next()
        await self.serve()

    async def roll(self) -> None:
        """The old one ends in order, and the new one, which has been waiting for that, serves in its place."""
        old, new = self.process, await self.next("--wait", "30")
        await new.line("waiting up to")
        assert old.status is None and not new._has("listening")
        old.signal(signal.SIGTERM)
        await new.line("listening at")
        self.turn_to(new)
        self.deaths.append(await old.ended())
        assert self.deaths[-1] == 0, old.log

    def turn_to(self, process: Process) -> None:
        """It was the last one to be started, and takes all connections from now on."""
        self.process, self._target = process, self._ports[(self._count - 1) % 2]
        for writer in self._passing:
            writer.transport.abort()

    async def close(self) -> None:
        for process in self._started:
            await process.kill()
        await super().close()
        if self._front is not None:
            self._front.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._passing |= {writer, back}
        await asyncio.gather(_pour(reader, back), _pour(there, writer))
        self._passing -= {writer, back}


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.close()
