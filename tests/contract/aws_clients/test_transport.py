"""Calls to tool servers: signed for those behind IAM, a bearer for those with a token, nothing for others; and never elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.contract.aws_clients.conftest import Makes

from infinity.abc import Verdict
from infinity.aws.client import Aws
from infinity.cloud.toolsets import check_tokens, configured_servers
from infinity.cloud.transport import SignedTransport
from infinity.config.schema import Config, ToolsetConfig
from infinity.emulator import Credentials, Emulator
from infinity.emulator.signature import SignatureRefused, verify
from infinity.emulator.wire import Request
from infinity.errors import ConfigError
from infinity.local.toolsets import ServerSet
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import WELL_KNOWN, Toolsets
from infinity.testing.clock import VirtualClock

MANIFEST = b'{"rap_version":"2026-01-01","name":"tools","description":"d","endpoint":"/call","tools":[]}'


class Function:
    """A Lambda function's URL with ``AWS_IAM``: it answers 403 to what is not signed for it."""

    def __init__(self, credentials: Credentials, clock: VirtualClock) -> None:
        self._credentials, self._clock = credentials, clock
        self.heard: list[Request] = []
        self.redirect: str | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{anything:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        for _ in range(2):
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        # The names of the loopback are one host, so what tells the two origins of one program apart is the port.
        self.url, self.other_url = (f"http://127.0.0.1:{address[1]}" for address in self._runner.addresses)

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, arrived: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in arrived.headers.items()}
        request = Request(arrived.method, arrived.raw_path, headers, await arrived.read())
        self.heard.append(request)
        if self.redirect is not None:
            return web.Response(status=307, headers={"Location": self.redirect})
        try:
            verify(request, self._credentials, "lambda", "eu-central-1", [self._clock.now()])
        except SignatureRefused as refusal:
            return web.json_response({"Message": str(refusal)}, status=403)
        return web.Response(body=MANIFEST, content_type="application/json")

    @property
    def secrets(self) -> list[str]:
        """Headers in which a secret may have come."""
        names = ("authorization", "x-amz-security-token")
        return [request.headers[name] for request in self.heard for name in names if name in request.headers]


@pytest.fixture
async def function(cloud: Emulator, clock: VirtualClock) -> AsyncIterator[Function]:
    made = Function(cloud.credentials, clock)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def stranger(clock: VirtualClock) -> AsyncIterator[Function]:
    made = Function(Credentials(), clock)
    await made.start()
    yield made
    await made.close()


@pytest.mark.parametrize(
    "path",
    [
        "/call",
        "/a/b%2Fc",
        "/x?b=2&a=1&c=%20%7E%2f",
        "/%C3%A4%20%C3%BC",
    ],
)
@pytest.mark.parametrize("size", [2, 400_000])
async def test_invocations_and_notices_are_signed_as_they_are_sent(
    function: Function, aws: Aws, path: str, size: int
) -> None:
    transport = SignedTransport([Server(function.url, auth="aws_iam")], aws)
    delivery = await transport.post(function.url + path, b"x" * size, key="k")
    assert delivery.verdict is Verdict.DELIVERED, delivery
    told = await transport.notify([function.url], "/close_thread", b"{}")
    assert told[function.url].verdict is Verdict.DELIVERED
    assert [request.raw_path for request in function.heard] == [path.partition("?")[0], "/close_thread"]
    assert function.heard[0].headers["x-amz-security-token"] == "a session's token"
    assert function.heard[0].headers["idempotency-key"] == "k"
    await transport.close()


async def test_discovery_is_signed(function: Function, aws: Aws) -> None:
    toolsets = Toolsets([Server(function.url, auth="aws_iam")], signer=aws)
    loaded = await toolsets.load()
    assert [request.raw_path for request in function.heard] == [WELL_KNOWN]
    assert not any("403" in problem.text for problem in loaded.problems), loaded
    await toolsets.close()


@pytest.mark.trap("S7")
async def test_signatures_tokens_and_bearers_go_to_their_own_server_only(
    function: Function, stranger: Function, aws: Aws
) -> None:
    other = Server(stranger.other_url, "the bearer")
    transport = SignedTransport([Server(function.url, auth="aws_iam"), other], aws)
    toolsets = Toolsets([Server(stranger.url)], signer=aws)
    await transport.post(stranger.url + "/call", b"{}", key="k")
    await transport.notify([stranger.url], "/close_thread", b"{}")
    await toolsets.load()
    assert len(stranger.heard) == 3 and stranger.secrets == []
    await transport.post(function.url + "/call", b"{}", key="k")
    assert not any("Bearer" in secret for secret in function.secrets)
    await transport.post(other.base_url + "/call", b"{}", key="k")
    assert stranger.secrets == ["Bearer the bearer"]
    await transport.close()
    await toolsets.close()


@pytest.mark.trap("S7", "S3")
async def test_a_redirect_is_not_followed_and_nothing_is_signed_for_where_it_leads(
    function: Function, stranger: Function, aws: Aws
) -> None:
    function.redirect = stranger.url + "/call"
    transport = SignedTransport([Server(function.url, auth="aws_iam")], aws)
    toolsets = Toolsets([Server(function.url, auth="aws_iam")], signer=aws)
    delivery = await transport.post(function.url + "/call", b"{}", key="k")
    assert delivery.verdict is Verdict.REFUSED and "redirects are not followed" in delivery.detail
    (problem,) = (await toolsets.load()).problems
    assert "redirects" in problem.text and stranger.heard == []
    await transport.close()
    await toolsets.close()


async def test_each_try_is_signed_anew(function: Function, aws: Aws, clock: VirtualClock) -> None:
    transport = SignedTransport([Server(function.url, auth="aws_iam")], aws)
    for _ in range(2):
        assert (await transport.post(function.url + "/call", b"{}", key="k")).verdict is Verdict.DELIVERED
        clock.advance(3600)
    await transport.close()


async def test_without_credentials_a_call_fails_and_is_tried_again_later(
    function: Function, make: Makes
) -> None:
    class None_:
        async def get(self) -> None:
            raise ConfigError("there are no AWS credentials")

    aws = Aws({"AWS_REGION": "eu-central-1"}, credentials=None_())  # type: ignore[arg-type]
    transport = SignedTransport([Server(function.url, auth="aws_iam")], aws)
    delivery = await transport.post(function.url + "/call", b"{}", key="k")
    assert delivery.verdict is Verdict.FAILED and "there are no AWS credentials" in delivery.detail
    toolsets = Toolsets([Server(function.url, auth="aws_iam")], signer=aws)
    (problem,) = (await toolsets.load()).problems
    assert "there are no AWS credentials" in problem.text and function.heard == []
    await asyncio.gather(transport.close(), toolsets.close())


def test_who_cannot_sign_says_so_at_the_start() -> None:
    server = Server("https://x.lambda-url.eu-central-1.on.aws", auth="aws_iam")
    with pytest.raises(ConfigError, match="for the cloud host, nobody here signs"):
        HttpTransport([server])
    with pytest.raises(ConfigError, match="for the cloud host, nobody here signs"):
        Toolsets([server])


@pytest.mark.trap("S7")
def test_a_session_token_is_not_sent_in_the_clear_or_beside_another_one() -> None:
    with pytest.raises(ConfigError, match="so use https"):
        Server("http://tools.example", auth="aws_iam")
    with pytest.raises(ConfigError, match="not both"):
        Server("https://tools.example", "token", auth="aws_iam")


@pytest.mark.parametrize(
    ("toolset", "says"),
    [
        ({"command": "x", "auth": "aws_iam"}, "'auth' does not go with 'command'"),
        (
            {"url": "https://x.example", "auth": "aws_iam", "token_env": "T"},
            "'auth' does not go with 'token_env'",
        ),
        ({"url": "https://x.example", "auth": "basic"}, "aws_iam"),
    ],
)
def test_the_configuration_refuses_what_makes_no_sense(toolset: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Config.model_validate({"toolsets": {"x": toolset}})
    Config.model_validate({"toolsets": {"x": {"url": "https://x.example", "auth": "aws_iam"}}})


async def test_the_daemon_refuses_what_it_cannot_do_and_says_what_to_do_instead(tmp_path: Path) -> None:
    class Store:
        async def meta(self, _: str) -> None:
            return None

    config = ToolsetConfig(url="https://x.example", auth="aws_iam")
    with pytest.raises(
        ConfigError, match=r'\[toolsets.ci\] auth = "aws_iam" is for the cloud host.*token_env'
    ):
        await ServerSet.prepare({"ci": config}, Store(), tmp_path)  # type: ignore[arg-type]


@pytest.mark.trap("B13")
def test_a_token_that_is_missing_or_unusable_costs_its_server_alone() -> None:
    toolsets = {
        "gone": ToolsetConfig(url="https://gone.example", token_env="GONE"),
        "bad": ToolsetConfig(url="https://bad.example", token_env="BAD"),
        "good": ToolsetConfig(url="https://good.example", token_env="GOOD"),
    }
    environment = {"BAD": "b\nad", "GOOD": "good\n"}
    servers = configured_servers(toolsets, (), environment)
    assert [server.problem is None for server in servers] == [False, False, True]
    assert servers[2].token == "good"
    assert "GONE" in (servers[0].problem or "")
    with pytest.raises(ConfigError, match="GONE") as raised:
        check_tokens(toolsets, environment)
    assert "[toolsets.bad]" in str(raised.value) and "b\nad" not in str(raised.value)
    check_tokens({"good": toolsets["good"]}, environment)
