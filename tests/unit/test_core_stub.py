"""The stub is the core's documentation, and it is proved: signatures by stubtest, codes by comparison."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infinity import _core, errors

ROOT = Path(__file__).resolve().parents[2]


def rust_codes() -> set[str]:
    source = (ROOT / "rust/src/error.rs").read_text()
    return set(re.findall(r'Error::\w+\(_\) => "(\w+)"', source))


def test_the_stub_says_what_the_core_is() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "infinity._core"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_code_of_the_core_has_a_class_and_every_class_a_code() -> None:
    assert len(rust_codes()) >= 9, "the table in rust/src/error.rs was not found"
    assert rust_codes() == errors.CORE_CODES.keys()


@pytest.mark.parametrize("code", sorted(errors.CORE_CODES))
def test_a_core_error_becomes_its_class_with_its_text(code: str) -> None:
    error = errors.from_core(_core.CoreError(code, "what happened"))
    assert type(error) is errors.CORE_CODES[code]
    assert str(error) == "what happened"


def test_what_is_exported_is_what_is_there() -> None:
    assert set(_core.__all__) == {name for name in vars(_core) if not name.startswith("_")} | {"__version__"}
