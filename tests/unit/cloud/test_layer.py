"""The layer: which wheels are taken, what is in the zip, that the same makes the same, and that it runs where nothing else is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from infinity.deploy.layer.build import Layer, Order, build, read_manifest
from infinity.deploy.layer.check import Checked, Trial, check
from infinity.deploy.layer.dependencies import Wanted, requirements
from infinity.deploy.layer.python import PythonVersion, interpreter_of, python_version
from infinity.deploy.layer.wheel import newest_wheel, read_wheel
from infinity.errors import ConfigError

HERE = PythonVersion(*sys.version_info[:2])
MACHINE = os.uname().machine
NAME = f"infinity_runtime-0.1.0-cp311-abi3-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}.whl"
TWELVE = PythonVersion(3, 12)
METADATA = """Metadata-Version: 2.4
Name: infinity-runtime
Version: 0.1.0
Requires-Dist: tiny>=1,<3
Requires-Dist: anthropic>=1,<3
Requires-Dist: click>=8.1,<9
Requires-Dist: zones; sys_platform == 'win32' or sys_platform == 'linux'
Requires-Dist: asyncpg>=0.30; extra == 'aws'
Requires-Dist: boto3>=1.35; extra == 'aws'
"""
HANDLERS = """
import tiny
from .words import SAID


def agent(event, context):
    if event.get("fail"):
        raise RuntimeError("no database is there")
    return {"said": SAID, "tiny": tiny.VERSION}
"""


def make_wheel(folder: Path, name: str, files: dict[str, str], metadata: str) -> Path:
    """With a RECORD, as wheels have it."""
    project, release = name.split("-")[:2]
    notes = f"{project}-{release}.dist-info"
    contents = {**files, f"{notes}/METADATA": metadata, f"{notes}/WHEEL": "Wheel-Version: 1.0\nTag: x\n"}
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for path, text in contents.items()
    )
    wheel = folder / name
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**contents, f"{notes}/RECORD": f"{record}{notes}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # a wheel has a hash, whenever it was made
    return wheel


def infinity(folder: Path, name: str = NAME) -> Path:
    files = {
        "infinity/__init__.py": "",
        "infinity/cloud/__init__.py": "",
        "infinity/emulator/__init__.py": "",
        "infinity/testing/server.py": "",
        "infinity/cloud/words.py": "SAID = 'hello'\n",
        "infinity/cloud/handlers.py": HANDLERS,
    }
    return make_wheel(folder, name, files, METADATA)


def dependency(folder: Path, project: str, release: str, files: dict[str, str] | None = None) -> None:
    made = files or {f"{project}/__init__.py": f"VERSION = '{release}'\n"}
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: {release}\n"
    make_wheel(folder, f"{project}-{release}-py3-none-any.whl", made, metadata)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels that stand for those of the index."""
    shop = tmp_path_factory.mktemp("shop")
    for release in ("1.0", "2.0", "3.0"):
        dependency(shop, "tiny", release)
    extras = {"zones/__init__.py": "", "zones/tests/test_zones.py": "", "zones/fast.pyx": "", "bin/zones": ""}
    dependency(shop, "zones", "1.0", extras)
    for release in (version("asyncpg"), "99.0"):
        dependency(shop, "asyncpg", release)
    dependency(shop, "boto3", "9.9")
    return shop


@pytest.fixture(autouse=True)
def no_index(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))


def order(folder: Path, into: str = "dist", wanted: Wanted | None = None) -> Order:
    return Order(infinity(folder), HERE, Path(sys.executable), wanted or Wanted(), folder / into)


@pytest.fixture(scope="module")
def built(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(shop))
        return build(order(tmp_path_factory.mktemp("layer")))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("infinity_runtime-0.1.0-cp311-abi3-linux_x86_64.whl", "was built for the machine it was built on"),
        ("infinity_runtime-0.1.0-cp311-abi3-musllinux_1_2_x86_64.whl", "musl"),
        ("infinity_runtime-0.1.0-cp311-abi3-macosx_11_0_arm64.whl", "another system"),
        ("infinity_runtime-0.1.0-cp311-abi3-win_amd64.whl", "another system"),
        ("infinity_runtime-0.1.0-cp311-abi3-manylinux_2_17_s390x.whl", "another processor"),
        ("infinity_runtime-0.1.0-cp311-abi3-manylinux_2_39_x86_64.whl", "later glibc than the 2.34"),
        ("infinity_runtime-0.1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "one version of Python only"),
        (
            "infinity_runtime-0.1.0-cp313-abi3-manylinux_2_17_x86_64.whl",
            "later Python than the runtime's 3.12",
        ),
        ("somebody_else-0.1.0-cp311-abi3-manylinux_2_17_x86_64.whl", "a wheel of somebody_else"),
        ("infinity.whl", "not the name of a wheel"),
    ],
)
def test_a_wheel_that_lambda_cannot_run_is_refused_and_the_text_says_why(
    name: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        read_wheel(tmp_path / name, TWELVE)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_both_processors_are_taken(architecture: str, tmp_path: Path) -> None:
    name = f"infinity_runtime-0.1.0-cp311-abi3-manylinux_2_17_{architecture}.manylinux2014_{architecture}.whl"
    wheel = read_wheel(infinity(tmp_path, name), TWELVE)
    assert (wheel.architecture, wheel.version) == (architecture, "0.1.0")
    assert wheel.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_later_glibc_is_taken_where_the_runtime_has_it(tmp_path: Path) -> None:
    wheel = infinity(tmp_path, "infinity_runtime-0.1.0-cp311-abi3-manylinux_2_28_x86_64.whl")
    assert read_wheel(wheel, TWELVE).architecture == "x86_64"
    with pytest.raises(ConfigError, match=r"later glibc than the 2\.26"):
        read_wheel(wheel, PythonVersion(3, 11))


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"PK")
    with pytest.raises(ConfigError, match="is damaged"):
        read_wheel(tmp_path / NAME, TWELVE)


@pytest.mark.parametrize("text", ["3.10", "2.7", "3", "3.12.1", "latest"])
def test_a_python_that_cannot_run_infinity_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"3\.11 or later"):
        python_version(text)


def test_without_a_wheel_the_text_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"make wheel.*pip download infinity-runtime==0\.1\.0"):
        newest_wheel(tmp_path, "0.1.0")
    wheel = infinity(tmp_path)
    assert newest_wheel(tmp_path, "0.1.0") == wheel


def test_without_a_python_of_the_version_the_text_says_what_can_be_done() -> None:
    with pytest.raises(ConfigError, match=r"--python-version 3\.\d+, or go without: --no-bytecode"):
        interpreter_of(PythonVersion(3, 99), None)
    with pytest.raises(ConfigError, match=r"is not a Python 3\.99"):
        interpreter_of(PythonVersion(3, 99), Path(sys.executable))


def test_what_no_handler_imports_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    wheel = read_wheel(infinity(tmp_path), TWELVE)
    assert requirements(wheel, Wanted()) == ["tiny>=1,<3", "zones", "asyncpg>=0.30"]
    more = requirements(wheel, Wanted(more=("anthropic", "mine==1"), boto3=True))
    assert more[3:] == ["anthropic>=1,<3", "mine==1", "boto3>=1.35"]


def test_the_layer_holds_what_functions_import_of_the_wheel_its_dependencies_and_no_leftovers(
    built: Layer,
) -> None:
    with zipfile.ZipFile(built.path) as archive:
        names = archive.namelist()
        assert archive.read("python/infinity/cloud/handlers.py").decode() == HANDLERS
        assert archive.read("python/tiny/__init__.py") == b"VERSION = '2.0'\n"
    assert {"python/zones/__init__.py", "python/zones-1.0.dist-info/METADATA"} <= set(names)
    assert f"python/asyncpg-{version('asyncpg')}.dist-info/METADATA" in names, "as in this environment"
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyx") or "/bin/" in name]
    assert not [
        name for name in names if name.startswith(("python/infinity/emulator", "python/infinity/testing"))
    ]
    assert not [name for name in names if "anthropic" in name or "click" in name or "boto3" in name]
    assert all(name.startswith("python/") for name in names if name != "infinity-layer.json")


def test_the_manifest_says_which_wheel_it_is(built: Layer) -> None:
    manifest = read_manifest(built.path)
    assert manifest == built.manifest
    assert (manifest.wheel, manifest.architecture, manifest.python) == (NAME, MACHINE, str(HERE))
    wheel = built.path.parents[1] / NAME
    assert manifest.wheel_sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert manifest.packages["tiny"] == "2.0"


def test_the_same_wheel_makes_the_same_zip(built: Layer, tmp_path: Path) -> None:
    again = build(order(tmp_path))
    assert again.path.read_bytes() == built.path.read_bytes()
    with zipfile.ZipFile(again.path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())


def test_bytecode_is_there_and_not_compared_with_the_sources_time(built: Layer) -> None:
    tag = sys.implementation.cache_tag
    with zipfile.ZipFile(built.path) as archive:
        compiled = archive.read(f"python/infinity/cloud/__pycache__/handlers.{tag}.pyc")
    # PEP 552: the first flag says "by hash", the second "compare"; only the first is set.
    assert int.from_bytes(compiled[4:8], "little") == 0b01
    assert b"/opt/python/infinity/cloud/handlers.py" in compiled


def test_versions_that_do_not_exist_for_lambda_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for project in ("tiny", "zones"):
        dependency(bare, project, "1.0")
    dependency(bare, "asyncpg", "99.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(bare))
    assert build(order(tmp_path)).manifest.packages["asyncpg"] == "99.0"


def test_a_dependency_without_a_wheel_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no way to install.*(?s:.*)absent"):
        build(order(tmp_path, wanted=Wanted(more=("absent",))))
    assert not list(tmp_path.glob("dist/*"))


def test_the_handler_runs_where_only_the_layer_is(built: Layer) -> None:
    found = check(Trial(built.path))
    assert (found.answer, found.problem) == ({"said": "hello", "tiny": "2.0"}, None)
    assert (found.packages["infinity"], found.packages["tiny"]) == (4, 1)
    assert found.uncompiled == ()
    assert found.files == 6
    assert found.init_wall > 0 and found.peak > 2**20


def test_an_error_of_the_handler_is_told_with_its_type(built: Layer) -> None:
    found = check(Trial(built.path, event={"fail": True}))
    assert found.problem == "RuntimeError"
    assert found.answer["errorMessage"] == "no database is there"


def test_a_handler_that_cannot_be_imported_is_a_failure(built: Layer) -> None:
    with pytest.raises(
        ConfigError, match=r"ImportModuleError: Unable to import module .infinity\.cloud\.nothing"
    ):
        check(Trial(built.path, handler="infinity.cloud.nothing.agent"))


def test_a_function_that_ends_instead_of_starting_is_a_failure(built: Layer, tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ConfigError, match="ended with 7"):
        check(Trial(built.path, handler="gone.handler", code=tmp_path))


def test_a_file_that_is_not_the_wheels_is_found(built: Layer, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(built.path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"SAID = 'bye'\n" if name.endswith("/words.py") else old.read(name))
    with pytest.raises(ConfigError, match=r"infinity/cloud/words\.py in .* is not the wheel's"):
        check(Trial(changed))


def test_missing_bytecode_is_told(tmp_path: Path) -> None:
    made = order(tmp_path)
    found: Checked = check(
        Trial(
            build(Order(made.wheel, HERE, None, Wanted(), tmp_path / "slow")).path,
            python=Path(sys.executable),
        )
    )
    assert "infinity.cloud.handlers" in found.uncompiled


def test_the_command_prints_sizes_limits_and_the_hash_of_the_wheel(tmp_path: Path) -> None:
    wheel = infinity(tmp_path)
    command = [sys.executable, "-m", "infinity.cli", "layer", "build", "--python-version", str(HERE)]
    command += ["--wheel", str(wheel), "--out", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "without cli, console, demo, deploy, emulator, testing" in shown
    assert "of 50 MiB" in shown and "of 250 MiB" in shown
    assert "symbols" in shown and "0 for this runtime" in shown and "no import loads" not in shown
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in shown
    said = subprocess.run(
        [*command, "--json", "--no-bytecode"], capture_output=True, text=True, timeout=60, check=True
    )
    (layer,) = json.loads(said.stdout)
    assert layer["zipped_bytes"] == Path(layer["file"]).stat().st_size
    assert (layer["bytecode"], layer["wheel"]) == (False, NAME)


def test_a_dependency_whose_binary_is_wrong_is_refused_by_name(tmp_path: Path, shop: Path) -> None:
    dependency(tmp_path, "fast", "1.0", {"fast/core.so": "no binary", "fast/__init__.py": ""})
    wanted = Wanted(more=(str(tmp_path / "fast-1.0-py3-none-any.whl"),))
    with pytest.raises(ConfigError, match=r"fast/core\.so is for no system that is known"):
        build(order(tmp_path, wanted=wanted))
    assert not list(tmp_path.glob("dist/*"))


def test_a_helper_for_another_system_in_a_dependency_is_told_and_stops_nothing(
    tmp_path: Path, shop: Path
) -> None:
    dependency(tmp_path, "helped", "1.0", {"helped/helper.dll": "MZ", "helped/__init__.py": ""})
    wheel = str(tmp_path / "helped-1.0-py3-none-any.whl")
    said = "helped/helper.dll is for Windows"
    assert build(order(tmp_path, wanted=Wanted(more=(wheel,)))).ignored == (said,)
    command = [sys.executable, "-m", "infinity.cli", "layer"]
    making = [*command, "build", "--python-version", str(HERE), "--wheel", str(infinity(tmp_path))]
    making += ["--with", wheel, "--out", str(tmp_path / "again")]
    shown = subprocess.run(making, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said in shown and "no import loads them" in shown
    (made,) = tmp_path.glob("again/*.zip")
    checking = [*command, "check", str(made)]
    shown = subprocess.run(checking, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said in shown


def test_the_command_that_checks_tells_what_the_handler_said(built: Layer, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    command = [sys.executable, "-m", "infinity.cli", "layer", "check", str(built.path)]
    fine = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert built.manifest.wheel_sha256 in fine and "6 files, unchanged" in fine
    assert '"said": "hello"' in fine
    event.write_text('{"fail": true}')
    failing = [*command, "--event", str(event)]
    without = subprocess.run(failing, capture_output=True, text=True, timeout=60, check=True)
    assert "RuntimeError: no database is there" in without.stdout
    # With the services' addresses given, there is no excuse.
    failing += ["--env", "INFINITY_STORE=postgresql://somewhere"]
    given = subprocess.run(failing, capture_output=True, text=True, timeout=60, check=False)
    assert given.returncode == 1 and "the handler ended with RuntimeError" in given.stderr


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infinity.cli", "layer", "build"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("infinity: ") and len(ran.stderr.splitlines()) == 1
