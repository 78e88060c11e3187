"""The Python that Lambda runs, and one of the same version on this machine.

``build`` and ``check`` use it. Bytecode of another version is never used, because Python would ignore it
without a word.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from infinity.errors import ConfigError

__all__ = ["PythonVersion", "default_version", "interpreter_of", "python_version"]

OLDEST = (3, 11)
CURRENT = (3, 12)
"""The oldest that Lambda has on Amazon Linux 2023."""


class PythonVersion(NamedTuple):
    """Of the Lambda runtime: ``3.12``."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def tag(self) -> str:
        return f"cp{self.major}{self.minor}"

    @property
    def glibc(self) -> tuple[int, int]:
        """Of the runtime's Amazon Linux: 2 up to Python 3.11, 2023 after."""
        return (2, 34) if self >= (3, 12) else (2, 26)


def python_version(text: str) -> PythonVersion:
    """Read a version such as ``3.12``.

    Raises:
        ConfigError: unless it is one that Infinity runs on.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    version = PythonVersion(int(found[1]), int(found[2])) if found else None
    if version is None or version < OLDEST:
        raise ConfigError(
            f"Python {text} cannot run Infinity, which needs 3.11 or later; choose the runtime's version, such as 3.12"
        )
    return version


def default_version() -> PythonVersion:
    """This interpreter's, for which bytecode can be made here; at least 3.12."""
    return PythonVersion(*max(sys.version_info[:2], CURRENT))


def interpreter_of(version: PythonVersion, named: Path | None) -> Path:
    """Find a Python of that very version: its bytecode is of no use to another.

    Args:
        version: Of the function.
        named: The one to use; without it this interpreter and the usual places are tried.

    Raises:
        ConfigError: says what can be done if there is none.
    """
    candidates = [named] if named else [Path(sys.executable), *_around(version)]
    for candidate in candidates:
        # Asked and not read from its name: links and wrappers are named as they like.
        if _version(candidate) == version:
            return candidate
    if named:
        raise ConfigError(f"{named} is not a Python {version}; its bytecode would be of no use there")
    raise ConfigError(
        f"bytecode for Lambda's Python {version} needs a Python {version} here, and none was found. Install one, name one with --python, "
        f"choose this one's version with --python-version {sys.version_info[0]}.{sys.version_info[1]}, or go without: --no-bytecode (cold starts take twice as long)"
    )


def _around(version: PythonVersion) -> list[Path]:
    found = shutil.which(f"python{version}")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    installed = [
        *versions.glob(f"{version}*/bin/python{version}"),
        *uv.glob(f"cpython-{version}*/bin/python{version}"),
    ]
    return [*([Path(found)] if found else []), *sorted(installed)]


def _version(interpreter: Path) -> tuple[int, int] | None:
    say = "import sys; print(*sys.version_info[:2])"
    try:
        ran = subprocess.run([str(interpreter), "-I", "-c", say], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    words = ran.stdout.split()
    return (int(words[0]), int(words[1])) if ran.returncode == 0 and len(words) == 2 else None
