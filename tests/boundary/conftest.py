from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.boundary.daemons import Running, running

from infinity.testing.tool_server import ToolServer, tool


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Running]:
    """No tool servers; bodies up to 64 KiB."""
    async with running(tmp_path / "home", "[limits]\nmessage_bytes = 65536\n") as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    async with ToolServer([tool("build"), tool("watch")]) as made:
        yield made


@pytest.fixture
async def tooled(tmp_path: Path, server: ToolServer) -> AsyncIterator[Running]:
    config = f"[limits]\nmessage_bytes = 65536\n[toolsets.ci]\nurl = '{server.base_url}'\n"
    async with running(tmp_path / "home", config) as made:
        yield made
