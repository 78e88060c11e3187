"""The pages about the inside name files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "internals").glob("*.md"))
NAMED = re.compile(r"`((?:python/infinity/|rust/src/)?[\w/]+\.(?:py|pyi|rs))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    assert named
    package = ROOT / "python" / "infinity"
    places = (ROOT, package, package / page.stem)
    assert not [name for name in named if not any((place / name).is_file() for place in places)]


def test_every_method_on_the_journey_exists() -> None:
    sources = {
        "Runtime": "python/infinity/runtime.py",
        "Inbox": "python/infinity/engine/inbox.py",
        "Loop": "python/infinity/engine/loop.py",
        "Slices": "python/infinity/engine/slices.py",
        "Store": "python/infinity/abc/store.py",
        "Thread": "python/infinity/_core.pyi",
        "Journal": "python/infinity/_core.pyi",
    }
    text = "".join(page.read_text() for page in PAGES)
    methods = set(re.findall(r"`(Runtime|Inbox|Loop|Slices|Store|Thread|Journal)\.(\w+)", text))
    assert methods
    missing = [
        f"{owner}.{name}"
        for owner, name in methods
        if not re.search(rf"def {name}\b", (ROOT / sources[owner]).read_text())
    ]
    assert missing == []
