from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.world import CloudWorld, impatient
from tests.contract.dsql_rules import Conflicts

from infinity.testing.tool_server import ToolServer, tool

__all__ = ["impatient"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[CloudWorld]:
    made = CloudWorld(tmp_path / "world", conflicts=Conflicts(0.2))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    """Tools ``a``, ``b``, ``c`` and ``watch``, which answer when the test says so."""
    async with ToolServer([tool(name) for name in ("a", "b", "c", "watch")]) as made:
        yield made


@pytest.fixture
async def tooled(tmp_path: Path, server: ToolServer) -> AsyncIterator[CloudWorld]:
    made = CloudWorld(tmp_path / "world", servers=[server], conflicts=Conflicts(0.2))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def open_world(tmp_path: Path) -> Callable[..., CloudWorld]:
    def make(**how: Any) -> CloudWorld:
        return CloudWorld(tmp_path / "world", **how)

    return make
