"""Apply small patches to a copy of the sources and see whether anything notices: reverts of repairs by the simulator, mutants by the tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]


class DoesNotApply(Exception):
    """The code has changed since: the patch is to be made anew."""


@contextmanager
def changed(patch: Path) -> Iterator[Path]:
    """A folder to import the changed package from. ``DoesNotApply`` if the patch fits no more."""
    with TemporaryDirectory(prefix="infinity-changed-") as folder:
        copy = Path(folder) / "python"
        shutil.copytree(ROOT / "python", copy, ignore=shutil.ignore_patterns("__pycache__"))
        _apply(patch, Path(folder))
        yield copy


@contextmanager
def changed_core(patch: Path, folder: Path) -> Iterator[None]:
    """The same for the core: ``folder`` is a workspace of cargo, kept from patch to patch so that only what a patch touches is built anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock", "rust"):
        _mirror(ROOT / name, folder / name)
    _apply(patch, folder)
    try:
        yield
    finally:
        for touched in _files_of(patch):
            # Written, not copied with its time: cargo goes by the time of a file.
            (folder / touched).write_bytes((ROOT / touched).read_bytes())


def is_of_the_core(patch: Path) -> bool:
    return any(name.startswith("rust/") for name in _files_of(patch))


def _files_of(patch: Path) -> list[str]:
    return [line[6:].strip() for line in patch.read_text().splitlines() if line.startswith("+++ b/")]


def _apply(patch: Path, folder: Path) -> None:
    command = ["patch", "--silent", "--forward", "--no-backup-if-mismatch", "-p1"]
    command += ["--directory", str(folder), "--input", str(patch)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DoesNotApply(f"{patch.name}: {done.stdout}{done.stderr}")


def _mirror(source: Path, target: Path) -> None:
    """Copy what differs. What is gone from the source goes from the copy."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        names = {each.name for each in source.iterdir()}
        for each in target.iterdir():
            if each.name not in names:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        for name in names:
            _mirror(source / name, target / name)
    elif not target.exists() or target.read_bytes() != source.read_bytes():
        target.write_bytes(source.read_bytes())
