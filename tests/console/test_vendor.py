"""The console's foreign modules are those of their packages, to the byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    shutil.which("npm") is None, reason="the tarballs come from the npm registry, and npm was not found"
)
def test_each_foreign_module_is_what_its_tarball_gives() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "vendor.py", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
