"""MCP servers as their users install them, from PyPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web


async def test_the_time_server_tells_and_converts_times(bridge: Any) -> None:
    bridged = await bridge(command=sys.executable, args=("-m", "mcp_server_time", "--local-timezone=UTC"))
    assert {"get_current_time", "convert_time"} <= (await bridged.tools()).keys()
    told = await bridged.call(
        "convert_time", "c1", source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo"
    )
    assert "T21:00" in told["text"]
    wrong = await bridged.call("get_current_time", "c2", timezone="Middle/Earth")
    assert wrong["text"].startswith("Error: ") and "Middle/Earth" in wrong["text"]


async def test_the_git_server_reads_a_repository(bridge: Any, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    (repository / "notes.txt").write_text("hello")
    bridged = await bridge(
        command=sys.executable, args=("-m", "mcp_server_git", "--repository", str(repository))
    )
    tools = await bridged.tools()
    assert tools["git_status"]["annotations"]["readOnly"] is True
    status = await bridged.call("git_status", "c1", repo_path=str(repository))
    assert "notes.txt" in status["text"]
    outside = await bridged.call("git_status", "c2", repo_path=str(tmp_path))
    assert outside["text"].startswith("Error: ")


@pytest.fixture
async def page() -> Any:
    """A page to fetch, and the robots.txt that allows it."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/robots.txt":
            return web.Response(status=404)
        return web.Response(
            text="<html><body><h1>Morning</h1><p>All is well.</p></body></html>", content_type="text/html"
        )

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/news"
    await runner.cleanup()


async def test_the_fetch_server_fetches_a_page(bridge: Any, page: str) -> None:
    bridged = await bridge(command=sys.executable, args=("-m", "mcp_server_fetch", "--allow-private-ips"))
    await bridged.tools()
    fetched = await bridged.call("fetch", url=page)
    assert "All is well." in fetched["text"]
