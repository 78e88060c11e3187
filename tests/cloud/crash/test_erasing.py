"""The agent function dies anywhere in the erasure of a deleted conversation: the conversation stays deleted, and another process does the rest.

A process dies behind each transaction, and behind each request to AWS, that the erasure makes. By default a few of them; ``INFINITY_SWEEP=full``: all.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.dsql_rules import DsqlConnection
from tests.crash.clients import AGAIN
from tests.patience import PATIENCE

from infinity.cloud import batch
from infinity.emulator.faults import Attempt
from infinity.emulator.wire import Reply
from infinity.models.script import Script

from .host import CloudHost
from .lives import Died, Life, current
from .stage import BUCKET, TABLE

FULL = os.environ.get("INFINITY_SWEEP") == "full"
ROOT = "thread-that-goes"
WORD = "the word that nobody may find"
LARGE = WORD * (1_048_000 // len(WORD))
"""With what stands around it, more than a column takes."""
MOST = 200
"""An erasure of this conversation has fewer effects."""
SAMPLE = (2, 9)


class Assassin:
    """Ends the process that erases, behind its n-th effect."""

    def __init__(self, at: int) -> None:
        self.left = at
        self._life: Life | None = None

    def patch(self, monkeypatch: pytest.MonkeyPatch, host: CloudHost) -> None:
        erase: Callable[..., Any] = batch.erase
        border: Callable[..., Any] = DsqlConnection._border

        async def erasing(*arguments: Any) -> None:
            self._life = current()
            try:
                await erase(*arguments)
            finally:
                self._life = None

        async def committed(connection: Any, word: str) -> str:
            said = str(await border(connection, word))
            if word == "COMMIT" and current() is self._life and self._strikes():
                raise Died
            return said

        async def answered(attempt: Attempt) -> Reply:
            reply = await attempt.act()
            self._strikes()
            return reply

        monkeypatch.setattr(batch, "erase", erasing)
        monkeypatch.setattr(DsqlConnection, "_border", committed)
        for service in ("dynamodb", "s3", "scheduler"):
            host.aws.faults.add(service, "*", answered)

    def _strikes(self) -> bool:
        if self._life is None or self._life.over:
            return False
        self.left -= 1
        if self.left == 0:
            self._life.end()
        return self.left == 0


def script() -> Script:
    return (
        Script()
        .when_result("watch")
        .call("sleep", seconds=86_400)
        .when("begin")
        .call("watch", word=WORD)
        .when("stay")
        .say("I stay")
    )


async def left(host: CloudHost) -> dict[str, list[str]]:
    """What there is of the conversation, wherever anything may be; tombstones apart."""
    digest = hashlib.sha256(ROOT.encode()).hexdigest()[:32]
    found = {
        "objects": [key for key in host.aws.s3.objects(BUCKET) if f"/{digest}/" in key],
        "items": [str(key) for key, _ in host.aws.dynamodb.table(TABLE).items() if ROOT in str(key)],
        "schedules": [schedule.name for schedule in host.aws.scheduler.schedules()],
    }
    sql = """SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema()
             AND column_name IN ('thread', 'root') AND table_name NOT IN ('tombstones') GROUP BY table_name"""
    for (table,) in await host._looking.fetch(sql):
        rows = await host._looking.fetch(f"SELECT t::text FROM {table} t WHERE t::text LIKE $1", f"%{ROOT}%")
        found[table] = [row for (row,) in rows]
    return {name: rows for name, rows in found.items() if rows}


async def nothing_left(host: CloudHost) -> None:
    found: dict[str, list[str]] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while found := await left(host):
                await asyncio.sleep(AGAIN)
    except TimeoutError:
        raise AssertionError(f"left of it: {found}") from None


async def erased(home: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Delete the conversation, and let the process die behind this effect: whether there was one."""
    async with CloudHost(home, script(), conflicts=0) as host:
        with monkeypatch.context() as patched:
            assassin = Assassin(at)
            assassin.patch(patched, host)
            stays = await host.create("other")
            await host.create(ROOT)
            await host.say("other", "stay")
            await stays.said("I stay")
            await host.say(ROOT, "begin")
            call = (await host.tools.invoked()).id
            watching = lambda: host.tools.answer(call, LARGE, subscription=True)  # noqa: E731
            assert await host.tell(watching) == 200
            assert await host.tell(lambda: host.tools.view(call, "diff", {"word": WORD})) == 200
            await host.until(lambda: bool(host.aws.scheduler.schedules()), "schedule")
            await host.settled()
            before = await left(host)
            assert {"objects", "items", "schedules", "threads", "calls", "timers"} <= before.keys()
            await host.forget(ROOT)

            assert host._session is not None
            async with host._session.delete(f"/v1/threads/{ROOT}") as response:
                assert response.status == 202
            await nothing_left(host)
            await host.settled()

            assert len(host.deaths) == (assassin.left <= 0)
            assert ("/cancel_tool_call", {"thread_id": ROOT, "tool_call_id": call}) in host.tools.notices
            async with host._session.get(f"/v1/threads/{ROOT}") as response:
                assert response.status == 410
            assert await host.tell(lambda: host.tools.event(call, "late")) == 410
            assert not await left(host)
            assert [entry["kind"] for entry in await host.entries("other")] == ["user", "user", "turn"]
            return assassin.left <= 0


@pytest.mark.trap("G7", "L15")
async def test_an_erasure_is_done_whenever_the_function_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, MOST) if FULL else SAMPLE:
        died = await erased(tmp_path / f"{at}", at, monkeypatch)
        if FULL and not died:
            assert at > max(SAMPLE), "it has fewer effects than that"
            return
        assert died, f"an erasure has fewer than {at} effects"
    assert not FULL, "it has effects without end"
