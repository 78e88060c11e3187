"""Deliveries that end badly after nobody wants them any more."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.slice.scenes import World

from infinity.message import Action
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, failing, tool


class Undecided(ToolServer):
    """Answers an invocation when the test says so."""

    def __init__(self, status: int) -> None:
        super().__init__([tool("a")])
        self.decided = asyncio.Event()
        self._status = status
        """0: the connection is closed instead."""

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        await super()._invoke(request)
        await self.decided.wait()
        if self._status == 0 and request.transport is not None:
            request.transport.close()
        return web.Response(status=self._status or 200)


async def _visited(server: ToolServer) -> None:
    """Requests that come after everything that was sent before have been answered."""
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"{server.base_url}/.well-known/rap-toolset") as response:
                assert response.status == 200
                await response.read()


@pytest.mark.rap("CAN-1", "INV-5", "INV-7")
@pytest.mark.parametrize("status", [503, 404, 0], ids=["unavailable", "refused", "connection lost"])
async def test_a_post_that_fails_after_its_call_was_taken_back_is_neither_repeated_nor_told(
    open_world: Any, status: int
) -> None:
    async with Undecided(status) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("a", {})), say("as you like"))
        thread = await world.thread("go")
        invocation = await server.invoked()
        await world.runtime.control(thread, Action.INTERRUPT)
        await world.noted(thread, "call_ended", state="cancelled")
        await world.settled(thread)
        await _visited(server)
        assert server.notices == [], "the notice does not overtake what it takes back"
        server.decided.set()
        await server.until(lambda: bool(server.notices), "the cancel notice")
        assert server.notices == [("/cancel_tool_call", {"thread_id": thread, "tool_call_id": invocation.id})]
        await world.until(lambda: len(world.runtime.outbox) == 0)
        assert (world.clock.sleeping(), await world.store.outbox(), await world.store.inbox()) == (0, [], [])
        await world.runtime.send(thread, "never mind")
        await world.said(thread, "as you like")
        assert len(server.invocations) == 1
        results = [entry for entry in await world.history(thread) if entry["kind"] in ("result", "event")]
        assert len(results) == 1 and "interrupted" in str(results[0])
        await world.close()


@pytest.mark.rap("CHO-3", "INV-5")
@pytest.mark.trap("B11")
async def test_an_invocation_is_repeated_while_its_tool_asks_the_user_however_long_the_deadline_is_over(
    open_world: Any,
) -> None:
    """The deadline stands still, so its timer is gone; that is no reason to think that the call is about to fail."""
    async with Undecided(503) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("a", {})), say("done"))
        thread = await world.thread("go")
        invocation = await server.invoked()
        assert await server.oauth(invocation.id) == 200
        await world.noted(thread, "prompt", id=f"oauth.{invocation.id}")
        world.clock.advance(world.settings.timeouts.call + 60.0)
        server.decided.set()
        await world.until(lambda: world.clock.sleeping() > 0)
        world.clock.advance(world.settings.timeouts.dispatch_longest)
        again = await server.invoked(2)
        assert again.id == invocation.id
        await world.close()


@pytest.mark.trap("L3")
async def test_a_call_that_leaves_while_the_backlog_is_read_does_not_leave_again(open_world: Any) -> None:
    async with Undecided(202) as server:
        world: World = await open_world(servers=[server]).start()
        world.model.then(call(("a", {})), say("good"))
        thread = await world.thread("go")
        invocation = await server.invoked()
        real, pages = world.store.outbox, []

        async def slowly(after: str = "") -> Any:
            pages.append(rows := await real(after))
            server.decided.set()
            await world.until(lambda: not len(world.runtime.outbox))
            return rows

        world.store.outbox = slowly  # type: ignore[method-assign]
        await world.runtime.outbox.start([thread])
        assert [row.call_id for row in pages[0]] == [invocation.id], "the store looked before it had left"
        assert not len(world.runtime.outbox)
        await _visited(server)
        assert server.counts[invocation.id] == 1


@pytest.mark.trap("L3")
async def test_a_call_that_ends_while_the_backlog_is_read_does_not_leave_again(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(503)
    tooled.model.then(call(("a", {})), say("as you like"))
    thread = await tooled.thread("go")
    invocation = await server.invoked()
    await tooled.until(lambda: server.counts[invocation.id] == 1 and tooled.clock.sleeping() > 0, "the retry")
    await tooled.runtime.outbox.withdraw([thread])
    real, pages = tooled.store.outbox, []

    async def slowly(after: str = "") -> Any:
        pages.append(rows := await real(after))
        if rows:
            await tooled.runtime.control(thread, Action.INTERRUPT)
            await tooled.noted(thread, "call_ended", state="cancelled")
        return rows

    tooled.store.outbox = slowly  # type: ignore[method-assign]
    await tooled.runtime.outbox.start([thread])
    assert [row.call_id for row in pages[0]] == [invocation.id], "the store looked before it had ended"
    await server.until(lambda: bool(server.notices), "the cancel notice")
    tooled.clock.advance(60)
    await tooled.until(lambda: not len(tooled.runtime.outbox), "row that is settled")
    assert server.counts[invocation.id] == 1
