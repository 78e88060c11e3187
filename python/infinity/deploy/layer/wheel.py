"""A wheel of Infinity as a file: whether Lambda can run it, for which processor, and its hash.

``build`` reads it first. The judgement here is by its name and metadata; ``binaries`` judges the files.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from infinity.errors import ConfigError

from .python import PythonVersion

__all__ = ["ARCHITECTURES", "Wheel", "newest_wheel", "read_wheel"]

ARCHITECTURES = ("x86_64", "aarch64")
"""As wheels name processors; Lambda says arm64 for the second."""
DISTRIBUTION = "infinity_runtime"
BUILD = "In a checkout, 'make wheel' builds one that Lambda can run"
_NAME = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)"
)
_GLIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@dataclass(frozen=True, slots=True)
class Wheel:
    """``sha256`` is of the file, in hex; ``requires`` its Requires-Dist lines."""

    path: Path
    version: str
    architecture: str
    sha256: str
    requires: tuple[str, ...]


def read_wheel(path: Path, python: PythonVersion) -> Wheel:
    """Read what a wheel says of itself.

    Args:
        path: The file; its name says what it runs on.
        python: Of the function.

    Raises:
        ConfigError: if Lambda could not use it; the text says why and where to get one that it can.
    """
    named = _NAME.fullmatch(path.name.removesuffix(".whl"))
    if not path.name.endswith(".whl") or named is None:
        raise ConfigError(f"{path.name} is not the name of a wheel; {BUILD}")
    if named["name"] != DISTRIBUTION:
        raise ConfigError(
            f"{path.name} is a wheel of {named['name']}, not of {DISTRIBUTION}; name others in a file with --requirements"
        )
    # By the name first, as pip does; what the files really are is looked at when the layer is built.
    _check_interface(path.name, named, python)
    architecture = _architecture(path.name, named["platform"].split("."), python)
    try:
        data = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            metadata = archive.read(f"{DISTRIBUTION}-{named['version']}.dist-info/METADATA").decode()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise ConfigError(f"{path} is damaged: {error}; {BUILD}") from error
    requires = HeaderParser().parsestr(metadata).get_all("Requires-Dist", [])
    return Wheel(
        path, named["version"], architecture, hashlib.sha256(data).hexdigest(), tuple(map(str, requires))
    )


def newest_wheel(folder: Path, version: str) -> Path:
    """The newest wheel of Infinity in a folder.

    Args:
        folder: Where it is looked for.
        version: For the text that says how to get one.

    Raises:
        ConfigError: if there is none.
    """
    found = sorted(folder.glob(f"{DISTRIBUTION}-*.whl"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(
            f"there is no wheel of Infinity in {folder}/. {BUILD}; elsewhere: "
            f"pip download infinity-runtime=={version} --no-deps --only-binary=:all: --platform manylinux2014_x86_64 --dest {folder} "
            "(for arm64: manylinux2014_aarch64), or name one with --wheel"
        )
    return found[-1]


def _check_interface(name: str, named: re.Match[str], python: PythonVersion) -> None:
    if named["abi"] != "abi3":
        raise ConfigError(
            f"{name} is for one version of Python only ({named['abi']}); the layer wants the abi3 wheel. {BUILD}"
        )
    oldest = min(
        (int(minor) for tag in named["python"].split(".") if (minor := tag.removeprefix("cp3")).isdigit()),
        default=None,
    )
    if oldest is None or oldest > python.minor:
        raise ConfigError(
            f"{name} needs a later Python than the runtime's {python}; choose another with --python-version"
        )


def _architecture(name: str, platforms: list[str], python: PythonVersion) -> str:
    for platform in platforms:
        for architecture in ARCHITECTURES:
            system = platform.removesuffix(f"_{architecture}")
            if system != platform and (glibc := _glibc(system)) is not None and glibc <= python.glibc:
                return architecture
    raise ConfigError(f"{name} does not run on Lambda: {_why(platforms, python)}. {BUILD}, for manylinux2014")


def _glibc(system: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"manylinux_(\d+)_(\d+)", system)
    return (int(found[1]), int(found[2])) if found else _GLIBC.get(system)


def _why(platforms: list[str], python: PythonVersion) -> str:
    tag = platforms[0]
    if tag.startswith("musllinux"):
        return f"{tag} is for Alpine Linux (musl), and Lambda has glibc"
    if tag.startswith("linux"):
        return f"{tag} was built for the machine it was built on, with whatever glibc that has"
    if tag.startswith("manylinux") and tag.endswith(ARCHITECTURES):
        return f"{tag} needs a later glibc than the {'.'.join(map(str, python.glibc))} of the Python {python} runtime"
    if tag.startswith("manylinux"):
        return f"{tag} is for another processor; Lambda has {' and '.join(ARCHITECTURES)}"
    return f"{tag} is for another system"
