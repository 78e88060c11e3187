"""A whole deployment in one process: the emulator's queues, tables, schedules and functions, a real PostgreSQL under DSQL's rules, one virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.contract.databases import database_url, dsql_connections
from tests.contract.dsql_rules import Conflicts

from infinity.abc import Observer
from infinity.callback_keys import callback_keys
from infinity.cloud.batch import run_batch
from infinity.cloud.dead_letters import keep
from infinity.cloud.host import Described, Host, Parts, open_host
from infinity.cloud.relay import forward, open_relay
from infinity.cloud.sweep import wake_overdue
from infinity.emulator import Emulator
from infinity.ids import Ids
from infinity.stores.postgres.opening import store_on
from infinity.stores.postgres.platform import DSQL
from infinity.stores.postgres.transactions import Retries, Transactions
from infinity.testing.clock import VirtualClock

TABLE, BUCKET = "items", "claims"
TIMEOUT = 900
VISIBILITY = 6 * TIMEOUT
RECEIVES = 100
"""After which a message is taken for dead."""


class Deployment:
    """``host`` opens what a function's process has. ``agents``: hosts of the agent function's environments that live."""

    def __init__(
        self,
        directory: Path,
        clock: VirtualClock,
        describe: Callable[[], Described],
        ids: Ids,
        *,
        public_url: str,
        conflicts: Conflicts | None = None,
        observe: Callable[[Observer], Observer] | None = None,
        receives: int = RECEIVES,
    ) -> None:
        self.directory = directory
        self.clock = clock
        self.aws = Emulator(clock)
        self.conflicts = conflicts or Conflicts(0)
        self.agents: list[Host] = []
        self.places: dict[str, str] = {}
        self._describe = describe
        self._ids = ids
        self._public_url = public_url
        self._observe = observe
        self._receives = receives
        self._url = ""
        self._hosts: list[Host] = []

    async def start(self) -> Deployment:
        self._url = await database_url(self.directory)
        await self.aws.start()
        await self._make_keys()
        aws = self.aws
        dead = aws.sqs.create("dead.fifo", VisibilityTimeout=VISIBILITY)
        self.inbox = aws.sqs.create(
            "inbox.fifo",
            VisibilityTimeout=VISIBILITY,
            DeduplicationScope="messageGroup",
            FifoThroughputLimit="perMessageGroupId",
            RedrivePolicy=redrive(aws, dead, self._receives),
        )
        self.delay = aws.sqs.create("delay", VisibilityTimeout=360)
        self.output = aws.sqs.create("output.fifo")
        aws.dynamodb.create(TABLE, "pk", "sk", expires="expires")
        aws.s3.create(BUCKET)
        self.places = {
            "INFINITY_STORE": self._url,
            "INFINITY_INBOX_QUEUE": self.inbox,
            "INFINITY_DELAY_QUEUE": self.delay,
            "INFINITY_OUTPUT_QUEUE": self.output,
            "INFINITY_SCHEDULE_GROUP": "default",
            "INFINITY_SCHEDULE_ROLE": "arn:aws:iam::000000000000:role/schedules",
            "INFINITY_TABLE": TABLE,
            "INFINITY_BUCKET": BUCKET,
            "INFINITY_PUBLIC_URL": self._public_url,
        }
        aws.lambdas.create("agent", start=lambda: _Agent(self), timeout=TIMEOUT)
        aws.lambdas.create("relay", self._relay, timeout=60)
        aws.lambdas.create("dead_letters", self._dead_letters, timeout=60)
        self._taking = aws.lambdas.map(self.inbox, "agent")
        aws.lambdas.map(self.delay, "relay")
        aws.lambdas.map(dead, "dead_letters")
        return self

    async def host(self, observe: Callable[[Observer], Observer] | None = None) -> Host:
        parts = Parts(
            clock=self.clock,
            ids=self._ids,
            described=self._describe(),
            transactions=self._transactions,
            observe=observe,
        )
        made = await open_host(self.environment(), parts=parts)
        self._hosts.append(made)
        return made

    def environment(self) -> dict[str, str]:
        return {**self.aws.environment(), **self.places}

    async def sweep(self) -> dict[str, Any]:
        host = await self.host()
        return await wake_overdue(host, lambda: 60.0)

    async def pause(self) -> None:
        """Nobody takes what is queued."""
        await self._taking.disable()

    def resume(self) -> None:
        self._taking.enable()

    async def crash(self) -> None:
        """Every environment ends at once, wherever it is; what was running is not reported, and comes back as if its visibility time-out had passed."""
        self.aws.lambdas.kill()
        agents, self.agents = self.agents, []
        for host in agents:
            await abandon(host)
        await self.aws.until(lambda: not self.aws.lambdas.busy, "end of all functions")
        for url in (self.inbox, self.delay):
            queue = self.aws.sqs.queue(url)
            for message in queue.messages():
                if message.in_flight:
                    queue.change_visibility(queue.handle(message), 0)

    async def close(self) -> None:
        await self.aws.close()
        for host in self._hosts:
            await host.close()

    def idle(self, thread: str | None = None) -> bool:
        """Nothing is queued or runs; ``thread``: for this one."""
        queued = self.aws.sqs.queue(self.inbox).messages()
        waiting = [message for message in queued if thread in (None, message.group_id)]
        return not waiting and (thread is not None or not self.aws.lambdas.busy)

    def _transactions(self, blobs: Any) -> Transactions:
        async def soon(seconds: float) -> None:
            await asyncio.sleep(seconds / 20)

        retries = Retries(tries=8, sleep=soon)
        opened = dsql_connections(self._url, self.conflicts)
        return Transactions(opened, DSQL, "the test database", retries, blobs)

    async def _make_keys(self) -> None:
        store = await store_on(dsql_connections(self._url, Conflicts(0)), DSQL, "the test database")
        await callback_keys(store, self.clock.now())
        await store.close()

    async def _relay(self, event: Mapping[str, Any], _: Any) -> dict[str, Any]:
        relay = open_relay(self.environment())
        try:
            return await forward(relay, event)
        finally:
            await relay._aws.close()

    async def _dead_letters(self, event: Mapping[str, Any], _: Any) -> dict[str, Any]:
        return await keep(await self.host(), event)

    def observe(self, feed: Observer) -> Observer:
        return self._observe(feed) if self._observe is not None else feed


class _Agent:
    """One environment of the agent function: its host is opened by the first invocation and kept."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._host: Host | None = None

    async def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        if self._host is None:
            self._host = await self._deployment.host(self._deployment.observe)
            self._deployment.agents.append(self._host)
        return await run_batch(self._host, event, lambda: context.get_remaining_time_in_millis() / 1000)


async def abandon(host: Host) -> None:
    """As if the process were gone: nothing it had begun goes on."""
    await host.runtime.outbox.stop()


def redrive(aws: Emulator, dead: str, receives: int) -> str:
    return f'{{"deadLetterTargetArn": "{aws.sqs.queue(dead).arn}", "maxReceiveCount": {receives}}}'
