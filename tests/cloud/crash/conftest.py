from __future__ import annotations

import pytest

from infinity.cloud import batch, start


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of the agent function."""
    monkeypatch.setattr(batch, "LISTEN", 0.02)
    monkeypatch.setattr(batch, "PATIENCE", 0.5)
    monkeypatch.setattr(start, "PATIENCE", 0.5)
