"""What runs in the background goes on whatever a step of it raises: timers, deliveries, the loop, what is read back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.contract.postgresql import server_url
from tests.patience import PATIENCE
from tests.slice.scenes import World
from tests.slice.test_on_postgres import WorldOnPostgres

from infinity.abc import OutboxRow
from infinity.engine.backlog import MOST, Backlog
from infinity.errors import ConfigError, StoreError
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, failing

# What infinity.stores.postgres.failure.translate makes of SQLSTATE 28P01/28000 (login refused), 42501, 3D000, 42P01: a ConfigError, which is not a StoreError.
REFUSED = ConfigError("the database db.example refused the login; check the user and its password")


@pytest.mark.trap("B11")
async def test_timers_ring_after_a_login_was_refused_once(world: World) -> None:
    world.model.then(call(("sleep", {"seconds": 60})), say("awake"))
    thread = await world.thread("go")
    await world.noted(thread, "slice")
    await world.settled(thread)
    real, times = world.store.fire_timers, 0

    async def fire(now: int) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            raise REFUSED
        return await real(now)

    world.store.fire_timers = fire  # type: ignore[method-assign]
    world.clock.advance(61)
    await _advancing(world, lambda: len(world.model.requests) == 2)
    assert times == 2


@pytest.mark.trap("B11")
async def test_a_delivery_is_tried_again_after_a_login_was_refused_once(
    tooled: World, server: ToolServer
) -> None:
    server.behaviours["a"] = failing(503)
    real, times = tooled.store.outbox_retry, 0

    async def retry(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            raise REFUSED
        return await real(*arguments)

    tooled.store.outbox_retry = retry  # type: ignore[method-assign]
    tooled.model.then(call(("a", {})), say("done"), say("x"))
    await tooled.thread("go")
    await server.invoked()
    await tooled.until(lambda: times == 1)
    del server.behaviours["a"]
    await _advancing(tooled, lambda: len(server.invocations) == 2)


@pytest.mark.trap("B11")
async def test_timers_ring_after_the_database_refused_every_login_for_a_moment(tmp_path: Path) -> None:
    """A password is rotated, or an IAM token has run out: the database refuses the login for a moment, then takes it again."""
    world = WorldOnPostgres(tmp_path / "world")
    await world.start()
    world.model.then(call(("sleep", {"seconds": 60})), say("awake"))
    thread = await world.thread("go")
    await world.noted(thread, "slice")
    await world.settled(thread)
    admin = await asyncpg.connect(server_url())
    await admin.execute("ALTER ROLE infinity NOLOGIN")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'infinity'"
    )
    failures = world.runtime.timers
    world.clock.advance(61)
    try:
        await world.until(lambda: failures._failures > 0)
    finally:
        await admin.execute("ALTER ROLE infinity LOGIN")
        await admin.close()
    await _advancing(world, lambda: len(world.model.requests) == 2)
    await world.close()


async def test_whatever_a_delivery_raises_it_is_tried_again(tooled: World, server: ToolServer) -> None:
    class Failing:
        """Raises what nobody expected, first of all the cancellation of something that it waits for."""

        def __init__(self, real: Any) -> None:
            self.real = real
            self.raised: list[BaseException] = [
                asyncio.CancelledError(),
                KeyError("x"),
                RuntimeError("the loop"),
            ]

        async def post(self, url: str, body: bytes, *, key: str) -> Any:
            if self.raised:
                raise self.raised.pop(0)
            return await self.real.post(url, body, key=key)

    services = tooled.runtime.outbox._services
    object.__setattr__(services, "transport", Failing(services.transport))
    tooled.model.then(call(("a", {})), say("done"))
    await tooled.thread("go")
    await _advancing(tooled, lambda: len(server.invocations) == 1)


async def test_slices_run_after_the_mailbox_failed_once(open_world: Any) -> None:
    world: World = await open_world().start()
    taken = world.mailbox.take

    async def take() -> Any:
        world.mailbox.take = taken  # type: ignore[method-assign]
        batch = await taken()
        world.mailbox.release(batch.thread, keep=True)
        raise KeyError("a mailbox")

    world.runtime.loop._taking.cancel()  # type: ignore[union-attr]
    world.mailbox.take = take  # type: ignore[method-assign]
    world.runtime.loop.start()
    world.model.then(say("hello"))
    thread = await world.thread("hi")
    await world.said(thread, "hello")


async def test_what_has_left_does_not_leave_again_because_it_cannot_be_recorded(
    tooled: World, server: ToolServer
) -> None:
    real, times = tooled.store.outbox_done, 0

    async def done(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        if times <= 5:
            raise StoreError("no space left for the journal")
        return await real(*arguments)

    tooled.store.outbox_done = done  # type: ignore[method-assign]
    tooled.model.then(call(("a", {})))
    await tooled.thread("go")
    await _advancing(tooled, lambda: times == 6)
    assert len(server.invocations) == 1


async def test_a_long_outbox_leaves_in_portions_and_no_server_waits_for_another(world: World) -> None:
    rows = [_row(f"invoke.{n:05d}", "https://a.example/invoke") for n in range(2_000)]
    rows += [_row(f"invoke.9{n:04d}", "https://b.example/invoke") for n in range(10)]
    left: list[str] = []

    async def page(after: str) -> list[OutboxRow]:
        return [row for row in rows if row.key > after and row.key not in left][:100]

    under_way: list[str] = []
    backlog = Backlog(page, lambda row: under_way.append(row.key), None)
    assert not await backlog.read()
    assert len(under_way) == MOST + 10, "what goes to the other server is under way, too"
    over = asyncio.Event()
    backlog.go_on(lambda _: over.set())
    most = 0
    while len(left) < len(rows):
        most = max(most, len(under_way))
        key = under_way.pop(0)
        left.append(key)
        backlog.gone(key)
        if not under_way:
            await world.until(lambda: bool(under_way) or len(left) == len(rows))
    await asyncio.wait_for(over.wait(), PATIENCE)
    assert sorted(left) == sorted(row.key for row in rows)
    assert most <= MOST + 10


def _row(key: str, target: str) -> OutboxRow:
    return OutboxRow(key, "invoke", target, b"{}", key, "thread")


async def _advancing(world: World, condition: Callable[[], bool]) -> None:
    """Let time pass until it is so; no time passes for those who do not wait."""

    def step() -> bool:
        world.clock.advance(60)
        return condition()

    await world.until(step)
