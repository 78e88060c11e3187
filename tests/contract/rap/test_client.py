"""The transport against servers that refuse, fail, hang, redirect, close early, or say too much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.patience import PATIENCE

from infinity.abc import Delivery, Transport, Verdict
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.testing.tool_server import CLOSE, HANG, ToolServer, failing

from .conftest import Peer, ServeRaw

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BODY = (
    b'{"operation":"echo","arguments":{},"id":"call_1","callback_url":"http://a/callback/t","group_id":"t"}'
)


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(connect=2, total=2)
    yield transport
    await transport.close()


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    async with ToolServer() as server:
        yield server


async def post(transport: Transport, base_url: str) -> Delivery:
    return await transport.post(f"{base_url}/invoke", BODY, key="call_1")


async def test_a_200_is_delivered_with_body_type_and_key(transport: Transport, server: ToolServer) -> None:
    assert await post(transport, server.base_url) == Delivery(Verdict.DELIVERED)
    arrived = await server.invoked()
    assert arrived.id == arrived.key == "call_1"
    assert arrived.authorization is None


@pytest.mark.rap("INV-9")
@pytest.mark.trap("M7")
@pytest.mark.parametrize("status", [201, 202, 204, 226])
async def test_any_2xx_acknowledges_calls_answers_and_notices_alike(
    transport: Transport, server: ToolServer, status: int
) -> None:
    server.behaviour = failing(status)
    assert await post(transport, server.base_url) == Delivery(Verdict.DELIVERED)
    assert server.counts == {"call_1": 1}


@pytest.mark.rap("INV-6")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 429, 499])
async def test_any_other_answer_below_500_is_refused(
    transport: Transport, server: ToolServer, status: int
) -> None:
    server.behaviour = failing(status)
    delivery = await post(transport, server.base_url)
    assert delivery.verdict is Verdict.REFUSED
    assert f"HTTP {status}" in delivery.detail
    assert server.counts == {"call_1": 1}


@pytest.mark.rap("INV-5")
@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
async def test_a_5xx_failed_and_is_sent_once_by_the_transport_itself(
    transport: Transport, server: ToolServer, status: int
) -> None:
    server.behaviour = failing(status)
    delivery = await post(transport, server.base_url)
    assert delivery.verdict is Verdict.FAILED
    assert f"HTTP {status}" in delivery.detail
    assert server.counts == {"call_1": 1}


@pytest.mark.trap("S3")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(transport: Transport, server: ToolServer, status: int) -> None:
    async with ToolServer() as elsewhere:
        server.behaviour = failing(status, Location=f"{elsewhere.base_url}/invoke")
        delivery = await post(transport, server.base_url)
        assert delivery.verdict is Verdict.REFUSED
        assert "redirects are not followed" in delivery.detail
        assert elsewhere.counts == {}


@pytest.mark.rap("INV-5")
async def test_a_refused_connection_failed(transport: Transport, unused_url: str) -> None:
    delivery = await post(transport, unused_url)
    refused = f"cannot reach {unused_url}/invoke: connection refused"
    assert delivery == Delivery(Verdict.FAILED, refused, left=False)


@pytest.mark.rap("INV-5")
async def test_a_name_that_does_not_resolve_failed(transport: Transport) -> None:
    delivery = await post(transport, "http://nobody.invalid:8801")
    assert delivery.verdict is Verdict.FAILED
    assert "does not resolve" in delivery.detail


@pytest.mark.rap("INV-5")
async def test_a_connection_closed_without_an_answer_failed(transport: Transport, server: ToolServer) -> None:
    server.behaviour = CLOSE
    delivery = await post(transport, server.base_url)
    assert delivery.verdict is Verdict.FAILED
    assert "closed the connection" in delivery.detail
    assert server.counts == {"call_1": 1}


@pytest.mark.rap("INV-5")
@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 2", b"garbage\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"\x00" * 100]
)
async def test_an_answer_that_is_not_http_failed(
    transport: Transport, serve_raw: ServeRaw, answer: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(answer)
        peer.writer.close()

    assert (await post(transport, (await serve_raw(script)).url)).verdict is Verdict.FAILED


@pytest.mark.rap("INV-5")
@pytest.mark.trap("B1")
async def test_a_server_that_never_answers_costs_no_more_than_the_time_out(server: ToolServer) -> None:
    transport = HttpTransport(connect=0.2, total=0.2)
    server.behaviour = HANG
    async with asyncio.timeout(PATIENCE):
        delivery = await post(transport, server.base_url)
    await transport.close()
    assert delivery.verdict is Verdict.FAILED
    assert "0.2 s" in delivery.detail


@pytest.mark.trap("B1")
async def test_headers_that_trickle_do_not_outlast_the_time_out(serve_raw: ServeRaw) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.02)

    transport = HttpTransport(connect=0.2, total=0.2)
    delivery = await post(transport, (await serve_raw(script)).url)
    await transport.close()
    assert delivery.verdict is Verdict.FAILED


async def endless(peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


async def promised_but_never_sent(peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await peer.reader.read()


async def wrongly_compressed(peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")


@pytest.mark.rap("INV-4")
@pytest.mark.parametrize("script", [endless, promised_but_never_sent, wrongly_compressed])
async def test_the_body_of_an_answer_is_never_waited_for(
    serve_raw: ServeRaw, script: Callable[[Peer], Awaitable[None]]
) -> None:
    server = await serve_raw(script)
    transport = HttpTransport(total=10 * PATIENCE)
    async with asyncio.timeout(PATIENCE):
        assert await post(transport, server.url) == Delivery(Verdict.DELIVERED)
        # The connection is not left open for the rest of the body either.
        assert await post(transport, server.url) == Delivery(Verdict.DELIVERED)
    await transport.close()


@pytest.mark.trap("B1")
async def test_a_hundred_posts_to_a_dead_server_do_not_delay_one_to_another(server: ToolServer) -> None:
    transport = HttpTransport(connect=2, total=10 * PATIENCE, per_host=8)
    async with ToolServer(behaviour=HANG) as dead:
        stuck = [asyncio.create_task(post(transport, dead.base_url)) for _ in range(100)]
        await dead.until(lambda: len(dead.invocations) == 8, "eight invocations")
        async with asyncio.timeout(PATIENCE):
            assert (await post(transport, server.base_url)).verdict is Verdict.DELIVERED
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert len(dead.invocations) == 8
    await transport.close()


async def test_waiting_for_a_place_is_not_the_server_s_time(serve_raw: ServeRaw) -> None:
    async def slowly(peer: Peer) -> None:
        await asyncio.sleep(0.5)
        await peer.write(OK)

    server = await serve_raw(slowly)
    transport = HttpTransport(total=2.0, per_host=1)
    started = time.monotonic()
    deliveries = await asyncio.gather(*(post(transport, server.url) for _ in range(5)))
    assert {each.verdict for each in deliveries} == {Verdict.DELIVERED}
    assert time.monotonic() - started > 2.0, "the last waited longer than an exchange may take"
    await transport.close()


async def test_connections_are_used_again(transport: Transport, serve_raw: ServeRaw) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(OK)

    server = await serve_raw(script)
    for _ in range(5):
        assert (await post(transport, server.url)).verdict is Verdict.DELIVERED
    assert server.connections == 1


@pytest.mark.trap("S7")
async def test_no_cookie_of_one_answer_goes_out_again(transport: Transport, serve_raw: ServeRaw) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 0\r\n\r\n")

    server = await serve_raw(script)
    # By name: cookies are never kept for bare addresses.
    named = server.url.replace("127.0.0.1", "localhost")
    await post(transport, named)
    await post(transport, named)
    assert b"cookie" not in server.requests[1].head.lower()


@pytest.mark.trap("S7")
async def test_a_token_goes_to_its_own_server_and_to_nobody_else() -> None:
    async with ToolServer() as ours, ToolServer() as theirs:
        transport = HttpTransport([Server(ours.base_url, token="secret"), Server(theirs.base_url)])
        await post(transport, ours.base_url)
        await post(transport, theirs.base_url)
        await transport.close()
        assert (await ours.invoked()).authorization == "Bearer secret"
        assert (await theirs.invoked()).authorization is None


@pytest.mark.trap("S7")
async def test_of_two_servers_on_one_origin_each_gets_its_own_token(serve_raw: ServeRaw) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(OK)

    server = await serve_raw(script)
    transport = HttpTransport(
        [Server(f"{server.url}/a", token="token-a"), Server(f"{server.url}/b", token="token-b")]
    )
    for path in ("/a/invoke", "/b/invoke", "/c/invoke"):
        await transport.post(server.url + path, b"{}", key="k")
    await transport.close()
    heads = [peer.head.decode() for peer in server.requests]
    assert "token-a" in heads[0] and "token-b" not in heads[0]
    assert "token-b" in heads[1] and "token-a" not in heads[1]
    assert "token" not in heads[2]


@pytest.mark.trap("S9")
async def test_no_detail_repeats_a_secret_of_the_url(transport: Transport, unused_url: str) -> None:
    for url in (f"{unused_url}/invoke?key=hunter2", "http://user:hunter2@127.0.0.1:1/"):
        assert "hunter2" not in (await transport.post(url, b"{}", key="k")).detail


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/x", "http://", "http://host:99999/"])
async def test_an_impossible_url_is_refused_and_never_raised(transport: Transport, url: str) -> None:
    assert (await transport.post(url, b"{}", key="k")).verdict is Verdict.REFUSED


@pytest.mark.rap("THR-2", "CAN-1")
@pytest.mark.trap("B2")
async def test_a_notice_reaches_every_server_once_whatever_the_others_do(
    serve_raw: ServeRaw, unused_url: str
) -> None:
    async def never_answering(peer: Peer) -> None:
        await peer.reader.read()

    transport = HttpTransport(connect=1, total=1)
    stuck = await serve_raw(never_answering)
    async with ToolServer() as first, ToolServer() as last:
        async with asyncio.timeout(PATIENCE):
            outcome = await transport.notify(
                [first.base_url, unused_url, stuck.url, last.base_url + "/"],
                "/close_thread",
                b'{"thread_id":"t"}',
            )
        assert first.notices == last.notices == [("/close_thread", {"thread_id": "t"})]
        assert len(stuck.requests) == 1
        assert [delivery.verdict for delivery in outcome.values()] == [
            Verdict.DELIVERED,
            Verdict.FAILED,
            Verdict.FAILED,
            Verdict.DELIVERED,
        ]
    await transport.close()


@pytest.mark.rap("THR-2")
async def test_a_notice_that_fails_is_not_repeated(transport: HttpTransport, serve_raw: ServeRaw) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")

    server = await serve_raw(script)
    outcome = await transport.notify([server.url, server.url + "/"], "/cancel_tool_call", b"{}")
    assert [delivery.verdict for delivery in outcome.values()] == [Verdict.FAILED]
    assert len(server.requests) == 1


async def test_a_notice_to_nobody_is_fine(transport: HttpTransport) -> None:
    assert await transport.notify([], "/close_thread", b"{}") == {}


async def test_a_transport_that_was_closed_can_be_closed_again(server: ToolServer) -> None:
    transport = HttpTransport()
    await post(transport, server.base_url)
    await transport.close()
    await transport.close()
