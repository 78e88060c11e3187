"""Connections that hold a descriptor and do nothing: closed in time, never more than there are places for, nobody else kept out (B14)."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.patience import PATIENCE as SOON

from infinity.local.connections import Connections, connection_of, serving
from infinity.local.descriptors import raise_limit
from infinity.local.listener import listen

pytestmark = pytest.mark.trap("B14")


class Served:
    """A server with one quick route, one that answers when told, and one with a body that fills every buffer."""

    def __init__(self, connections: Connections, port: int) -> None:
        self.connections = connections
        self.port = port

    async def connect(self, text: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        return reader, writer

    async def get(self, path: str = "/quick") -> bytes:
        reader, writer = await self.connect(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        try:
            return await asyncio.wait_for(reader.readuntil(b"\r\n"), SOON)
        finally:
            writer.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def served(release: asyncio.Event | None = None, *, most: int | None = None) -> AsyncIterator[Served]:
    async def quick(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def slow(request: web.Request) -> web.Response:
        assert release is not None
        await release.wait()
        return web.Response(text="ok")

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(32 << 20))

    app = web.Application(middlewares=[serving])
    app.router.add_get("/quick", quick)
    app.router.add_get("/slow", slow)
    app.router.add_get("/large", large)
    listener = await listen("127.0.0.1", 0)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(listener, runner.server, most=most)
    connections.start()
    try:
        yield Served(connections, listener.getsockname()[1])
    finally:
        connections.stop()
        listener.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    "text",
    [b"", b"GET /quick HTTP/1.1\r\nHost: x\r\n", b"\r\n", b"GET /quick HTTP/1.1\r\nX-Long: " + b"x" * 4000],
)
async def test_half_a_request_is_closed(text: bytes) -> None:
    async with served() as server:
        server.connections.half_requests.seconds = 0.1
        reader, _ = await server.connect(text)
        assert await asyncio.wait_for(reader.read(), SOON) == b""
        await server.until(lambda: len(server.connections) == 0)


async def test_headers_that_come_byte_by_byte_get_no_more_time() -> None:
    async with served() as server:
        server.connections.half_requests.seconds = 0.2
        _, writer = await server.connect(b"GET /quick HTTP/1.1\r\nX-Slow: ")
        await server.until(lambda: len(server.connections) == 1)
        async with asyncio.timeout(SOON):
            while len(server.connections):
                writer.write(b"x")
                await asyncio.sleep(0.02)


async def test_half_a_second_request_is_closed_as_well() -> None:
    async with served() as server:
        server.connections.half_requests.seconds = 0.5
        reader, writer = await server.connect(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /qui")
        assert await asyncio.wait_for(reader.read(), SOON) == b""


async def test_a_connection_between_two_requests_is_closed_after_a_while() -> None:
    async with served() as server:
        server.connections.half_requests.seconds = 0.01
        server.connections.idle_connections.seconds = 1.0
        reader, writer = await server.connect()
        for _ in range(3):
            writer.write(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"ok")
        assert await asyncio.wait_for(reader.read(), SOON) == b""


async def test_an_answer_that_takes_its_time_is_not_cut_off() -> None:
    release = asyncio.Event()
    async with served(release) as server:
        server.connections.half_requests.seconds = server.connections.idle_connections.seconds = 0.05
        asking = asyncio.create_task(server.get("/slow"))
        gone, _ = await server.connect()
        await gone.read()  # more than the time that half a request gets
        release.set()
        assert (await asking).startswith(b"HTTP/1.1 200")


async def test_a_client_that_does_not_read_its_answer_is_closed() -> None:
    async with served() as server:
        server.connections.stalled_connections.seconds = 0.1
        _, writer = await server.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.until(lambda: len(server.connections) == 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await server.until(lambda: len(server.connections) == 0)


async def test_half_requests_beyond_all_places_keep_nobody_out() -> None:
    async with served(most=20) as server:
        held = [await server.connect(b"POST /callback/x HTTP/1.1\r\nHost: a\r\n") for _ in range(100)]
        for _ in range(5):
            assert (await server.get()).startswith(b"HTTP/1.1 200")
        assert len(server.connections) <= 20
        for _, writer in held:
            writer.close()


async def test_connections_that_are_all_at_work_let_new_ones_wait() -> None:
    release = asyncio.Event()
    async with served(release, most=3) as server:
        asking = [asyncio.create_task(server.get("/slow")) for _ in range(3)]
        await server.until(lambda: len(server.connections) == 3)
        waiting = asyncio.create_task(server.get())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        release.set()
        assert (await waiting).startswith(b"HTTP/1.1 200")
        assert all(line.startswith(b"HTTP/1.1 200") for line in await asyncio.gather(*asking))


class Exhausted(socket.socket):
    """A listener in a process that has no descriptor left, for a while."""

    refusals = 2

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_descriptors_accepting_pauses_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("infinity.local.connections.PAUSE", 0.02)
    async with served() as server:
        listener = server.connections._listener
        scarce = Exhausted(fileno=socket.dup(listener.fileno()))
        scarce.setblocking(False)
        server.connections._hold()
        server.connections._listener = scarce
        server.connections._resume()
        try:
            assert (await server.get()).startswith(b"HTTP/1.1 200")
        finally:
            server.connections.stop()
            scarce.close()
        assert scarce.refusals == 0
    assert "no descriptor is left" in caplog.text and "Traceback" not in caplog.text


async def test_nothing_wakes_when_no_connection_waits() -> None:
    async with served() as server:
        assert (await server.get()).startswith(b"HTTP/1.1 200")
        await server.until(lambda: len(server.connections) == 0)
        assert server.connections._sweep is None


async def test_who_hangs_up_is_known_at_once() -> None:
    seen: list[str] = []

    async def hold(request: web.Request) -> web.Response:
        connection = connection_of(request)
        assert connection is not None
        gone = asyncio.Event()
        connection.on_lost(gone.set)
        seen.append("here")
        await gone.wait()
        seen.append("gone")
        connection.on_lost(lambda: seen.append("said again"))
        return web.Response()

    async with served() as server:
        app = web.Application(middlewares=[serving])
        app.router.add_get("/hold", hold)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        assert runner.server is not None
        server.connections._protocol = runner.server
        _, writer = await server.connect(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.until(lambda: seen == ["here"])
        writer.transport.abort()
        await server.until(lambda: seen == ["here", "gone", "said again"])
        await runner.cleanup()


def test_the_soft_limit_of_descriptors_is_raised_and_some_are_kept_back() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        most = raise_limit()
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised > min(soft, 512) or raised == hard
        assert most < raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
