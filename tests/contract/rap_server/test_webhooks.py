"""What anybody may send to a webhook: refused, or an error, and the server goes on."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.contract.rap_server.conftest import FakeRuntime
from tests.e2e.test_examples import load

from infinity.rap.server import Toolset, ToolsetServer, Webhook
from infinity.rap.server.application import MAX_BODY

SECRET = b"between us"
DEEP = b"[" * 200_000
HOSTILE = [b"", b"\xff\xfe\x00", b"null", b"[]", b'{"repository": 5}', b'{"repository": {}}', b'"', DEEP]


async def post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status, await response.text()


def signed(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET, body, "sha256").hexdigest()


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Toolset:
    """The example's."""
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET.decode())
    tools: Toolset = load("github", "server").tools
    return tools


@pytest.mark.trap("S8")
@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "sha1=00", "sha256=" + "0" * 64, "sha256=\u00e9\u00df", signed(b"another body")],
)
async def test_a_wrong_signature_is_refused_whatever_it_is_and_nothing_is_told(
    runtime: FakeRuntime, tmp_path: Path, github: Toolset, signature: str
) -> None:
    body = json.dumps({"repository": {"full_name": "a/b"}, "action": "opened"}).encode()
    async with ToolsetServer(github, tmp_path / "state.db") as server:
        await watch(runtime, server)
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": signature}
        status, _ = await post(f"{server.base_url}/webhook", body, **headers)
    assert (status, len(runtime.callbacks)) == (401, 1)


async def test_a_signed_body_that_makes_no_sense_is_an_error_and_the_server_goes_on(
    runtime: FakeRuntime, tmp_path: Path, github: Toolset, caplog: pytest.LogCaptureFixture
) -> None:
    async with ToolsetServer(github, tmp_path / "state.db") as server:
        await watch(runtime, server)
        for body in HOSTILE:
            headers = {
                "X-GitHub-Event": "push",
                "X-GitHub-Delivery": "1",
                "X-Hub-Signature-256": signed(body),
            }
            status, text = await post(f"{server.base_url}/webhook", body, **headers)
            assert status in (200, 500) and "Traceback" not in text, (body[:20], status, text)
        status, text = await post(
            f"{server.base_url}/webhook", b"{}", **{"X-Hub-Signature-256": signed(b"{}")}
        )
        assert status == 500 and "the webhook failed; send it again" in text
        assert "the webhook at /webhook failed" in caplog.text
        body = json.dumps({"repository": {"full_name": "a/b"}, "sender": {"login": "ann"}}).encode()
        headers = {"X-GitHub-Event": "star", "X-GitHub-Delivery": "2", "X-Hub-Signature-256": signed(body)}
        assert (await post(f"{server.base_url}/webhook", body, **headers))[0] == 200
        assert (await runtime.called_back(2))["text"] == "star  by ann in a/b"


async def watch(runtime: FakeRuntime, server: ToolsetServer) -> None:
    arguments: dict[str, Any] = {"repository": "a/b", "events": ["push", "star"]}
    await runtime.invoke(server.base_url, "watch_repository", arguments=arguments)
    await runtime.called_back()


@pytest.mark.trap("G2")
async def test_a_body_without_end_is_cut_off(tmp_path: Path) -> None:
    tools = Toolset("hooks")
    seen: list[int] = []

    @tools.tool
    async def nothing() -> str:
        """Nothing."""
        return ""

    @tools.webhook("/hook")
    async def hook(request: Webhook) -> int:
        seen.append(len(request.body))
        return 200

    async def endless() -> Any:
        for _ in range(2 * MAX_BODY >> 20):
            yield b"x" * (1 << 20)

    async with ToolsetServer(tools, tmp_path / "state.db") as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url}/hook"
        async with session.post(url, data=endless()) as response:
            assert response.status == 413
        assert (await post(url, b"fits"))[0] == 200
    assert seen == [4]
