"""Every example runs, without a key and without a network, and does what it says."""

from __future__ import annotations

import asyncio
import hmac
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.ports import free_port

FOLDER = Path(__file__).parents[2] / "examples"
SERVERS = [FOLDER / "tool_server.py"]
PROGRAMS = sorted({*FOLDER.glob("*.py"), *FOLDER.glob("concepts/*.py")} - set(SERVERS))


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda path: path.name)
def test_the_example_runs(example: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    environment["INFINITY_HOME"] = str(tmp_path / "home")
    ran = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert not ran.stderr


@pytest.mark.parametrize("example", SERVERS, ids=lambda path: path.name)
async def test_the_example_server_offers_its_tools_and_takes_signed_webhooks_only(
    example: Path, tmp_path: Path
) -> None:
    base = f"http://127.0.0.1:{(port := free_port())}"
    environment = {**os.environ, "PORT": str(port), "POST_OFFICE_SECRET": "secret"}
    process = subprocess.Popen([sys.executable, str(example)], cwd=tmp_path, env=environment)
    try:
        async with httpx.AsyncClient(base_url=base) as http:
            manifest = (await answered(http)).json()
            assert {tool["name"] for tool in manifest["tools"]} == {"locate", "watch"}
            body = b'{"id": "1", "parcel": "P1", "place": "Halle"}'
            signature = hmac.digest(b"secret", body, "sha256").hex()
            signed = await http.post("/moved", content=body, headers={"X-Signature": signature})
            unsigned = await http.post("/moved", content=body)
            assert (signed.status_code, unsigned.status_code) == (200, 401)
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 10) == 0


async def answered(http: httpx.AsyncClient, seconds: float = 20.0) -> httpx.Response:
    """The manifest, once the server is up."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await http.get("/.well-known/rap-toolset")
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
