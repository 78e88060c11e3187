"""Apply small patches to a copy of the package and see whether anything notices: reverts of repairs by the simulator, mutants by the tests."""

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
        command = ["patch", "--silent", "--forward", "-p1", "--directory", folder, "--input", str(patch)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise DoesNotApply(f"{patch.name}: {done.stdout}{done.stderr}")
        yield copy
