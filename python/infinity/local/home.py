"""The daemon's home directory: who may read it, which files it has, and who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from infinity.errors import ConfigError, DamagedStore, InfinityError, StoreError, StoreLocked

__all__ = ["DaemonState", "Home", "HomeLock"]

_OURS = {
    "infinity.toml",
    "infinity.db",
    "token",
    "daemon.json",
    "daemon.lock",
    "daemon.log",
    "trust.json",
    "held.json",
}


@dataclass(frozen=True, slots=True)
class DaemonState:
    """Who holds a home: what ``daemon.json`` and ``daemon.lock`` say. ``console``: where it opens; empty if it does not."""

    pid: int
    address: str
    since: str
    version: str = ""
    console: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} at {self.address}, since {self.since}"


class Home:
    """``$INFINITY_HOME``, by default ``~/.infinity``; only its owner may look inside (0700).

    Nothing is touched before ``prepare``. Reading methods work without it.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        chosen = path or os.environ.get("INFINITY_HOME") or Path.home() / ".infinity"
        self.path = Path(chosen).expanduser().absolute()
        self.config = self.path / "infinity.toml"
        self.database = self.path / "infinity.db"
        self.log = self.path / "daemon.log"
        self.trust = self.path / "trust.json"
        self.held = self.path / "held.json"
        """Whose slice holds the event loop, while one does for seconds; or did, until the process was ended."""
        self._token = self.path / "token"
        self._state = self.path / "daemon.json"
        self._lock = self.path / "daemon.lock"

    def suspect(self) -> str | None:
        """The thread whose slice held the event loop of the last daemon until its process was ended."""
        try:
            found = json.loads(self.held.read_bytes())
        except (OSError, ValueError):
            return None
        thread = found.get("thread") if isinstance(found, dict) else None
        return thread if isinstance(thread, str) else None

    def clear_suspect(self) -> None:
        self.held.unlink(missing_ok=True)

    def prepare(self) -> None:
        """Make the directory, or make sure that it is ours alone. ``ConfigError`` says what to do where it cannot be."""
        with _explained(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(
                f"{self.path} belongs to another user (uid {found.st_uid}); choose another home with --home or INFINITY_HOME"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            self._close_to_others(stat.S_IMODE(found.st_mode))
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(
                f"{self.path} is read-only: the daemon keeps its database there. Make it writable (chmod u+rwx) or choose another home with --home or INFINITY_HOME"
            )

    def _close_to_others(self, mode: int) -> None:
        names = {entry.name for entry in self.path.iterdir()}
        if names and not names & (_OURS - {"infinity.toml"}) and names != {"infinity.toml"}:
            # Somebody's directory with other things in it: changing its mode unasked could lock others out of theirs.
            raise ConfigError(
                f"{self.path} is open to other users (mode {mode:04o}) and holds other files; run: chmod 700 {self.path}, or choose another home"
            )
        with _explained(self.path):
            self.path.chmod(0o700)

    def problems(self) -> list[str]:
        """What is wrong with permissions, for ``infinity doctor``; changes nothing."""
        found: list[str] = []
        for path, allowed in ((self.path, 0o700), (self._token, 0o600), (self.database, 0o600)):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if state.st_uid != os.geteuid():
                found.append(f"{path} belongs to uid {state.st_uid}, not to you")
            if stat.S_IMODE(state.st_mode) & 0o077:
                found.append(
                    f"{path} can be reached by other users (mode {stat.S_IMODE(state.st_mode):04o}); run: chmod {allowed:o} {path}"
                )
        return found

    # -- token

    def token(self) -> str | None:
        """What clients authenticate with, or ``None`` before the first start."""
        try:
            with _explained(self._token):
                text = self._token.read_text("ascii").strip()
        except FileNotFoundError:
            return None
        if len(text) < 32:
            raise ConfigError(
                f"{self._token} is damaged (it holds {len(text)} characters); delete it, then restart the daemon: it makes a new one"
            )
        return text

    def make_token(self) -> str:
        """The token, made on first use: 0600 from the first byte on, and the same for everybody who asks at the same time."""
        existing = self.token()
        if existing is not None:
            return existing
        draft = self.path / f".token.{secrets.token_hex(8)}"
        with _explained(self._token):
            _write_new(draft, secrets.token_urlsafe(32) + "\n")
            try:
                with contextlib.suppress(FileExistsError):
                    os.link(draft, self._token)
            finally:
                draft.unlink()
        made = self.token()
        if made is None:
            raise StoreError(f"{self._token} vanished while it was made; start again")
        return made

    # -- who holds the home

    def lock(self) -> HomeLock:
        """Hold the home for this process (B7). ``StoreLocked`` names the process that holds it already."""
        with _explained(self._lock):
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                holder = _read_state(self._lock) or "a process that is just starting or stopping"
                raise StoreLocked(
                    f"another daemon holds {self.path}: {holder}. Stop it with 'infinity daemon stop', or use another home with --home"
                ) from None
            except OSError:
                os.close(descriptor)
                raise
        return HomeLock(self, descriptor)

    def holder(self) -> DaemonState | None:
        """The running daemon, or ``None``. Asks the lock, not the process table: a pid may be somebody else's by now."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _explanation(error, self._lock) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_state(self._state) or _read_state(self._lock) or DaemonState(0, "", "")
        finally:
            os.close(descriptor)
        return None


class HomeLock:
    """A held home. ``announce`` tells others where the daemon listens; ``release`` (or the process's end) gives the home back."""

    def __init__(self, home: Home, descriptor: int) -> None:
        self._home = home
        self._descriptor: int | None = descriptor
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(DaemonState(os.getpid(), "(not listening yet)", self._since))

    def announce(self, address: str, version: str, console: str = "") -> DaemonState:
        state = DaemonState(os.getpid(), address, self._since, version, console)
        self._write(state)
        write_atomically(self._home._state, json.dumps(asdict(state)) + "\n")
        return state

    def release(self) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # what stays behind is not believed: the lock decides
            self._home._state.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _write(self, state: DaemonState) -> None:
        assert self._descriptor is not None
        with _explained(self._home._lock):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(asdict(state)).encode(), 0)


def write_atomically(path: Path, text: str) -> None:
    """Old or new, never half, and 0600 all the time."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with _explained(path):
        try:
            _write_new(draft, text)
            draft.replace(path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            raise


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_state(path: Path) -> DaemonState | None:
    """``None`` while its writer is about to write it; the lock is what counts."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return DaemonState(
            int(found["pid"]),
            str(found["address"]),
            str(found["since"]),
            str(found.get("version", "")),
            str(found.get("console", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise DamagedStore(f"{path} is not text; delete it, then restart the daemon") from error
    except OSError as error:
        raise _explanation(error, path) from error


def _explanation(error: OSError, path: Path) -> InfinityError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"no space left to write {path}; free some disk space, then start again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigError(
            f"{path} cannot be used ({error.strerror}); make it yours and writable, or choose another home with --home or INFINITY_HOME"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return ConfigError(
            f"{path} is not a directory, or a part of it is not; choose another home with --home or INFINITY_HOME"
        )
    return StoreError(f"{path}: {error.strerror or error}")
