"""Moving a conversation from one daemon to another: in order, all or nothing, and nothing of it lost or done twice (MIG-1, MIG-2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.boundary.daemons import SOON, Answer, Running, running
from tests.contract.databases import database_url

from infinity.errors import MoveUnconfirmed
from infinity.testing.tool_server import ToolServer, tool

to_both = pytest.mark.parametrize("there", ["journal", "postgresql"])
"""Stores of the daemon to which a conversation moves."""


class Keeper(ToolServer):
    """A tool server that keeps state for its sessions. ``asked``: bodies of the requests to move it."""

    def __init__(self, *, keeps: bool = True, **how: Any) -> None:
        super().__init__([tool("watch"), tool("build")], **how)
        self.keeps = keeps
        self.migrate_status = 200

    async def _discover(self, request: web.Request) -> web.Response:
        self.manifest = {
            "name": self.name,
            "description": "Keeps state.",
            "endpoint": f"{self.base_url}/invoke",
            "needsMigration": self.keeps,
            "tools": self.tools,
        }
        return await super()._discover(request)

    async def _notice(self, request: web.Request) -> web.Response:
        await super()._notice(request)
        if request.path != "/migrate" or self.migrate_status == 200:
            return web.Response(status=200)
        return web.json_response({"error": {"message": "the disk is full"}}, status=self.migrate_status)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [body for path, body in self.notices if path == "/migrate"]


class Pair:
    """Two daemons, each with a tool server of the same name in its configuration."""

    def __init__(self, here: Running, there: Running, tools: Keeper, tools_there: Keeper) -> None:
        self.here, self.there, self.tools, self.tools_there = here, there, tools, tools_there

    @property
    def moves(self) -> Any:
        return self.here.daemon.moves

    async def migrate(self, thread: str, *, token: str | None = None) -> Answer:
        body = {"destination": self.there.url, "token": token or self.there.home.token()}
        return await self.here.post(f"/v1/threads/{thread}/migrate", body)


@asynccontextmanager
async def pair(path: Path, *, keeps: bool = True, there: str = "journal") -> AsyncIterator[Pair]:
    """``there``: the store of the second one."""
    path.mkdir(exist_ok=True)
    stores = {"here": None, "there": await database_url(path) if there == "postgresql" else None}
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(Keeper(keeps=keeps, name=name)) for name in ("here", "there")
        ]
        daemons = [
            await stack.enter_async_context(
                running(
                    path / server.name, f"[toolsets.ci]\nurl = '{server.base_url}'\n", stores[server.name]
                )
            )
            for server in servers
        ]
        yield Pair(daemons[0], daemons[1], servers[0], servers[1])


async def calling(made: Pair, count: int = 1) -> tuple[str, str]:
    """A thread whose call is open."""
    thread = await made.here.thread("/call build {}")
    call = (await made.tools.invoked(count)).id
    await made.here.until(thread, lambda event: event.kind == "call")
    return thread, call


async def entries(daemon: Running, thread: str) -> list[dict[str, Any]]:
    return list((await daemon.get(f"/v1/threads/{thread}/entries")).body["entries"])


async def works(made: Pair, thread: str, call: str) -> None:
    """The conversation goes on here as if nothing had been: its call is answered, its user heard."""
    assert (await made.here.get(f"/v1/threads/{thread}")).body["out_of_service"] is None
    assert await made.tools.answer(call, "built after all") == 200
    await made.here.said(thread, "built after all")
    assert (await made.here.post(f"/v1/threads/{thread}/messages", {"content": "still there?"})).status == 200
    await made.here.said(thread, "still there?")
    assert (await made.there.get("/v1/threads")).body["threads"] == []


@pytest.mark.rap("MIG-1", "MIG-2")
@to_both
async def test_a_conversation_moves_with_the_state_of_its_servers_and_goes_on_there(
    tmp_path: Path, there: str
) -> None:
    async with pair(tmp_path, there=there) as made:
        thread, call = await calling(made)
        before = await entries(made.here, thread)
        steps: list[str] = []
        made.moves.gate = steps.append
        moved = await made.migrate(thread)
        assert (moved.status, moved.body["to"], moved.body["threads"]) == (200, made.there.url, 1)
        assert steps == ["retired", "servers", "exported", "handed over", "starting"]
        assert made.tools.asked == [{"session_id": thread, "destination_url": made.tools_there.base_url}]
        assert made.tools_there.asked == []
        assert await entries(made.there, thread) == before
        assert await made.tools.answer(call, "built") == 200, "the old host passes it on"
        await made.there.said(thread, "built")
        assert (await made.there.post(f"/v1/threads/{thread}/messages", {"content": "hello"})).status == 200
        await made.there.said(thread, "hello")


@pytest.mark.rap("MIG-1")
async def test_servers_that_keep_nothing_are_not_asked(tmp_path: Path) -> None:
    async with pair(tmp_path, keeps=False) as made:
        thread, _ = await calling(made)
        assert (await made.migrate(thread)).status == 200
        assert made.tools.asked == made.tools_there.asked == []


async def test_the_old_host_says_where_the_conversation_is(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        assert (await made.migrate(thread)).status == 200
        for _ in range(2):
            for answer in (
                await made.here.get(f"/v1/threads/{thread}"),
                await made.here.post(f"/v1/threads/{thread}/messages", {"content": "hello"}),
                await made.here.post(f"/v1/threads/{thread}/stop"),
            ):
                assert (answer.status, answer.code) == (410, "moved")
                assert f"has moved to {made.there.url}" in answer.body["error"]["message"]
            url = made.here.daemon.runtime.capabilities.url(thread, "call_that_was_never_made")
            body = {"type": "tool_result", "group_id": thread, "id": "call_that_was_never_made", "text": "x"}
            refused = await made.here.post(url.removeprefix(made.here.url), body)
            assert refused.status == 410 and made.there.url in refused.body["error"]["message"]
            assert (await made.here.get("/v1/threads")).body["threads"] == []
            await made.here.restart()
        assert await made.tools.answer(call, "after a restart") == 200
        await made.there.said(thread, "after a restart")


async def test_a_callback_that_cannot_be_passed_on_now_is_to_be_sent_again(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        assert (await made.migrate(thread)).status == 200
        await made.there.stop()
        assert await made.tools.answer(call, "early") == 503
        await made.there.start()
        assert await made.tools.answer(call, "built") == 200
        await made.there.said(thread, "built")


@to_both
async def test_queued_messages_timers_and_children_go_on_at_once(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        sleeper = await made.here.thread("sleep 1")
        await made.here.until(sleeper, lambda event: event.kind == "slice")
        assert (await made.migrate(sleeper)).status == 200
        await made.there.said(sleeper, "The time has come")
        watcher = await made.here.thread("/call watch {}")
        call = (await made.tools.invoked()).id
        await made.tools.answer(call, "watching", subscription=True)
        await made.here.until(watcher, lambda event: event.kind == "subscription")
        assert await made.tools.event(call, "first", event_id="e1") == 200
        await made.here.until(watcher, lambda event: event.kind == "child")
        moved = await made.migrate(watcher)
        assert moved.body["threads"] == 2
        assert await made.tools.event(call, "first", event_id="e1") == 200, "a repeat is harmless there, too"
        assert await made.tools.event(call, "second", event_id="e2") == 200
        async with asyncio.timeout(SOON):
            while len((await made.there.get(f"/v1/threads?parent={watcher}")).body["threads"]) < 2:
                await asyncio.sleep(0.01)


STEPS = ["retired", "servers", "exported", "handed over"]


@pytest.mark.rap("MIG-2")
@pytest.mark.parametrize("step", STEPS)
async def test_a_failure_at_any_step_leaves_the_conversation_in_service_here(
    tmp_path: Path, step: str
) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)

        def fail(reached: str) -> None:
            if reached == step:
                raise OSError("the disk is full")

        made.moves.gate = fail
        assert (await made.migrate(thread)).status == 503
        await works(made, thread, call)
        made.moves.gate = lambda _: None
        assert (await made.migrate(thread)).status == 200, "the next try is not in the way of the first"


@pytest.mark.rap("MIG-2")
@pytest.mark.parametrize("step", STEPS)
async def test_a_daemon_that_ends_in_the_middle_has_not_moved_it(tmp_path: Path, step: str) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        reached = asyncio.Event()

        def die(at: str) -> None:
            if at == step:
                reached.set()
                raise KeyboardInterrupt

        made.moves.gate = die
        # As a crash: nothing is put back.
        made.moves.departures._put_back = lambda *_: asyncio.sleep(0)
        with pytest.raises(KeyboardInterrupt):
            await made.moves.departures.migrate(thread, made.there.url, made.there.home.token())
        assert reached.is_set()
        assert (await made.here.post(f"/v1/threads/{thread}/messages", {"content": "x"})).status == 503
        await made.here.restart()
        await made.there.restart()
        assert (await made.here.get(f"/v1/threads/{thread}")).body["out_of_service"] is None
        assert await made.tools.answer(call, "built after all") == 200
        await made.here.said(thread, "built after all")
        assert (await made.migrate(thread)).status == 200
        await made.there.said(thread, "built after all")


@pytest.mark.rap("MIG-2")
async def test_what_the_other_side_refuses_is_said_and_undone(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        refused = await made.migrate(thread, token="wrong")
        assert (refused.status, refused.code) == (409, "move_failed") and "token" in refused.body["error"][
            "message"
        ]
        made.tools.migrate_status = 500
        refused = await made.migrate(thread)
        assert (
            refused.status == 409
            and "tool server ci did not move its state" in refused.body["error"]["message"]
        )
        assert "the disk is full" in refused.body["error"]["message"]
        made.tools.migrate_status = 200
        await made.tools_there.close()
        refused = await made.migrate(thread)
        assert refused.status == 409 and "tool server ci keeps state" in refused.body["error"]["message"]
        await made.tools_there.start()
        await works(made, thread, call)


@pytest.mark.rap("MIG-1")
async def test_a_conversation_that_has_nothing_at_a_server_moves_although_that_refuses(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as made:
        thread = await made.here.thread("hello")
        made.tools.migrate_status = 404
        assert (await made.migrate(thread)).status == 200
        assert len(made.tools.asked) == 1


@pytest.mark.rap("MIG-2")
async def test_a_destination_that_cannot_be_reached_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        await made.there.stop()
        refused = await made.migrate(thread)
        assert refused.status == 409 and "cannot be reached" in refused.body["error"]["message"]
        await made.there.start()
        await works(made, thread, call)


@pytest.mark.rap("MIG-2")
@to_both
async def test_a_destination_that_falls_silent_at_the_last_step_is_asked_again(
    tmp_path: Path, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity.local.moving.departures.START_TRIES", 1)
    async with pair(tmp_path, there=there) as made:
        thread, call = await calling(made)
        port = made.there.url

        def unplug(step: str) -> None:
            if step == "starting":
                raise MoveUnconfirmed("nobody answers")

        made.moves.gate = unplug
        doubtful = await made.migrate(thread)
        assert (doubtful.status, doubtful.code) == (502, "move_unconfirmed")
        assert "run the same command again" in doubtful.body["error"]["message"]
        assert (await made.here.post(f"/v1/threads/{thread}/messages", {"content": "x"})).status == 410
        assert (await made.there.post(f"/v1/threads/{thread}/messages", {"content": "x"})).status == 503
        await made.here.restart()
        assert (await made.migrate(thread)).body["to"] == port
        assert await made.tools.answer(call, "built") == 200
        await made.there.said(thread, "built")
        assert (await made.here.get("/v1/threads")).body["threads"] == []


@to_both
async def test_a_conversation_can_come_back(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        thread, call = await calling(made)
        assert (await made.migrate(thread)).status == 200
        body = {"destination": made.here.url, "token": made.here.home.token()}
        assert (await made.there.post(f"/v1/threads/{thread}/migrate", body)).status == 200
        assert await made.tools.answer(call, "home again") == 200
        await made.here.said(thread, "home again")
        assert (await made.there.post(f"/v1/threads/{thread}/stop")).status == 410


async def test_a_child_does_not_move_without_its_tree_and_nobody_moves_what_is_not_there(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as made:
        assert (await made.migrate("nobody")).status == 404
        parent = await made.here.thread("/call watch {}")
        call = (await made.tools.invoked()).id
        await made.tools.answer(call, "watching", subscription=True)
        await made.here.until(parent, lambda event: event.kind == "subscription")
        await made.tools.event(call, "news")
        child = (await made.here.until(parent, lambda event: event.kind == "child")).data["id"]
        refused = await made.migrate(child)
        assert refused.status == 400 and parent in refused.body["error"]["message"]


async def download(daemon: Running, thread: str, *, keep: bool = False) -> bytes:
    async with daemon.http.post(f"/v1/threads/{thread}/export", json={"keep": keep}) as response:
        assert response.status == 200
        return await response.read()


OCTETS = {"Content-Type": "application/octet-stream"}


@to_both
async def test_a_file_takes_a_conversation_elsewhere(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        sleeper = await made.here.thread("sleep 1")
        await made.here.until(sleeper, lambda event: event.kind == "slice")
        file = await download(made.here, sleeper)
        resting = await made.here.post(f"/v1/threads/{sleeper}/messages", {"content": "x"})
        assert resting.status == 410 and "exported to a file" in resting.body["error"]["message"]
        imported = await made.there.ask("POST", "/v1/imports", data=file, headers=OCTETS)
        assert (imported.status, imported.body["root"]) == (201, sleeper)
        await made.there.said(sleeper, "The time has come")
        again = await made.there.ask("POST", "/v1/imports", data=file, headers=OCTETS)
        assert (again.status, again.code) == (409, "conflict")


@to_both
async def test_a_file_that_comes_back_takes_the_place_of_what_had_left(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        here, other = made.here, made.there
        thread, call = await calling(made)
        out = await download(here, thread)
        assert (await other.ask("POST", "/v1/imports", data=out, headers=OCTETS)).status == 201
        await other.post(f"/v1/threads/{thread}/messages", {"content": "said over there"})
        await other.said(thread, "said over there")
        back = await download(other, thread)
        imported = await here.ask("POST", "/v1/imports", data=back, headers=OCTETS)
        assert (imported.status, imported.body["replaced"], imported.body["copy"]) == (201, True, False)
        assert "said over there" in str(await entries(here, thread))
        # Its call was made here, and is answered here.
        assert await made.tools.answer(call, "built at last") == 200
        await here.said(thread, "built at last")
        # What had left the other one is older than what leaves here now, and the first file older than both.
        newest = await download(here, thread)
        for daemon, file in ((here, out), (here, back), (other, out)):
            refused = await daemon.ask("POST", "/v1/imports", data=file, headers=OCTETS)
            assert (refused.status, refused.code) == (409, "conflict")
            assert "the file is older" in refused.body["error"]["message"]
        assert (await other.ask("POST", "/v1/imports", data=newest, headers=OCTETS)).status == 201
        assert "built at last" in str(await entries(other, thread))
        undone = await other.ask("DELETE", f"/v1/threads/{thread}/export")
        assert undone.status == 400, "it is in service"


async def test_a_conversation_that_was_exported_from_here_can_be_moved_here(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread = await made.there.thread("hello")
        await made.there.said(thread, "hello")
        file = await download(made.there, thread)
        assert (await made.here.ask("POST", "/v1/imports", data=file, headers=OCTETS)).status == 201
        await made.here.post(f"/v1/threads/{thread}/messages", {"content": "and on"})
        await made.here.said(thread, "and on")
        assert (await made.migrate(thread)).status == 200
        assert "and on" in str(await entries(made.there, thread))
        # The home that it has left knows a newer one than the file.
        refused = await made.here.ask("POST", "/v1/imports", data=file, headers=OCTETS)
        assert refused.status == 409 and "It lives elsewhere" in refused.body["error"]["message"]


async def test_what_arrives_and_is_not_started_yet_cannot_be_taken_back_as_an_export(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread = await made.here.thread("hello")
        await made.here.said(thread, "hello")
        file = await download(made.here, thread, keep=True)
        assert (await made.there.ask("PUT", f"/v1/imports/{thread}", data=file, headers=OCTETS)).status == 201
        undone = await made.there.ask("DELETE", f"/v1/threads/{thread}/export")
        assert undone.status == 400 and "was not exported" in undone.body["error"]["message"]
        assert (await made.there.get(f"/v1/threads/{thread}")).body["out_of_service"] is not None


@to_both
async def test_an_import_that_is_broken_off_while_tools_are_fetched_goes_into_service_at_the_next_start(
    tmp_path: Path, there: str
) -> None:
    async with pair(tmp_path, there=there) as made:
        sleeper = await made.here.thread("sleep 1")
        await made.here.until(sleeper, lambda event: event.kind == "slice")
        file = tmp_path / "tree"
        file.write_bytes(await download(made.here, sleeper))
        fetching = asyncio.Event()

        async def fetch(_: str) -> Any:
            fetching.set()
            await asyncio.Event().wait()

        made.there.daemon.runtime.reload_tools = fetch  # type: ignore[method-assign]
        importing = asyncio.create_task(made.there.daemon.moves.arrivals.take_in(file))
        await fetching.wait()
        early = await made.there.post(f"/v1/threads/{sleeper}/messages", {"content": "x"})
        assert early.status == 503, "nothing overtakes what is queued"
        importing.cancel()
        await made.there.restart()
        await made.there.said(sleeper, "The time has come")
        assert (await made.there.get(f"/v1/threads/{sleeper}")).body["out_of_service"] is None


async def test_an_export_can_be_taken_back_and_a_copy_takes_nothing_away(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        assert await download(made.here, thread, keep=True)
        assert (await made.here.get(f"/v1/threads/{thread}")).body["out_of_service"] is None
        await download(made.here, thread)
        assert (await made.here.ask("DELETE", f"/v1/threads/{thread}/export")).status == 200
        await works(made, thread, call)


@to_both
async def test_a_file_that_is_none_of_ours_is_refused_and_leaves_nothing(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        thread, _ = await calling(made)
        file = await download(made.here, thread, keep=True)
        changed = file.replace(b"/call build", b"/call bui1d")
        assert changed != file
        for spoiled in (b"no database", file[: len(file) // 2], changed):
            refused = await made.there.ask("POST", "/v1/imports", data=spoiled, headers=OCTETS)
            assert (refused.status, refused.code) == (400, "bad_file")
            said = refused.body["error"]["message"]
            assert said.startswith("the file ") and "tree.db" not in said and str(tmp_path) not in said
            refused = await made.there.ask("PUT", f"/v1/imports/{thread}", data=spoiled, headers=OCTETS)
            assert refused.status == 400
        assert (await made.there.ask("PUT", "/v1/imports/other", data=file, headers=OCTETS)).status == 400
        assert (await made.there.ask("POST", "/v1/imports", data=b"", headers=OCTETS)).status == 400
        assert (await made.there.post("/v1/imports", {})).status == 415
        assert (await made.there.get("/v1/threads")).body["threads"] == []
        assert not [each for each in made.there.home.path.iterdir() if each.name.startswith(".moving")]


async def test_two_moves_of_one_conversation_at_once_are_one(tmp_path: Path) -> None:
    async with pair(tmp_path) as made:
        thread, call = await calling(made)
        answers = await asyncio.gather(*(made.migrate(thread) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 400, 400]
        assert len(made.tools.asked) == 1
        assert await made.tools.answer(call, "built") == 200
        await made.there.said(thread, "built")


@to_both
async def test_many_conversations_move_at_once(tmp_path: Path, there: str) -> None:
    async with pair(tmp_path, there=there) as made:
        threads = [await made.here.thread("/call build {}") for _ in range(8)]
        await made.tools.invoked(8)
        answers = await asyncio.gather(*(made.migrate(thread) for thread in threads))
        assert {answer.status for answer in answers} == {200}
        calls = {invocation.group_id: invocation.id for invocation in made.tools.invocations}
        await made.here.restart()
        for thread in threads:
            assert await made.tools.answer(calls[thread], f"built {thread}") == 200
            await made.there.said(thread, f"built {thread}")
