"""The daemon as a whole: starting, stopping, refusing to start, resting."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.asking import backend
from tests.boundary.daemons import Running, running
from tests.patience import PATIENCE

from infinity.api.backend import Part
from infinity.api.openapi import describe
from infinity.api.routes import routes_of
from infinity.errors import ConfigError, DamagedStore, NewerStore, StoreLocked
from infinity.local.app import make_app
from infinity.local.daemon import Daemon, plan
from infinity.local.home import Home
from infinity.testing.tool_server import HANG, ToolServer, tool

SERVED = Part.DAEMON | Part.CONSOLE


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "home") as made:
        yield made


@asynccontextmanager
async def building(path: Path, **how: Any) -> AsyncIterator[tuple[Running, ToolServer]]:
    """A daemon with one tool server, whose tool is ``build``."""
    async with ToolServer([tool("build", annotations={"readOnly": True})], **how) as server:
        config = f"[toolsets.ci]\nurl = '{server.base_url}'\n"
        async with running(path / "home", config) as made:
            yield made, server


async def refused(home: Home, error: type[Exception]) -> str:
    """Why this daemon does not start; and nothing of it stays behind."""
    made = Daemon(plan(home, {}))
    with pytest.raises(error) as raised:
        await made.start()
    return str(raised.value)


async def test_everything_in_the_home_is_closed_to_others(daemon: Running) -> None:
    await daemon.said(await daemon.thread("hello"), "hello")
    open_to_others = {
        path.name for path in daemon.home.path.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert open_to_others <= {"infinity.toml"}, "which the user wrote"
    assert stat.S_IMODE(daemon.home.path.stat().st_mode) == 0o700


async def test_a_daemon_that_has_stopped_is_forgotten_by_its_process(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as made:
        await made.said(await made.thread("hello"), "hello")
        runtime = weakref.ref(made.daemon.runtime)
    del made
    gc.collect()
    assert runtime() is None, "and with it its descriptors"


@pytest.mark.trap("B7")
async def test_a_second_daemon_on_one_home_is_refused_and_the_first_goes_on(daemon: Running) -> None:
    text = await refused(daemon.home, StoreLocked)
    assert f"pid {os.getpid()} at {daemon.url}" in text
    assert (await daemon.get("/healthz")).status == 200


async def test_a_port_in_use_is_named_with_the_key_to_change(home: Home) -> None:
    home.prepare()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        home.config.write_text(f"[daemon]\nport = {port}\n")
        text = await refused(home, ConfigError)
    assert f"port {port} on 127.0.0.1 is in use" in text and "[daemon] port" in text
    assert home.holder() is None
    async with running(home.path) as made:
        assert (await made.get("/healthz")).status == 200


@pytest.mark.parametrize(
    ("host", "expected"), [("no-such-host.invalid", "is not an address"), ("192.0.2.1", "cannot listen")]
)
async def test_an_address_that_is_not_ours_is_named(home: Home, host: str, expected: str) -> None:
    home.prepare()
    home.config.write_text(f"[daemon]\nport = 0\nhost = '{host}'\n")
    assert expected in await refused(home, ConfigError)


@pytest.mark.trap("L16")
@pytest.mark.trap("R1")
@pytest.mark.parametrize(
    ("place", "bytes_", "error"),
    [(0, b"not a database!!", DamagedStore), (60, (99).to_bytes(4, "big"), NewerStore)],
)
async def test_a_database_that_cannot_be_read_stops_the_start(
    tmp_path: Path, place: int, bytes_: bytes, error: type[Exception]
) -> None:
    async with running(tmp_path / "home") as made:
        await made.thread()
    data = bytearray(made.home.database.read_bytes())
    data[place : place + len(bytes_)] = bytes_
    made.home.database.write_bytes(data)
    text = await refused(made.home, error)
    assert "infinity.db" in text
    assert made.home.database.read_bytes() == bytes(data), (
        "a database that cannot be read must not be written"
    )
    assert made.home.holder() is None


BAD_SERVERS = """
[toolsets.unset]
url = 'http://127.0.0.1:1'
token_env = 'NOT_SET_ANYWHERE'
[toolsets.started]
command = 'true'
token_env = 'NOT_SET_ANYWHERE'
[toolsets.address]
url = 'http://127.0.0.1:1/?q=1'
[mcp_servers.bridge]
command = 'true'
env_from = ['NOT_SET_ANYWHERE']
"""


@pytest.mark.trap("B13")
async def test_servers_that_cannot_be_used_stop_neither_the_start_nor_a_conversation(tmp_path: Path) -> None:
    async with ToolServer([tool("build")]) as server:
        config = f"[toolsets.ci]\nurl = '{server.base_url}'\n{BAD_SERVERS}"
        async with running(tmp_path / "home", config) as made:
            assert (await made.get("/healthz")).status == 200
            thread = await made.thread("/call build {}")
            invocation = await server.invoked()
            await server.answer(invocation.id, "built")
            await made.said(thread, "built")
            found = (await made.get("/v1/toolsets")).body
            problems = {each["name"]: each["problem"] for each in found["toolsets"]}
            assert problems.pop("ci") is None
            assert problems.keys() == {"unset", "started", "address", "bridge"}
            for name in ("unset", "started", "bridge"):
                assert "NOT_SET_ANYWHERE" in problems[name]
            assert "query" in problems["address"]
            assert len(found["problems"]) == 4
            await made.restart()
            assert (await made.get("/healthz")).status == 200


@pytest.mark.trap("B13")
async def test_a_server_whose_token_is_back_is_used_by_new_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ToolServer([tool("build")]) as server:
        config = f"[toolsets.ci]\nurl = '{server.base_url}'\ntoken_env = 'CI_TOKEN'\n"
        async with running(tmp_path / "home", config) as made:
            await made.said(await made.thread("hello"), "hello")
            monkeypatch.setenv("CI_TOKEN", "secret\n")
            await made.restart()
            thread = await made.thread("/call build {}")
            invocation = await server.invoked()
            assert invocation.authorization == "Bearer secret"
            await server.answer(invocation.id, "built")
            await made.said(thread, "built")


@pytest.mark.trap("L15")
async def test_what_was_queued_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async with building(tmp_path) as (made, server):
        thread = await made.thread("/call build {}")
        invocation = await server.invoked()
        await made.restart()
        await server.answer(invocation.id, "built")
        await made.said(thread, "built")


@pytest.mark.trap("L17")
async def test_stopping_is_bounded_whatever_hangs(tmp_path: Path) -> None:
    async with building(tmp_path, behaviour=HANG) as (made, server):
        thread = await made.thread("/call build {}")
        await server.invoked()
        async with made.events(thread) as events:
            await anext(events)
            began = asyncio.get_running_loop().time()
            await made.daemon.stop()
            assert asyncio.get_running_loop().time() - began < 8


async def test_a_daemon_that_rests_does_not_turn_its_loop(daemon: Running) -> None:
    """I9: threads there are, something waits, nobody asks for anything."""
    for number in range(20):
        await daemon.said(await daemon.thread(f"hello {number}"), f"hello {number}")
    await daemon.http.close()
    loop = asyncio.get_running_loop()
    turns, select = 0, loop._selector.select  # type: ignore[attr-defined]

    def counting(timeout: float | None) -> list[object]:
        nonlocal turns
        turns += 1
        found: list[object] = select(timeout)
        return found

    loop._selector.select = counting  # type: ignore[attr-defined]
    async with asyncio.timeout(PATIENCE):
        # Until a second goes by at rest; what ticks lets none.
        while turns > 2 or not turns:
            turns = 0
            await asyncio.sleep(1.0)


# -- its interface


async def test_the_description_names_every_route_and_no_other(daemon: Running) -> None:
    described = {
        (method.upper(), path)
        for path, methods in describe(routes_of(SERVED), "1")["paths"].items()
        for method in methods
    }
    made = backend(daemon.daemon.runtime)
    made.part = SERVED
    app = make_app(made)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    pages = {
        (route.method, route.path.replace(":.+", "")) for route in routes_of(SERVED) if not route.described
    }
    assert described | pages == served
    assert not described & pages


async def test_the_description_is_served_and_its_references_resolve(daemon: Running) -> None:
    document = (await daemon.get("/openapi.json")).body
    assert document["openapi"].startswith("3.1")
    text = str(document)
    for name in {piece.split("'")[0] for piece in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


async def test_metrics_count_what_happened(daemon: Running) -> None:
    thread = await daemon.thread("hello")
    await daemon.said(thread, "hello")
    await daemon.post("/callback/forged", {})
    lines = (await daemon.get("/metrics")).body.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values["infinity_threads"] == "1" and values["infinity_inbox"] == "0"
    assert int(values["infinity_commits_total"]) >= 1 and int(values["infinity_messages_total"]) >= 1
    assert values['infinity_callbacks_total{status="refused"}'] == "1"
    assert values['infinity_http_requests_total{method="POST",route="/callback/{token}",status="403"}'] == "1"
    assert thread not in "".join(lines)


async def test_a_thread_tells_what_it_waits_for(tmp_path: Path) -> None:
    async with building(tmp_path) as (made, server):
        thread = await made.thread("/call build {}")
        invocation = await server.invoked()
        await server.choice(invocation.id, "Really?", ["Yes", "No"], 1)
        await made.until(thread, lambda event: event.kind == "prompt")
        found = (await made.get(f"/v1/threads/{thread}")).body
        kinds = {reason["kind"]: reason for reason in found["explanation"]["reasons"]}
        assert found["explanation"]["state"] == "waiting" and {"call", "prompt"} <= set(kinds)
        [prompt] = found["prompts"]
        assert prompt["choices"] == ["Yes", "No"] and "response_url" not in prompt
        answer = await made.post(f"/v1/threads/{thread}/choices/{prompt['id']}", {"selected": 0})
        assert answer.body["status"] == "accepted"
        await server.until(lambda: bool(server.choices), "choice")
        assert server.choices == [{"id": invocation.id, "selected": 0}]


async def test_toolsets_are_described(tmp_path: Path) -> None:
    async with building(tmp_path) as (made, _):
        with made.home.config.open("a") as text:
            text.write("[toolsets.gone]\nurl = 'http://127.0.0.1:1'\n")
        await made.restart()
        ci, gone = (await made.get("/v1/toolsets")).body["toolsets"]
    assert (ci["name"], ci["problem"], [each["name"] for each in ci["tools"]]) == ("ci", None, ["build"])
    assert ci["tools"][0]["annotations"] == {"readOnly": True}
    assert gone["name"] == "gone" and "cannot reach" in gone["problem"] and gone["tools"] == []


@pytest.mark.rap("DISC-6")
async def test_definitions_that_were_kept_serve_while_a_server_is_away_even_after_a_restart(
    tmp_path: Path,
) -> None:
    async with building(tmp_path) as (made, server):
        assert (await made.get("/v1/toolsets")).body["toolsets"][0]["cached"] is False
        await server.close()
        await made.restart()
        [ci] = (await made.get("/v1/toolsets")).body["toolsets"]
    assert ci["cached"] is True and [each["name"] for each in ci["tools"]] == ["build"] and ci["problem"]
