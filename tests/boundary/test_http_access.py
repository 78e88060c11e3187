"""Who gets in: token, Host, Origin (S4), and what is open to everybody."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.boundary.daemons import SOON, Running, running
from tests.patience import PATIENCE

from infinity.local.logs import start_logging, stop_logging

pytestmark = pytest.mark.trap("S4")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer {half}",
        "Bearer ☃",
    ],
)
async def test_without_the_token_nothing_under_v1_answers(daemon: Running, authorization: str | None) -> None:
    token = daemon.home.token() or ""
    given = (
        None if authorization is None else authorization.format(token=token, half=token[: len(token) // 2])
    )
    request = b"GET /v1/threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if given is not None:
        request += b"Authorization: " + given.encode() + b"\r\n"
    answer = await raw(daemon, request + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ") and b"WWW-Authenticate: Bearer" in answer


async def test_with_the_token_it_does(daemon: Running) -> None:
    assert (await daemon.get("/v1/threads")).status == 200
    answer = await raw(
        daemon,
        f"GET /v1/threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nauthorization: bearer {daemon.home.token()}\r\n\r\n".encode(),
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json"])
async def test_what_holds_no_content_needs_no_token(daemon: Running, path: str) -> None:
    assert (await daemon.get(path, headers={"Authorization": "none"})).status == 200


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "localhost", 200),
        ("127.0.0.1", "agent.example", 401),
        ("0.0.0.0", "127.0.0.1", 401),
    ],
)
async def test_metrics_want_the_token_unless_only_this_machine_can_ask(
    tmp_path: Path, bound: str, host: str, status: int
) -> None:
    async with running(tmp_path / "home", f"host = '{bound}'\nhosts = ['agent.example']\n") as daemon:
        headers = {"Host": host, "Authorization": "none"}
        assert (await daemon.get("/metrics", headers=headers)).status == status
        assert (await daemon.get("/metrics", headers={"Host": host})).status == 200


@pytest.mark.trap("S9")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"SECRET /v1 HTTP/9\r\n\r\n",
        b"GET /\x00SECRET HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nSECRET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: SECRET\r\n\r\n",
        b"SECRET" * 4_000,
        b"\x16\x03\x01SECRET\r\n\r\n",
    ],
)
async def test_bytes_of_a_malformed_request_are_not_logged(
    daemon: Running, tmp_path: Path, request_bytes: bytes
) -> None:
    handlers = start_logging(tmp_path / "log", level="info", form="text")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(request_bytes)
        await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
    finally:
        stop_logging(handlers)
    logged = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert "SECRET" not in logged


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST", 200),
        ("[::1]:{port}", 200),
        ("evil.example", 403),
        ("evil.example:{port}", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1:{port}", 403),
        ("user@localhost", 403),
        ("localhost:port", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/threads"])
async def test_only_its_own_names_are_answered_to(daemon: Running, path: str, host: str, status: int) -> None:
    assert (await daemon.get(path, headers={"Host": host.format(port=daemon.port)})).status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("http://localhost:{port}", 200),
        ("http://localhost:1", 403),
        ("https://localhost:{port}", 403),
        ("http://evil.example", 403),
        ("http://evil.example:{port}", 403),
        ("null", 403),
        ("file://", 403),
        ("http://[", 403),
    ],
)
async def test_pages_of_other_origins_are_refused(daemon: Running, origin: str, status: int) -> None:
    answer = await daemon.get("/v1/threads", headers={"Origin": origin.format(port=daemon.port)})
    assert answer.status == status
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_cross_site_requests_without_an_origin_are_refused(daemon: Running) -> None:
    assert (await daemon.get("/healthz", headers={"Sec-Fetch-Site": "cross-site"})).code == "origin"
    assert (await daemon.get("/healthz", headers={"Sec-Fetch-Site": "same-origin"})).status == 200


async def test_a_configured_name_is_answered_to(daemon: Running) -> None:
    text = daemon.home.config.read_text()
    daemon.home.config.write_text(
        text.replace("[daemon]", "[daemon]\npublic_url = 'https://agent.example'\nhosts = ['Agent.Lan']")
    )
    await daemon.restart()
    for host, status in (("agent.example", 200), ("agent.lan:80", 200), ("other.example", 403)):
        assert (await daemon.get("/healthz", headers={"Host": host})).status == status
    assert (await daemon.get("/healthz", headers={"Origin": "https://agent.example"})).status == 200


async def test_errors_have_one_shape_everywhere(daemon: Running) -> None:
    missing = await daemon.get("/v1/nothing")
    assert (missing.status, missing.code) == (404, "no_route")
    method = await daemon.ask("DELETE", "/v1/threads")
    assert (method.status, method.code) == (405, "method")
    assert {"GET", "POST"} <= set(method.headers["Allow"].split(", "))
    for answer in (missing, method):
        assert set(answer.body) == {"error"} and answer.body["error"]["message"]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_noise_gets_a_400_and_the_daemon_goes_on(daemon: Running, noise: bytes) -> None:
    answer = await raw(daemon, noise)
    assert answer.startswith(b"HTTP/1.") and b" 400 " in answer.split(b"\r\n")[0]
    assert (await daemon.get("/healthz")).status == 200


async def raw(daemon: Running, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(request)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(65536), SOON)
    finally:
        writer.close()


async def test_a_refusal_of_the_guard_is_json_too(daemon: Running) -> None:
    answer = await raw(daemon, b"GET /v1/threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "unauthorized"
