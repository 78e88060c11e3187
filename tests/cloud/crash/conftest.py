from __future__ import annotations

import pytest
from tests.crash import clients, daemon, watch, workload
from tests.patience import PATIENCE

from infinity.aws import breaker
from infinity.backoff import Backoff
from infinity.cloud import batch, start


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of the agent function."""
    monkeypatch.setattr(batch, "LISTEN", 0.02)
    monkeypatch.setattr(batch, "PATIENCE", 0.5)
    monkeypatch.setattr(start, "PATIENCE", 0.5)
    monkeypatch.setattr(breaker, "REST", Backoff(0.05, 0.1))


@pytest.fixture
def very_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much goes wrong at the same time, a busy machine needs long for what has to come."""
    for module in (clients, daemon, watch, workload):
        monkeypatch.setattr(module, "PATIENCE", 4 * PATIENCE)
