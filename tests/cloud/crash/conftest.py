from __future__ import annotations

import pytest

from infinity.backoff import Backoff
from infinity.cloud import batch, start
from infinity.cloud.aws import breaker


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of the agent function."""
    monkeypatch.setattr(batch, "LISTEN", 0.02)
    monkeypatch.setattr(batch, "PATIENCE", 0.5)
    monkeypatch.setattr(start, "PATIENCE", 0.5)
    monkeypatch.setattr(breaker, "REST", Backoff(0.05, 0.1))
