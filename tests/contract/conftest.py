from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.stores import STORES, Opened

from infinity.abc import Store


@pytest.fixture(params=sorted(STORES))
def opened(request: pytest.FixtureRequest) -> Opened:
    return STORES[request.param]


@pytest.fixture
async def store(opened: Opened, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as made:
        yield made
