"""All of AWS, a PostgreSQL and the functions of one deployment, each process of which can be ended at any step."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from tests.contract.databases import dsql_connections
from tests.contract.dsql_rules import Conflicts
from tests.ports import free_port

from infinity.callback_keys import callback_keys
from infinity.cloud.batch import run_batch
from infinity.cloud.dead_letters import keep
from infinity.cloud.function_url import receive, serve
from infinity.cloud.host import KEYS, NEEDED, Host, Parts, open_host
from infinity.cloud.sweep import wake_overdue
from infinity.emulator import Emulator
from infinity.emulator.scheduler import PRECISION_MS
from infinity.models.registry import Models as ConfiguredModels
from infinity.stores.postgres.opening import store_on
from infinity.stores.postgres.platform import DSQL
from infinity.stores.postgres.transactions import Retries, Transactions
from infinity.testing.gates import STEPS

from .clock import LeapingClock
from .database import ROLES, Database, empty_database
from .environments import Environment, Gates, Relay, Work
from .lives import Died, Life, current, watch_over
from .permissions import policies

TABLE, BUCKET, TOKEN = "items", "claims", "token-for-tests"
TIMEOUT = 60.0
"""Seconds that a function may run, by a clock that is put forward: no test waits for them."""
LONGEST = 900.0
"""Of the API, which is asked all the time: no leap ends a request."""
LEAP = 600.0
"""The longest of what waits for a schedule, so that a request to the API outlives it."""
NEAR = 7200.0
"""Seconds: a schedule that is due later has nobody who waits for it now."""
RECEIVES = 100
"""After which a message is taken for dead."""
CONFLICTS = 0.1

_FUNCTIONS: dict[str, Work] = {
    "agent": run_batch,
    "receiver": lambda host, event, _: receive(host, event),
    "api": lambda host, event, _: serve(host, event),
    "dead_letters": lambda host, event, _: keep(host, event),
    "sweep": lambda host, _, remaining: wake_overdue(host, remaining),
}


class Stage:
    """``kills``: steps at which a process is to die, each ``(step, times)``, counted anew after each death. ``passed``: steps since the last one.

    ``visibility``: seconds after which a message comes back that nobody has reported on. ``processes``: functions that are not played in this process, with their handlers in ``code``.
    """

    def __init__(
        self,
        home: Path,
        *,
        timeout: float = TIMEOUT,
        visibility: float | None = None,
        receives: int = RECEIVES,
        concurrency: int | None = None,
        conflicts: float = CONFLICTS,
        processes: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> None:
        self.home = home
        self.clock = LeapingClock()
        self.aws = Emulator(self.clock)
        self.timeout = timeout
        self.visibility = int(visibility or timeout)
        self.conflicts = Conflicts(conflicts)
        self.kills: deque[tuple[str, int]] = deque()
        self.passed: Counter[str] = Counter()
        self.deaths: list[int] = []
        self.lives: list[Life] = []
        self.places: dict[str, str] = {}
        self.hooks: list[Callable[[str], None]] = []
        """Called at each step, in the process that passes it."""
        self._receives = receives
        self._concurrency = concurrency
        self._processes = processes or {}
        self._code = code
        self._burying: set[asyncio.Task[None]] = set()

    async def start(self, config: Callable[[], str]) -> Stage:
        watch_over(asyncio.get_running_loop())
        self.database = Database(await empty_database())
        await self.aws.start()
        await self._make_keys()
        self._make_services()
        self.policies = policies(self.aws, self.places)
        self.callers = {name: self.aws.permissions.give(each) for name, each in self.policies.items()}
        self.home.mkdir(exist_ok=True)
        (self.home / "infinity.toml").write_text(config())
        port = free_port()
        self.places["INFINITY_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        for name, work in _FUNCTIONS.items():
            self._create(name, lambda name=name, work=work: Environment(self, name, work))
        self._create("relay", lambda: Relay(self))
        await self.aws.lambdas.url("receiver", port=port)
        self.url = (await self.aws.lambdas.url("api")).rstrip("/")
        lambdas = self.aws.lambdas
        self.mapping = lambdas.map(self.inbox, "agent", concurrency=self._concurrency)
        lambdas.map(self.delay, "relay")
        lambdas.map(self.dead, "dead_letters")
        return self

    def _make_services(self) -> None:
        aws, visibility = self.aws, self.visibility
        self.dead = aws.sqs.create("dead.fifo", VisibilityTimeout=visibility)
        arn = aws.sqs.queue(self.dead).arn
        self.inbox = aws.sqs.create(
            "inbox.fifo",
            VisibilityTimeout=visibility,
            DeduplicationScope="messageGroup",
            FifoThroughputLimit="perMessageGroupId",
            RedrivePolicy=f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": {self._receives}}}',
        )
        self.delay = aws.sqs.create("delay", VisibilityTimeout=visibility)
        self.output = aws.sqs.create("output.fifo")
        aws.dynamodb.create(TABLE, "pk", "sk", expires="expires")
        aws.s3.create(BUCKET)
        self.places = {
            "INFINITY_STORE": self.database.url,
            "INFINITY_INBOX_QUEUE": self.inbox,
            "INFINITY_DELAY_QUEUE": self.delay,
            "INFINITY_OUTPUT_QUEUE": self.output,
            "INFINITY_SCHEDULE_GROUP": "default",
            "INFINITY_SCHEDULE_ROLE": "arn:aws:iam::000000000000:role/schedules",
            "INFINITY_TABLE": TABLE,
            "INFINITY_BUCKET": BUCKET,
            "INFINITY_CONFIG": str(self.home / "infinity.toml"),
            "INFINITY_API_TOKEN": TOKEN,
        }

    def _create(self, name: str, start: Callable[[], Any]) -> None:
        handler = self._processes.get(name)
        if handler is None:
            seconds = LONGEST if name == "api" else self.timeout
            self.aws.lambdas.create(name, start=start, timeout=seconds)
        else:
            how = {"code": self._code, "timeout": self.timeout}
            self.aws.lambdas.create(name, handler, environment=self.places, **how)

    async def _make_keys(self) -> None:
        connections = dsql_connections(self.database.url, Conflicts(0))
        store = await store_on(connections, DSQL, "the test database")
        await callback_keys(store, self.clock.now())
        await store.close()

    async def close(self) -> None:
        await self.aws.close()
        for life in self.lives:
            life.end()
            self.bury(life)
        await asyncio.gather(*self._burying)
        asyncio.get_running_loop().set_task_factory(None)

    # processes

    async def host(self, life: Life, name: str) -> Host:
        """What a process opens when it is first asked for something."""

        async def soon(seconds: float) -> None:
            await asyncio.sleep(seconds / 20)

        def transactions(blobs: Any) -> Transactions:
            opened = self.database.connections(life, self.conflicts, ROLES[name])
            return Transactions(opened, DSQL, "the test database", Retries(tries=8, sleep=soon), blobs)

        parts = Parts(
            clock=self.clock,
            transactions=transactions,
            observe=lambda feed: Gates(feed, self),
            breaker=life.breaker,
        )
        needed = {*NEEDED} - ({KEYS} if name == "sweep" else set())
        host = await open_host(self.environment(name), needed, parts=parts)
        runtime = host.runtime
        models = cast("ConfiguredModels", runtime.models)
        sockets = (host.aws.close, runtime._transport.close, models.close, runtime.servers.toolsets.close)
        life.closing += sockets
        return host

    def environment(self, function: str) -> dict[str, str]:
        """With the function's own key, which may do what the deployment allows it."""
        return {**self.aws.environment(self.callers[function]), **self.places}

    def arm(self, *kills: tuple[str, int]) -> None:
        assert all(step in STEPS for step, _ in kills)
        self.kills = deque(kills)
        self.passed.clear()

    def passing(self, step: str) -> None:
        """A process passes this step, or dies at it."""
        self.passed[step] += 1
        for hook in self.hooks:
            hook(step)
        if self.kills and self.kills[0] == (step, self.passed[step]):
            self.kills.popleft()
            self.passed.clear()
            self.die()

    def die(self) -> None:
        """The process that runs now ends here."""
        life = current()
        assert life is not None, "only a process can die"
        life.end()
        raise Died

    def bury(self, life: Life) -> None:
        task = asyncio.create_task(life.bury())
        self._burying.add(task)

    # queues

    @property
    def busy(self) -> bool:
        """Whether a function runs that does something by itself, the doors included that tool servers knock at."""
        functions = self.aws.lambdas.functions()
        return any(function.running for function in functions if function.name != "api")

    def queued(self, thread: str | None = None) -> int:
        """Messages in all queues; ``thread``: in the inbox, for this one."""
        queues = (self.inbox, self.delay, self.dead) if thread is None else (self.inbox,)
        messages = [message for url in queues for message in self.aws.sqs.queue(url).messages()]
        return sum(thread in (None, message.group_id) for message in messages)

    def next_visible(self) -> int | None:
        """When a message becomes visible next, in ms since the epoch."""
        queues = [self.aws.sqs.queue(url) for url in (self.inbox, self.delay, self.dead)]
        return min((due_at for queue in queues if (due_at := queue.next_visible()) is not None), default=None)

    def next_schedule(self) -> int | None:
        """When the next one that is near is due, in ms since the epoch; one that is due comes within a minute, or is tried again."""
        now = self.clock.now()
        due = [
            each.due_at if each.due_at > now else now + PRECISION_MS
            for each in self.aws.scheduler.schedules()
            if each.due_at <= now + NEAR * 1000
        ]
        return min(due, default=None)

    def hasten(self, *, schedules: bool = False) -> None:
        """What becomes visible next does so now; ``schedules``: if nothing will, the next one is due."""
        if not schedules or self.queued():
            self._leap_to(self.next_visible())
        else:
            self._leap_to(self.next_schedule(), LEAP)

    def _leap_to(self, due_at: int | None, most: float = math.inf) -> None:
        if due_at is not None:
            self.clock.leap(min((due_at - self.clock.now() + 1) / 1000, most))
