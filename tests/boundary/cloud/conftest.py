from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.boundary import daemons
from tests.boundary.cloud import functions
from tests.boundary.cloud.both import Both
from tests.boundary.cloud.functions import Functions

from infinity.cloud import batch
from infinity.testing.tool_server import ToolServer, tool

LIMITS = "[limits]\nmessage_bytes = 65536\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real seconds of the agent function."""
    monkeypatch.setattr(batch, "LISTEN", 0.01)
    monkeypatch.setattr(batch, "PATIENCE", 0.2)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Functions]:
    """No tool servers; bodies up to 64 KiB."""
    async with functions.running(tmp_path / "cloud", LIMITS) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    async with ToolServer([tool("build"), tool("watch")]) as made:
        yield made


@pytest.fixture
async def tooled(tmp_path: Path, server: ToolServer) -> AsyncIterator[Functions]:
    config = f"{LIMITS}[toolsets.ci]\nurl = '{server.base_url}'\n"
    async with functions.running(tmp_path / "cloud", config) as made:
        yield made


@pytest.fixture
async def both(tmp_path: Path, server: ToolServer) -> AsyncIterator[Both]:
    """A daemon and a deployment of one configuration, with one tool server."""
    config = f"{LIMITS}[toolsets.ci]\nurl = '{server.base_url}'\n"
    async with (
        daemons.running(tmp_path / "home", config) as daemon,
        functions.running(tmp_path / "cloud", config) as cloud,
    ):
        yield Both(daemon, cloud)
