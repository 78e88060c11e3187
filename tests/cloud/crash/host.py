"""The cloud host with the model, the tools and the clients that outlive its processes: what ``tests.crash.host`` is for the daemon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg  # type: ignore[import-untyped]
from tests.crash.clients import Clients
from tests.crash.daemon import PATIENCE
from tests.crash.watch import Watch

from infinity.models.script import Script
from infinity.testing.model_server import Respond

from .stage import TOKEN, Stage
from .watch import PollingWatch

OFTEN = 0.004
"""Seconds between two looks whether anything is left to happen before a message becomes visible."""


class CloudHost(Clients):
    """``patient``: time goes as the clock goes; else what waits in a queue comes as soon as nothing else happens. ``slices``: ``retries.slices``. ``limits``: that section. ``schedules``: the clock is put forward to those as well."""

    def __init__(
        self,
        home: Path,
        respond: Script | Respond,
        tools: Iterable[str] = ("a", "b", "c", "watch"),
        *,
        patient: bool = False,
        slices: int | None = None,
        limits: str = "",
        schedules: bool = False,
        **stage: Any,
    ) -> None:
        super().__init__(respond, tools)
        self.stage = Stage(home, **stage)
        self.aws = self.stage.aws
        self.deaths = self.stage.deaths
        self.patient = patient
        self._slices = slices
        self._limits = limits
        self._schedules = schedules
        self._looking: asyncpg.Connection
        self._hastening: asyncio.Task[None] | None = None

    def _config(self) -> str:
        retries = f"[retries]\nslices = {self._slices}\n" if self._slices is not None else ""
        return super()._config() + retries + self._limits

    @property
    def talking(self) -> aiohttp.ClientSession:
        """To the API, for answers that are to be seen as they are."""
        assert self._session is not None
        return self._session

    # life

    async def open(self) -> CloudHost:
        await self.model.start()
        await self.tools.start()
        await self.stage.start(self._config)
        self._session = aiohttp.ClientSession(
            self.stage.url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._looking = await asyncpg.connect(self.stage.database.url)
        self._hastening = asyncio.create_task(self._hasten())
        return self

    async def close(self) -> None:
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self.model.stop)
            ending.push_async_callback(self.tools.close)
            ending.push_async_callback(self._looking.close)
            ending.push_async_callback(self.stage.close)
            if self._session is not None:
                ending.push_async_callback(self._session.close)
            for watch in self.watches.values():
                ending.push_async_callback(watch.close)
            if self._hastening is not None:
                self._hastening.cancel()

    async def __aenter__(self) -> CloudHost:
        return await self.open()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            await self._explain(error)
        await self.close()

    async def _explain(self, error: BaseException) -> None:
        error.add_note(f"{len(self.deaths)} deaths, steps since the last: {dict(self.stage.passed)}")
        error.add_note(f"queues: {self._queues()}; rows: {await self._rows()}")
        at = self.stage.clock.now()
        due = [((each.due_at - at) / 1000, each.fired) for each in self.aws.scheduler.schedules()]
        error.add_note(f"schedules, due in seconds, and whether they have fired: {due}")
        await super()._explain(error)

    async def _hasten(self) -> None:
        """Whenever nothing has happened between two looks, and nothing runs, nothing will before a message becomes visible."""
        before = -1
        while True:
            await asyncio.sleep(OFTEN)
            requests = self.aws.counts.total()
            if requests == before and not self.stage.busy and not self.patient:
                self.stage.hasten(schedules=self._schedules)
            before = requests

    # clients

    async def running(self) -> None:
        """Functions are always there: each request starts what it needs."""

    def new_watch(self, thread: str, *, after: int = -1) -> Watch:
        assert self._session is not None
        return PollingWatch(self._session, thread, self.aws.counts.total, after=after)

    # the end

    async def _busy(self) -> bool:
        """Whatever is on record while nothing is queued and nothing runs would stay so: its wake is lost (I7)."""
        if self.stage.busy or self.stage.queued():
            return True
        before = self.aws.counts.total()
        rows = await self._rows()
        if self.stage.busy or self.stage.queued() or self.aws.counts.total() != before:
            return True
        assert not any(rows.values()), f"nothing is queued or runs, and there are still: {rows}"
        return False

    async def _rows(self) -> dict[str, int]:
        sql = "SELECT (SELECT count(*) FROM inbox WHERE kept IS NULL), (SELECT count(*) FROM outbox)"
        inbox, outbox = await self._looking.fetchrow(sql)
        return {"messages in the inbox": inbox, "rows of the outbox": outbox}

    def _queues(self) -> dict[str, list[str]]:
        urls = (self.stage.inbox, self.stage.delay, self.stage.dead)
        return {
            url.rpartition("/")[2]: [message.body[:200] for message in self.aws.sqs.queue(url).messages()]
            for url in urls
        }

    def lose_schedules(self) -> None:
        """With their alarms: one that is only forgotten would fire all the same."""
        for schedule in self.aws.scheduler.schedules():
            self.aws.scheduler._remove(schedule)

    async def check_timers(self) -> None:
        """Every thread has a schedule that will wake it when its earliest timer is due, or before (I7)."""
        due: dict[str, int] = {}
        for schedule in self.aws.scheduler.schedules():
            wake = json.loads(json.loads(schedule.described()["Target"]["Input"])["MessageBody"])
            due[wake["wake"]] = min(wake["due"], due.get(wake["wake"], wake["due"]))
        rows = await self._looking.fetch("SELECT thread, min(due_at) FROM timers GROUP BY thread")
        missing = [(thread, at) for thread, at in rows if due.get(thread, at + 1) > at]
        assert not missing, f"timers that nothing will wake for: {missing}"

    async def check_output(self) -> None:
        """What listeners are told is what the event streams say: all of it, the same under one id however often it comes."""
        told: dict[str, Any] = {}
        for message in self.aws.sqs.queue(self.stage.output).messages():
            body = json.loads(message.body)
            assert told.setdefault(body["id"], body) == body, f"{body['id']} was told in two ways"
        due = {
            f"{thread['id']}.{event['cursor']}"
            for thread in await self.threads()
            for event in await self._events(thread["id"])
            if _is_told(event)
        }
        keyed = {id for id, body in told.items() if body["data"].get("code") not in TROUBLE}
        assert keyed == due, f"not told: {due - keyed}; told though it never was: {keyed - due}"

    async def _events(self, thread: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = -1
        while (page := await self.request("GET", f"/v1/threads/{thread}/events?after={after}"))["events"]:
            found += page["events"]
            after = page["next"]
        return found


TROUBLE = frozenset({"failing", "dead_letter", "unreadable"})
"""Problems of the host, which are in nobody's history."""


def _is_told(event: dict[str, Any]) -> bool:
    if event["kind"] in ("problem", "prompt", "prompt_closed", "status"):
        return True
    data = event["data"]
    if event["kind"] != "entry" or data["kind"] != "turn":
        return False
    return any(block["type"] == "text" and block["text"].strip() for block in data["assistant"])
