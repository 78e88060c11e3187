"""The directory of a local deployment: ports, keys, what the stand-ins held when it was stopped, logs.

One process at a time uses it, and holds its lock. A file that cannot be read is an error and never taken
for absent (I8); files are written whole, and for their owner only, because keys and conversations are in
them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

from infinity.errors import ConfigError
from infinity.ports import free_port

from ..signature import Credentials

__all__ = ["Folder"]

PORTS = ("aws", "receiver", "api")


class Folder:
    """The state of one local deployment.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.log = self.path / "functions.log"
        self.database = self.path / "postgresql"
        self.environment = self.path / "environment"
        self._settings = self.path / "settings.json"
        self._services = self.path / "aws.json"
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Make the directory, and lock it for this process.

        Raises:
            ConfigError: if another process has it; the text names its id.
        """
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        # It lies in a project's directory: keys and messages must not end up in its repository.
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        self._lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            self._lock = None
            raise ConfigError(
                f"{self.path} is in use by process {holder}; stop it, or use another directory with --state"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def settings(
        self, wanted: Mapping[str, int], more: Collection[str] = ()
    ) -> tuple[Credentials, str, dict[str, int]]:
        """Credentials of AWS, the API's token and the ports: made once and then kept.

        Args:
            wanted: Ports that take the place of kept ones, by name; 0 keeps.
            more: Names of further ports, besides ``PORTS``.

        Raises:
            ConfigError: if the file cannot be read; it is never taken for empty (I8).
        """
        kept = self._read(self._settings) or {}
        earlier: dict[str, int] = kept.get("ports", {})
        names = [*PORTS, *more]
        # Ports of toolsets that are gone are kept: should they come back, conversations know them under this
        # address.
        ports = {**earlier, **{name: wanted.get(name) or earlier.get(name) for name in names}}
        taken = {port for port in ports.values() if port}
        for name in names:
            if not ports[name]:
                ports[name] = free_port(taken)
                taken.add(int(ports[name] or 0))
        made = Credentials()
        key, secret = kept.get("access_key", made.access_key), kept.get("secret_key", made.secret_key)
        token = kept.get("token") or secrets.token_urlsafe(24)
        document = {"access_key": key, "secret_key": secret, "token": token, "ports": ports}
        self._write(self._settings, json.dumps(document, indent=2))
        return Credentials(key, secret), token, {name: int(port or 0) for name, port in ports.items()}

    def services(self) -> dict[str, Any] | None:
        """What the stand-ins held when they were stopped; ``None`` at the first start.

        Raises:
            ConfigError: if the file cannot be read.
        """
        return self._read(self._services)

    def keep_services(self, document: dict[str, Any]) -> None:
        """Write down what the stand-ins hold, whole or not at all."""
        self._write(self._services, json.dumps(document))

    def open_log(self) -> IO[str]:
        """What the functions print; it may be anything, so it is for this user alone."""
        return open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")

    def tell(self, variables: Mapping[str, str]) -> None:
        """Write a file for a shell to source, with these variables."""
        lines = [f"export {name}={_quoted(value)}\n" for name, value in variables.items()]
        self._write(self.environment, "".join(lines))

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            # Never taken for empty: what is in it would be lost (I8).
            raise ConfigError(
                f"{path} cannot be read; put it aside to begin anew, or use another directory with --state"
            )
        return document

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all, and for this user alone: keys and messages are in it."""
        beside = path.with_name(f"{path.name}.new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            # Before the rename, or a loss of power could leave an empty file under the final name.
            os.fsync(file.fileno())
        beside.replace(path)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
