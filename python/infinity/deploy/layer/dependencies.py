"""What the cloud host imports besides itself, brought by pip for Lambda's Python and processor.

``build`` calls ``bring``. Binary wheels only: source would be compiled for this machine, and run its build
here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from infinity.errors import ConfigError

from .python import PythonVersion
from .wheel import Wheel

__all__ = ["LEFT_OUT", "Wanted", "bring", "requirements"]

LEFT_OUT = ("anthropic", "click", "httpx")
"""What the wheel asks for and no handler imports: the models are spoken to directly, the command line is not
there."""
ADDED = ("asyncpg",)
"""Of the wheel's extras."""
_NEWER_GLIBC = (34, 31, 28, 27, 26, 24)
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<rest>[^;]*)(;(?P<marker>.*))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """``more``: names or requirements besides; ``files``: pip's requirements files; ``boto3``: do not leave
    it to the runtime.
    """

    more: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    boto3: bool = False


def requirements(wheel: Wheel, wanted: Wanted) -> list[str]:
    """The lines for pip.

    Args:
        wheel: Its requirements, without ``LEFT_OUT`` and the extras.
        wanted: What is asked for besides. A bare name that the wheel knows gets the wheel's own bounds.

    Raises:
        ConfigError: if a line of the wheel is not a requirement.
    """
    known: dict[str, str] = {}
    lines = []
    named = {_normal(name) for name in wanted.more}
    for line in wheel.requires:
        found = _REQUIREMENT.match(line)
        if found is None:
            raise ConfigError(f"{wheel.path.name} asks for {line!r}, which is not a requirement")
        name, marker = _normal(found["name"]), found["marker"] or ""
        plain = f"{found['name']}{found['rest'].strip()}"
        known.setdefault(name, plain)
        if "extra" not in marker and name not in LEFT_OUT and name not in named:
            # pip would judge the system it runs on, not the one it brings things for.
            lines.append(plain if "sys_platform" in marker else line)
    more = [*ADDED, *wanted.more, *(["boto3"] if wanted.boto3 else [])]
    bare = re.compile(r"[\w.-]+")
    lines += [
        known.get(_normal(name), name) if bare.fullmatch(name) else name for name in dict.fromkeys(more)
    ]
    return lines


def bring(wheel: Wheel, python: PythonVersion, wanted: Wanted, target: Path, scratch: Path) -> None:
    """Install the dependencies, in this environment's versions where these exist for Lambda too.

    Args:
        wheel: What needs them, and for which processor.
        python: Of the function.
        wanted: What is asked for besides.
        target: The folder ``python`` of the layer.
        scratch: For files that pip reads.

    Raises:
        ConfigError: names what has no binary wheel for it, or says that pip is missing.
    """
    if find_spec("pip") is None:
        raise ConfigError(
            f"{sys.executable} has no pip, which brings the dependencies; run: {sys.executable} -m ensurepip"
        )
    asked = scratch / "requirements.txt"
    asked.write_text("\n".join([*requirements(wheel, wanted), ""]))
    as_here = scratch / "constraints.txt"
    as_here.write_text("\n".join([*_running(), ""]))
    files = [asked, *wanted.files]
    # First in the versions that were tested here; then in whatever versions there are.
    said = _install(_command(wheel, python, target, files, as_here))
    if said is not None:
        said = _install(_command(wheel, python, target, files, None))
    if said is not None:
        raise ConfigError(
            f"pip found no way to install the dependencies for Python {python} on {wheel.architecture} (binary wheels only):\n{said}"
        )


def _command(
    wheel: Wheel, python: PythonVersion, target: Path, files: Iterable[Path], constraints: Path | None
) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += ["--root-user-action=ignore", "--no-warn-conflicts", "--upgrade", "--target", str(target)]
    # Nothing is built here: what this machine compiles would be for this machine.
    command += ["--only-binary=:all:", "--python-version", str(python), "--implementation", "cp"]
    platforms = [f"manylinux2014_{wheel.architecture}"]
    platforms += [
        f"manylinux_2_{minor}_{wheel.architecture}" for minor in _NEWER_GLIBC if (2, minor) <= python.glibc
    ]
    for platform in [*platforms, f"manylinux_2_17_{wheel.architecture}"]:
        command += ["--platform", platform]
    for file in files:
        command += ["--requirement", str(file)]
    return [*command, "--constraint", str(constraints)] if constraints else command


def _install(command: Sequence[str]) -> str | None:
    """What pip had to say if it failed."""
    # The command is pip's, with names of files and of a platform.
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return None if ran.returncode == 0 else (ran.stderr.strip() or ran.stdout.strip())


def _running() -> list[str]:
    """The versions of this environment, as constraints."""
    return sorted(
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in metadata.distributions()
        if distribution.metadata["Name"]
        and _normal(distribution.metadata["Name"]) != "infinity-runtime"
        and not distribution.read_text("direct_url.json")
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", _REQUIREMENT.sub(r"\g<name>", name)).lower()
