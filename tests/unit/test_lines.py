"""The count of lines and documented arguments (``benches/lines.py``), over a source whose count is known."""

from __future__ import annotations

from benches.lines import measured

SOURCE = '''"""A module."""

# why
LIMIT = 1  # not counted: there is code


def documented(first: int) -> str:
    """Says ``first``.

    At length.
    """
    return """text,
    not a docstring"""


def undocumented(first: int, *, second: int) -> None:
    """Says ``first``."""


def _private(first: int) -> None: ...
'''


def test_each_line_counts_once_and_each_argument_must_be_named() -> None:
    counts = dict(measured(iter([SOURCE])))
    expected = {"files": 1, "code": 6, "comments": 1, "docstrings": 6, "described": 3, "short": 2}
    assert counts == {**expected, "functions": 2, "undocumented": 1}
