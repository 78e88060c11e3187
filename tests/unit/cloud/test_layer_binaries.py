"""Binaries of a layer: real ones of this environment, and the same with one thing changed that Lambda could not run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from infinity.deploy.layer.binaries import Stripped, examine, read_binary, strip_all
from infinity.deploy.layer.build import MANIFEST
from infinity.deploy.layer.check import Trial, check
from infinity.deploy.layer.python import PythonVersion
from infinity.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF files are of Linux")
MACHINE = os.uname().machine
OTHER = {"x86_64": ("aarch64", 183), "aarch64": ("x86_64", 62)}[MACHINE]
TWELVE = PythonVersion(3, 12)
WHOLE = Path(str(importlib.import_module("msgspec._core").__file__))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "python" / "fast"
    made.mkdir(parents=True)
    return made


def test_a_real_one_is_read_as_the_system_s_tools_read_it() -> None:
    found = read_binary(WHOLE.read_bytes())
    assert found is not None and found.sound and found.machine == MACHINE
    assert any(name.startswith("libc.so") for name in found.needs)
    tool = shutil.which("readelf")
    if tool is not None:
        said = subprocess.run([tool, "-V", str(WHOLE)], capture_output=True, text=True, check=True).stdout
        versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", said)
        assert found.glibc == max((int(major), int(minor)) for major, minor in versions)


def test_what_is_no_binary_is_none() -> None:
    assert read_binary(b"import this\n") is None


def foreign(data: bytes) -> bytes:
    return data[:18] + OTHER[1].to_bytes(2, "little") + data[20:]


def later(data: bytes) -> bytes:
    """Every version that it asks for is one that nobody has."""
    return re.sub(rb"GLIBC_2\.[0-9.]+\0", lambda found: b"GLIBC_2.99".ljust(len(found[0]), b"\0"), data)


def alpine(data: bytes) -> bytes:
    return data.replace(b"libc.so.6\0", b"libc.musl\0")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (foreign, f"is for {OTHER[0]}"),
        (later, r"needs glibc 2\.99, and there it is 2\.34"),
        (alpine, "is for Alpine Linux"),
        (lambda data: data[:200], "headers are damaged"),
        (lambda data: data[: len(data) // 2], "damaged|cannot be mapped"),
        (lambda data: b"MZ" + data[2:], "is for Windows"),
        (lambda data: b"\xcf\xfa\xed\xfe" + data[4:], "is for macOS"),
        (lambda data: b"not at all", "no system that is known"),
    ],
)
def test_what_lambda_could_not_run_is_refused_by_name(
    folder: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    data = WHOLE.read_bytes()
    (folder / "fine.so").write_bytes(data)
    assert examine(folder.parent, MACHINE, TWELVE)[0] == 1
    (folder / "wrong.so").write_bytes(change(data))
    with pytest.raises(ConfigError, match=rf"fast/wrong\.so:? .*({why})"):
        examine(folder.parent, MACHINE, TWELVE)


def test_a_program_is_known_by_its_content_and_a_version_by_its_runtime(folder: Path) -> None:
    (folder / "tool").write_bytes(foreign(WHOLE.read_bytes()))
    (folder / "lib.so.1.2").write_bytes(later(WHOLE.read_bytes()))
    found = examine(folder.parent, MACHINE, TWELVE)
    assert found.ignored == (
        "fast/lib.so.1.2 needs glibc 2.99, and there it is 2.34",
        f"fast/tool is for {OTHER[0]}",
    )
    (folder / "tool").unlink()
    (folder / "lib.so.1.2").rename(folder / "lib.so")
    with pytest.raises(ConfigError, match=r"lib\.so needs glibc 2\.99"):
        examine(folder.parent, MACHINE, TWELVE)
    (folder / "lib.so").rename(folder / "lib.so.1.2")
    newer = re.sub(rb"GLIBC_2\.\d\d\0", b"GLIBC_2.30\0", WHOLE.read_bytes())
    (folder / "lib.so.1.2").write_bytes(newer)
    assert newer != WHOLE.read_bytes() and examine(folder.parent, MACHINE, TWELVE) == (1, (2, 30), ())
    (folder / "lib.so.1.2").rename(folder / "lib.so")
    with pytest.raises(ConfigError, match=r"and there it is 2\.26"):
        examine(folder.parent, MACHINE, PythonVersion(3, 11))


@pytest.mark.parametrize(
    "name",
    [
        "native.dll",
        "native.dylib",
        "native.pyd",
        "native.cp312-win_amd64.pyd",
        "native.cpython-312-darwin.so",
        f"native.cpython-310-{OTHER[0]}-linux-gnu.so",
        "linux-other/native.so",
        "helper",
    ],
)
@pytest.mark.parametrize("change", [foreign, lambda data: b"MZ" + data[2:], lambda data: data[:200]])
def test_what_python_never_loads_is_named_and_stops_nothing(
    folder: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(change(WHOLE.read_bytes()))
    (folder / "fine.so").write_bytes(WHOLE.read_bytes())
    found = examine(folder.parent, MACHINE, TWELVE)
    assert found.binaries == 1 and all(each.startswith(f"fast/{name}") for each in found.ignored)
    # A program is known by its content alone.
    assert len(found.ignored) == 1 or name == "helper"
    strip_all(folder.parent, MACHINE)
    assert (folder / name).read_bytes() == change(WHOLE.read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        f"native.cpython-312-{MACHINE}-linux-gnu.so",
        "native.abi3.so",
        "native.so",
        # No Python there would find it, and nothing else of that name is there: the module is missing.
        f"native.cpython-312-{OTHER[0]}-linux-gnu.so",
        f"native.cpython-312-{MACHINE}-linux-musl.so",
    ],
)
def test_a_module_that_python_would_import_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(foreign(WHOLE.read_bytes()))
    with pytest.raises(ConfigError, match=re.escape(f"fast/{name} is for {OTHER[0]}")):
        examine(folder.parent, MACHINE, TWELVE)


def test_a_module_for_another_machine_beside_the_right_one_is_named(folder: Path) -> None:
    (folder / f"native.cpython-312-{MACHINE}-linux-gnu.so").write_bytes(WHOLE.read_bytes())
    wrong = f"native.cpython-312-{OTHER[0]}-linux-gnu.so"
    (folder / wrong).write_bytes(foreign(WHOLE.read_bytes()))
    assert examine(folder.parent, MACHINE, TWELVE).ignored == (f"fast/{wrong} is for {OTHER[0]}",)


def test_a_library_that_a_module_needs_is_refused_and_so_is_what_that_needs(folder: Path) -> None:
    """As auditwheel lays them down: beside the package, in a folder that no import reaches."""
    libraries = folder.parent / "fast.libs"
    libraries.mkdir()

    def needing(data: bytes, name: bytes) -> bytes:
        return data.replace(b"libc.so.6\0", name.ljust(9, b"\0") + b"\0")

    (libraries / "liba.so.1").write_bytes(needing(WHOLE.read_bytes(), b"libb.so.1"))
    (libraries / "libb.so.1").write_bytes(foreign(WHOLE.read_bytes()))
    assert len(examine(folder.parent, MACHINE, TWELVE).ignored) == 1
    (folder / "native.so").write_bytes(needing(WHOLE.read_bytes(), b"liba.so.1"))
    with pytest.raises(ConfigError, match=rf"fast\.libs/libb\.so\.1 is for {OTHER[0]}"):
        examine(folder.parent, MACHINE, TWELVE)


def test_a_layer_with_a_wrong_binary_is_refused_before_it_is_run(folder: Path, tmp_path: Path) -> None:
    manifest = msgspec.json.encode(
        {
            "infinity": "0.1.0",
            "wheel": "w.whl",
            "wheel_sha256": "0",
            "python": "3.12",
            # Of another kind of machine, on which its files can be read all the same.
            "architecture": OTHER[0],
            "packages": {},
            "bytecode": False,
        }
    )
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr(MANIFEST, manifest)
        archive.write(WHOLE, "python/fast/wrong.so")
    with pytest.raises(ConfigError, match=rf"python/fast/wrong\.so is for {MACHINE}"):
        check(Trial(layer))


# -- debug symbols


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """One with debug symbols, as its wheel has them."""
    found = importlib.util.find_spec("asyncpg")
    assert found is not None and found.origin is not None
    root = tmp_path / "python"
    shutil.copytree(Path(found.origin).parent, root / "asyncpg")
    return root


@pytest.mark.skipif(shutil.which("strip") is None, reason="needs binutils")
def test_debug_symbols_go_and_what_is_left_can_be_imported(package: Path) -> None:
    def size() -> int:
        return sum(file.stat().st_size for file in package.rglob("*.so"))

    before = size()
    found = strip_all(package, MACHINE)
    assert (found.tool, found.kept) == ("strip", 0)
    assert size() == before - found.saved < before / 2
    assert strip_all(package, MACHINE).saved == 0
    say = "import asyncpg.protocol.protocol as p; print(p.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(package)}
    ran = subprocess.run(
        [sys.executable, "-c", say], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith(str(package))


def test_without_a_tool_nothing_is_changed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(package))
    assert strip_all(package, MACHINE) == Stripped("", 0, 0)


def test_what_a_tool_would_spoil_is_left_as_it_was(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = package.parent / "tools"
    tools.mkdir()
    spoiler = tools / "strip"
    # Its answer is a file that the loader could not map; it is called with --strip-debug -o OUT IN.
    spoiler.write_text('#!/bin/sh\n/usr/bin/head -c 5000 "$4" > "$3"\n')
    spoiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    before = {file: file.read_bytes() for file in package.rglob("*.so")}
    found = strip_all(package, MACHINE)
    assert (found.saved, found.kept) == (0, len(before))
    assert {file: file.read_bytes() for file in package.rglob("*.so")} == before
