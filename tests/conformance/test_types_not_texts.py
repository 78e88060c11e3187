"""What a record, an error or a problem says is read by one typed reader, never from its text or its raw JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import infinity

ROOT = Path(infinity.__file__).parent
NOT_OURS = ("testing", "demo")


@pytest.mark.parametrize(
    ("text", "readers"),
    [
        (r"\b(header|entry)_json\(", {"abc/records.py"}),
        (
            r'startswith\("(Error: |budget:|held_back)',
            {"rap/inspection/inspector.py", "rap/inspection/answers.py"},
        ),
        (r'getattr\(error, "(code|rule)"', set()),
        (r"\{rows\[-1\]\.updated_at\}", set()),
        (r"decode_json\([^)]*\.origin|json\.decode\([^)]*\.origin", set()),
    ],
)
def test_it_is_read_in_one_place(text: str, readers: set[str]) -> None:
    """Anyone who inspects a tool server from outside has its texts only."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in NOT_OURS and re.search(text, path.read_text())
    }
    assert found == readers
