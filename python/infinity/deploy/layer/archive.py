"""A folder becomes a zip: what nobody imports goes, bytecode comes, the same contents make the same bytes.

``build`` calls it, in this order. Files of the wheel itself are left as they are: what runs in a function
is what runs everywhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from infinity.errors import ConfigError

__all__ = ["LEFT_OUT", "MOUNT", "compile_all", "is_left_out", "pack", "prune", "unpack_wheel"]

MOUNT = "/opt"
"""Where Lambda unpacks layers; its Python looks in ``python/`` there."""
LEFT_OUT = ("cli", "console", "demo", "deploy", "emulator", "testing")
"""Packages of Infinity that serve people at their own machines: no function imports them."""
_TESTS = ("test", "tests")
_SOURCES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cpp", ".hpp", ".pyc")
_UNREAD = ("RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "top_level.txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""
_COMPILE = """
import compileall, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(sys.argv[1], quiet=2, stripdir=sys.argv[2], prependdir=sys.argv[3], invalidation_mode=mode)
"""


def unpack_wheel(wheel: Path, target: Path) -> None:
    """Unpack a wheel as it is, except the packages that no function imports (``LEFT_OUT``).

    Raises:
        ConfigError: if a path in it leads outside of ``target``.
    """
    with zipfile.ZipFile(wheel) as archive:
        outside = [name for name in archive.namelist() if name.startswith("/") or ".." in Path(name).parts]
        if outside:
            raise ConfigError(f"{wheel} holds {outside[0]}, which is outside; do not use it")
        archive.extractall(target, [name for name in archive.namelist() if not is_left_out(name)])


def is_left_out(name: str) -> bool:
    """Whether a file of the wheel belongs to a package that is not in the layer. ``name``: its path in the
    wheel.
    """
    package, _, rest = name.partition("/")
    return package == "infinity" and rest.partition("/")[0] in LEFT_OUT


def prune(python: Path) -> None:
    """Of the dependencies: their tests, scripts, sources in C and notes of the installer. Licences and
    metadata stay.
    """
    # Scripts of dependencies name this machine's interpreter in their first line.
    shutil.rmtree(python / "bin", ignore_errors=True)
    for folder in sorted(python.rglob("*"), reverse=True):
        # A package may be named so at the top; inside one, they are its tests.
        if folder.is_dir() and (
            folder.name == "__pycache__" or (folder.name in _TESTS and folder.parent != python)
        ):
            shutil.rmtree(folder)
    for file in python.rglob("*"):
        of_installer = file.parent.name.endswith(".dist-info") and file.name in _UNREAD
        if file.is_file() and (file.suffix in _SOURCES or of_installer):
            file.unlink()


def compile_all(root: Path, interpreter: Path) -> None:
    """Make bytecode that names files as they will be called under ``/opt``, and is never compared with the
    source's time.

    Without it each cold start compiles everything anew, for the layer is read-only. What a package ships
    that is not a Python of this version stays source.

    Args:
        root: The folder that becomes ``/opt``.
        interpreter: A Python of the function's very version.

    Raises:
        ConfigError: if the interpreter could not run.
    """
    # A fixed hash seed: bytecode of sets would otherwise differ from run to run.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    command = [str(interpreter), "-I", "-c", _COMPILE, str(root / "python"), str(root), MOUNT]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if ran.returncode:
        raise ConfigError(f"{interpreter} could not compile: {ran.stderr.strip()[-500:]}")


def pack(root: Path, file: Path) -> tuple[int, int]:
    """Write a folder as a zip. The same contents make the same bytes: in order of names, and without times.

    Args:
        root: The folder.
        file: The zip; it appears when it is whole.

    Returns:
        The zip's own size, and unpacked, in bytes.
    """
    unpacked = 0
    draft = file.with_name(f".{file.name}.part")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
                if path.is_file():
                    entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
                    entry.create_system = 3
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    # Readable for everybody: Lambda runs functions as a user who owns none of these files.
                    entry.external_attr = (0o100755 if path.suffix == ".so" else 0o100644) << 16
                    data = path.read_bytes()
                    archive.writestr(entry, data, compresslevel=9)
                    unpacked += len(data)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size, unpacked
