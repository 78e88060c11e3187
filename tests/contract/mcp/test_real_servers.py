"""MCP servers as their users install them, from PyPI: on the SDK of today, and on the one before it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

APART = Path(__file__).resolve().parents[3] / "target" / "mcp-servers"


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


@pytest.fixture
def older() -> Callable[[str], str]:
    """The command of a server on the SDK before 2, out of its own environment."""

    def command(name: str) -> str:
        found = APART / "python" / "bin" / name
        if not found.exists():
            pytest.skip(f"{name} is not there; 'make target/mcp-servers/.stamp' installs it")
        return str(found)

    return command


async def test_the_sqlite_server_keeps_a_database(
    bridge: Any, older: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "shop.db"
    bridged = await bridge(command=older("mcp-server-sqlite"), args=("--db-path", str(file)))
    tools = await bridged.tools()
    assert {"write_query", "read_query", "scripted_read_resource"} <= tools.keys()
    await bridged.call("create_table", "c1", query="CREATE TABLE goods (name TEXT, price REAL)")
    await bridged.call("write_query", "c2", query="INSERT INTO goods VALUES ('tea', 4.5)")
    read = await bridged.call("read_query", "c3", query="SELECT name, price FROM goods")
    assert read["text"] == "[{'name': 'tea', 'price': 4.5}]"
    wrong = await bridged.call("read_query", "c4", query="DROP TABLE goods")
    assert "Only SELECT queries are allowed" in wrong["text"]
    noted = await bridged.call("append_insight", "c5", insight="Tea sells.")
    assert noted["text"] == "Insight added to memo"
    memo = await bridged.call("scripted_read_resource", "c6", uri="memo://insights")
    assert memo["text"].startswith("[resource memo://insights]") and "Tea sells." in memo["text"]


async def test_the_calculator_server_calculates(bridge: Any, older: Callable[[str], str]) -> None:
    bridged = await bridge(command=older("mcp-server-calculator"), args=())
    await bridged.tools()
    assert (await bridged.call("calculate", expression="(2 + 3) * 7"))["text"] == "35"


async def test_five_servers_work_beside_one_that_hangs(
    bridge: Any, older: Callable[[str], str], tmp_path: Path
) -> None:
    """Each has a bridge of its own, as under the daemon; the runtime asks all of them at once."""
    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    hanging = await bridge("hang", start_timeout=60.0)
    working = [
        await bridge(command=sys.executable, args=("-m", "mcp_server_time", "--local-timezone=UTC")),
        await bridge(
            command=sys.executable, args=("-m", "mcp_server_git", "--repository", f"{tmp_path}/repository")
        ),
        await bridge(command=sys.executable, args=("-m", "mcp_server_fetch")),
        await bridge(command=older("mcp-server-sqlite"), args=("--db-path", str(tmp_path / "a.db"))),
        await bridge(command=older("mcp-server-calculator"), args=()),
    ]
    waiting = asyncio.create_task(hanging.begin("anything", "h1"))
    names = set().union(*await asyncio.gather(*(each.tools() for each in working)))
    assert {"get_current_time", "git_status", "fetch", "read_query", "calculate"} <= names
    assert (await working[-1].call("calculate", "c1", expression="1 + 1"))["text"] == "2"
    await waiting
    assert not [each for each in hanging.runtime.callbacks if each["id"] == "h1"], "it still hangs"
