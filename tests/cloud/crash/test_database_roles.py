"""Every function of the stage logs in with the database role of a deployment. The receiver's and the sweep's suffice for all that they do, and for nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.crash.scenarios import ROOT

from infinity.stores.postgres.roles import DUTIES

from .database import ROLES, as_role, empty_database
from .host import CloudHost
from .minds import Held
from .runs import ended

MONTH = 31 * 86_400.0


@pytest.fixture
async def url() -> str:
    return await empty_database()


@pytest.fixture
async def owner(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


# -- nothing else


@pytest.mark.trap("S1")
@pytest.mark.parametrize("duty", DUTIES)
async def test_a_role_has_the_privileges_that_its_function_needs_and_no_others(duty: str, owner: Any) -> None:
    sql = """SELECT c.relname, p.privilege FROM pg_class c,
               unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p(privilege)
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND has_table_privilege($1, c.oid, p.privilege)"""
    found = {tuple(row) for row in await owner.fetch(sql, ROLES[duty])}
    wanted = {(table, right) for right, tables in DUTIES[duty].items() for table in tables.split(", ")}
    assert found == wanted
    assert not {right for _, right in found} & {"DELETE", "TRUNCATE"}
    creates = "SELECT has_schema_privilege($1, current_schema(), 'CREATE')"
    assert not await owner.fetchval(creates, ROLES[duty])


REFUSED = [
    ("receiver", "SELECT record FROM entries"),
    ("receiver", "SELECT body FROM feed"),
    ("receiver", "SELECT body FROM outbox"),
    ("receiver", "DELETE FROM inbox"),
    ("receiver", "DELETE FROM threads"),
    ("receiver", "UPDATE threads SET version = version + 1"),
    ("receiver", "UPDATE meta SET value = ''"),
    ("receiver", "INSERT INTO known VALUES ('t', '', 1)"),
    ("receiver", "CREATE TABLE mine (id TEXT)"),
    ("sweep", "SELECT value FROM meta"),
    ("sweep", "SELECT record FROM entries"),
    ("sweep", "UPDATE calls SET live = 0"),
    ("sweep", "DELETE FROM outbox"),
    ("sweep", "INSERT INTO threads (id) VALUES ('t')"),
    ("sweep", "DROP TABLE threads"),
]


@pytest.mark.trap("S1")
async def test_what_a_function_does_not_do_its_role_may_not_do(url: str) -> None:
    for duty in DUTIES:
        connection = await asyncpg.connect(as_role(url, ROLES[duty]))
        for name, sql in REFUSED:
            if name == duty:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(sql)
        await connection.close()


# -- everything that they do


async def test_the_receiver_answers_callbacks_of_every_kind(tmp_path: Path, url: str, owner: Any) -> None:
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        tools = host.tools
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        first = (await tools.invoked()).id
        await host.settled()
        assert await tools.view(first, "progress", {"done": 1}) == 200
        assert await tools.choice(first, "which?", ["x", "y"]) == 200
        assert await tools.event(first, text="nobody subscribed") == 200, "until its call confirms that"
        assert await tools.answer(first, text="found") == 200
        assert await tools.answer(first, text="found") == 200
        await root.said("all done")
        await host.settled()
        assert await tools.event(first, text="nobody subscribed") == 409

        await host.say(ROOT, "once more")
        second = (await tools.invoked(2)).id
        await host.settled()
        assert await tools.send(tools.invocation(second).callback_url, b"{") == 400, "which ends its call"
        await host.settled()
        assert await tools.answer(second, text="found") == 409
        await _recorded(owner, "the call had failed")

        await host.say(ROOT, "and again")
        third = (await tools.invoked(3)).id
        await host.settled()
        await host.request("POST", f"/v1/threads/{ROOT}/interrupt")
        await host.settled()
        assert await tools.answer(third, text="found") == 200
        await _recorded(owner, "cancelled")
        async with host.talking.delete(f"/v1/threads/{ROOT}") as response:
            assert response.status == 202
        assert await tools.answer(third, text="found") == 410
        assert await owner.fetchval("SELECT discarded FROM tombstones WHERE id = $1", ROOT) >= 1
        await host.settled()


async def _recorded(owner: Any, reason: str) -> None:
    assert await owner.fetchval("SELECT count(*) FROM discards WHERE reason = $1", reason) == 1


class _Retaining(CloudHost):
    def _config(self) -> str:
        return super()._config() + "[retention]\nclosed_days = 30\n"


async def test_the_sweep_wakes_whoever_is_overdue_and_deletes_what_was_closed_for_long(
    tmp_path: Path, url: str, owner: Any
) -> None:
    async with _Retaining(tmp_path, Held(0), conflicts=0) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await host.tools.invoked()
        await host.settled()
        host.lose_schedules()
        host.stage.clock.leap(2 * 3_600)
        await owner.execute(
            "INSERT INTO sweeps (name, place) VALUES ('place', 'behind-all-threads-there-are')"
        )
        sweep = host.aws.lambdas.function("sweep")
        assert (await sweep.invoke(b"{}")).value() == {"overdue": 1, "woken": 1}
        assert await owner.fetchval("SELECT place FROM sweeps") == "", "where the next one begins"
        await root.said("all done")
        await ended(host)
        await host.request("POST", f"/v1/threads/{ROOT}/close")
        await host.settled()
        host.stage.clock.leap(MONTH)
        assert (await sweep.invoke(b"{}")).value() == {"overdue": 0, "woken": 0, "erasing": 1}
        await host.settled()
        assert await owner.fetchval("SELECT count(*) FROM threads") == 0
