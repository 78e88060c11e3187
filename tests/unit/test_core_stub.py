"""The stub is the core's documentation, and it is proved: signatures by stubtest in ``make check-types``, codes by comparison here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infinity import _core, errors

ROOT = Path(__file__).resolve().parents[2]


def rust_codes() -> set[str]:
    source = (ROOT / "rust/src/error.rs").read_text()
    return set(re.findall(r'Error::\w+\(_\) => "(\w+)"', source))


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
