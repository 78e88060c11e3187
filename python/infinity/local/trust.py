"""Which project files the user trusts: a project's ``infinity.toml`` can name commands, so that it counts only once it is trusted (S5)."""

from __future__ import annotations

import json
from pathlib import Path

from infinity.config.project import ProjectFile
from infinity.errors import ConfigError, DamagedStore, StoreError

from .home import Home, write_atomically

__all__ = ["Trust", "find_project_file"]


def find_project_file(directory: Path, home: Home) -> ProjectFile | None:
    """``infinity.toml`` in this directory, unless that is the home's own."""
    path = (directory / "infinity.toml").resolve()
    if path == home.config.resolve():
        return None
    try:
        return ProjectFile(path, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


class Trust:
    """The user's decisions, kept in the home: path and SHA-256 of each trusted file. A changed file is a file not yet trusted."""

    def __init__(self, home: Home) -> None:
        self._path = home.trust

    def holds(self, file: ProjectFile) -> bool:
        return self._read().get(str(file.path)) == file.digest

    def knows(self, file: ProjectFile) -> bool:
        """Whether an earlier version of it was trusted."""
        return str(file.path) in self._read()

    def record(self, file: ProjectFile) -> None:
        self._write({**self._read(), str(file.path): file.digest})

    def withdraw(self, path: Path) -> bool:
        """False if it was not trusted."""
        decisions = self._read()
        found = decisions.pop(str(path.resolve()), None)
        if found is not None:
            self._write(decisions)
        return found is not None

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("no object")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DamagedStore(
                f"{self._path} is damaged; delete it and run 'infinity trust' again in each project"
            ) from error
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        return {str(path): str(digest) for path, digest in found.items()}

    def _write(self, decisions: dict[str, str]) -> None:
        write_atomically(self._path, json.dumps(decisions, indent=2) + "\n")
