"""Started by another runtime: the port is said first, and nothing else on standard output (SRV-7)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = '''
import os, subprocess, sys
from infinity.rap.server import Toolset
print("printed while it is loaded")
subprocess.run(["echo", "printed by another program"])
tools = Toolset("loud", "It prints.")

@tools.tool
async def shout() -> str:
    """Print something."""
    return "done"
'''
SERVE = "from infinity.rap.server import serve\nserve(tools)\n"
MCP = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "w", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": result}), flush=True)
    elif m.get("method") == "tools/list":
        tools = [{"name": "shout", "inputSchema": {"type": "object"}}]
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": tools}}), flush=True)
    elif "id" in m:
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
"""
WAYS = {
    "infinity rap serve": ["-m", "infinity.cli", "rap", "serve", "tools.py:tools"],
    "serve()": ["program.py"],
    "infinity rap mcp": [
        "-m",
        "infinity.cli",
        "rap",
        "mcp",
        "bridged",
        "--",
        sys.executable,
        "mcp_server.py",
    ],
}


@contextmanager
def started(folder: Path, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    (folder / "tools.py").write_text(TOOLS)
    (folder / "program.py").write_text("from tools import tools\n" + SERVE)
    (folder / "mcp_server.py").write_text(MCP)
    env = {**os.environ, "RAP_EMBEDDED": "1"}
    env.pop("PORT", None)
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.rap("SRV-7")
@pytest.mark.parametrize("way", ["infinity rap serve", "infinity rap mcp"])
def test_the_port_is_the_only_thing_on_standard_output(tmp_path: Path, way: str) -> None:
    with started(tmp_path, WAYS[way]) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert list(said) == ["port"] and said["port"] not in (0, 8801, 8810)
        url = f"http://127.0.0.1:{said['port']}/.well-known/rap-toolset"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert [tool["name"] for tool in json.load(answer)["tools"]] == ["shout"]
        process.terminate()
        rest, _ = process.communicate(timeout=20)
        assert rest == ""


@pytest.mark.rap("SRV-7")
def test_a_program_that_serves_by_itself_says_its_port(tmp_path: Path) -> None:
    with started(tmp_path, WAYS["serve()"]) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        # What a program prints before it calls serve() is its own.
        assert json.loads(lines[-1])["port"]
