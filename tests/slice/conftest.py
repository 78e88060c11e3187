from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.slice.scenes import World

from infinity.testing.tool_server import ToolServer, tool


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """No tool servers."""
    made = await World(tmp_path / "infinity.db").start()
    yield made
    await made.close()


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    """Tools ``a``, ``b``, ``c`` and ``watch``, which answer when the test says so."""
    async with ToolServer([tool(name) for name in ("a", "b", "c", "watch")]) as made:
        yield made


@pytest.fixture
async def tooled(tmp_path: Path, server: ToolServer) -> AsyncIterator[World]:
    made = await World(tmp_path / "infinity.db", servers=[server]).start()
    yield made
    await made.close()


@pytest.fixture
def open_world(tmp_path: Path) -> Callable[..., World]:
    def make(**how: Any) -> World:
        return World(tmp_path / "infinity.db", **how)

    return make
