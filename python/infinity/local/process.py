"""One process of a tool server: started in a process group of its own, or found again after the daemon was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from infinity.errors import ToolsetError
from infinity.supervision import shared

__all__ = ["Identity", "ServerProcess", "identify", "shorten_output"]

STOP_SECONDS = 3.0
LONGEST_OUTPUT = 1 << 20


class Identity(NamedTuple):
    """A process for ever: its pid, and when it began, because pids come again."""

    pid: int
    began: str


def identify(pid: int) -> Identity | None:
    """``None`` if there is no such process any more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        found = subprocess.run(  # noqa: S603 fixed arguments
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
        return Identity(pid, found.stdout.strip()) if found.returncode == 0 else None
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state == "Z" else Identity(pid, fields[18])


class ServerProcess:
    """A running process group. ``exited`` is done when its first process has ended; its result says how."""

    def __init__(self, identity: Identity, exited: asyncio.Future[str]) -> None:
        self.identity = identity
        self.exited = exited

    @classmethod
    async def start(
        cls, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: Path
    ) -> ServerProcess:
        """Its output goes to a file, not through the daemon, which sleeps while servers talk. ``ToolsetError`` if it cannot start."""
        try:
            with _open_output(output) as file:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    cwd=cwd,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            missing = command[0] if os.access(cwd, os.X_OK) else cwd
            raise ToolsetError(f"{missing} does not exist; correct 'command' or 'cwd'") from error
        except (OSError, ValueError) as error:
            raise ToolsetError(f"{command[0]} cannot be run: {error}") from error
        exited = shared(_waited(process), f"tool server {process.pid}")
        return cls(identify(process.pid) or Identity(process.pid, ""), exited)

    @classmethod
    def adopt(cls, identity: Identity) -> ServerProcess | None:
        """A server that outlived its daemon, so that its work in progress is not lost; ``None`` if it has ended."""
        if identify(identity.pid) != identity:
            return None
        exited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        process = cls(identity, exited)
        with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux ``alive`` notices
            process._watch(os.pidfd_open(identity.pid))
        return process

    def alive(self) -> bool:
        if not self.exited.done() and identify(self.identity.pid) != self.identity:
            if isinstance(self.exited, asyncio.Task):
                return False
            self.exited.set_result("ended")
        return not self.exited.done()

    async def stop(self, within: float = STOP_SECONDS) -> None:
        """The whole group: asked first, then killed. Bounded."""
        if self.alive():
            self._signal(signal.SIGTERM)
            await self._ended(within)
        # Also when the first process has ended: what it started may not have.
        self._signal(signal.SIGKILL)
        await self._ended(within)
        if not isinstance(self.exited, asyncio.Task) and not self.exited.done():
            self.exited.set_result("stopped")

    async def _ended(self, within: float) -> None:
        await asyncio.wait((self.exited,), timeout=within)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or not ours any more
            os.killpg(self.identity.pid, number)

    def _watch(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()

        def ended() -> None:
            if not self.exited.done():
                self.exited.set_result("ended")

        def close(_: object) -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)

        loop.add_reader(descriptor, ended)
        self.exited.add_done_callback(close)


async def _waited(process: asyncio.subprocess.Process) -> str:
    status = await process.wait()
    if status < 0:
        return f"was killed by signal {-status}"
    return f"exited with status {status}"


def shorten_output(path: Path) -> int:
    """Keep the end of what a running server has written beside the file, and begin the file anew, if it has grown large. Its size.

    The server appends, so it goes on at the new end; what it writes in between may be lost.
    """
    try:
        size = path.stat().st_size
        if size <= LONGEST_OUTPUT:
            return size
        with path.open("r+b") as file:
            file.seek(size - LONGEST_OUTPUT // 2)
            kept = file.read(LONGEST_OUTPUT // 2)
            older = os.open(path.with_suffix(".log.1"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(older, "wb") as copy:
                copy.write(kept)
            file.truncate(0)
    except OSError:
        return 0  # It is looked at again with the next call.
    return 0


@contextlib.contextmanager
def _open_output(path: Path) -> Iterator[int]:
    """The file of one server's output, begun anew when it has grown large."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LONGEST_OUTPUT:
            path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
