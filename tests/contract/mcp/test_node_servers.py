"""MCP servers from npm, on the TypeScript SDK: another implementation of the protocol than ours and our tests'."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.mcp.conftest import PATIENCE
from tests.contract.mcp.test_real_servers import APART
from tests.ports import free_port


@pytest.fixture
def packaged() -> Callable[[str], str]:
    """The script of a server, for Node."""

    def script(name: str) -> str:
        if shutil.which("node") is None:
            pytest.skip("Node is not installed")
        found = APART / "node" / "node_modules" / "@modelcontextprotocol" / name / "dist" / "index.js"
        if not found.exists():
            pytest.skip(f"{name} is not there; 'make target/mcp-servers/.stamp' installs it, with npm")
        return str(found)

    return script


async def test_the_filesystem_server_reads_and_writes_where_it_may(
    bridge: Any, packaged: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    bridged = await bridge(command="node", args=(packaged("server-filesystem"), str(folder)))
    tools = await bridged.tools()
    assert tools["read_text_file"]["annotations"]["readOnly"] is True
    await bridged.call("write_file", "c1", path=str(folder / "a.txt"), content="hello")
    assert (folder / "a.txt").read_text() == "hello"
    read = await bridged.call("read_text_file", "c2", path=str(folder / "a.txt"))
    assert read["text"] == "hello"
    outside = await bridged.call("read_text_file", "c3", path="/etc/passwd")
    assert outside["text"].startswith("Error: ") and "Access denied" in outside["text"]


async def test_the_memory_server_remembers(
    bridge: Any, packaged: Callable[[str], str], tmp_path: Path
) -> None:
    environment = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    bridged = await bridge(command="node", args=(packaged("server-memory"),), env=environment)
    await bridged.tools()
    entity = {"name": "Ada", "entityType": "person", "observations": ["likes engines"]}
    await bridged.call("create_entities", "c1", entities=[entity])
    await bridged.restart()
    found = await bridged.call("search_nodes", "c2", query="engines")
    assert "Ada" in found["text"]


class Everything:
    """The SDK authors' server with one of each thing."""

    def __init__(self, bridged: Any) -> None:
        self.bridged = bridged

    async def check(self) -> None:
        bridged = self.bridged
        tools = await bridged.tools()
        assert {"echo", "simulate-research-query", "scripted_list_resources"} <= tools.keys()
        assert (await bridged.call("echo", "c1", message="hi"))["text"] == "Echo: hi"
        image = await bridged.call("get-tiny-image", "c2")
        assert [each["type"] for each in image["content"]] == ["text", "image", "text"]
        structured = await bridged.call("get-structured-content", "c3", location="Chicago")
        assert structured["text"].count("temperature") == 1, "said once"
        links = await bridged.call("get-resource-links", "c4", count=2)
        assert links["text"].count("read it at demo://resource/") == 2
        await bridged.begin("trigger-long-running-operation", "c5", duration=1, steps=2)
        await bridged.message("view_update", "c5")
        assert "completed" in (await bridged.message("tool_result", "c5"))["text"]


async def test_everything_over_a_pipe(bridge: Any, packaged: Callable[[str], str]) -> None:
    await Everything(await bridge(command="node", args=(packaged("server-everything"), "stdio"))).check()


@pytest.fixture
async def everything_over_http(packaged: Callable[[str], str]) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "node",
        packaged("server-everything"),
        "streamableHttp",
        env={"PORT": str(port), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, "the MCP server did not start"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_everything_over_http(bridge: Any, everything_over_http: str) -> None:
    await Everything(await bridge(url=everything_over_http)).check()


async def test_a_task_of_the_version_before_is_seen_through(bridge: Any, everything_over_http: str) -> None:
    bridged = await bridge(url=everything_over_http)
    await bridged.tools()
    await bridged.begin("simulate-research-query", topic="tea", ambiguous=True)
    question = await bridged.choose(1, 0)
    assert "tea" in question["prompt"]
    result = await bridged.message("tool_result")
    assert "Research Report" in result["text"], result["text"]
