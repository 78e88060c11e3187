"""docs/reference/ is made from the sources, and current."""

from __future__ import annotations

import pytest
from tests.docs.references import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "run: python -m tests.docs.references"
