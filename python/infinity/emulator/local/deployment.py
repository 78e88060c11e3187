"""A deployment on this machine: the queues, the table, the bucket and the six functions that
``infinity.deploy.cdk`` makes on AWS.

The functions are processes with Lambda's own runtime client; PostgreSQL is a real one. What stands for AWS
are the stand-ins of ``infinity.emulator``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from infinity.callback_keys import callback_keys
from infinity.errors import ConfigError
from infinity.stores.postgres import opening

from ..service import HOST
from ..snapshot import restore, taken
from ..stack import Emulator
from .database import Database
from .folder import Folder
from .plan import Plan

__all__ = ["Deployment"]

TABLE, BUCKET, SCHEDULES = "infinity", "infinity-claims", "infinity"
OUTPUT = "infinity-output.fifo"
ROLE = "arn:aws:iam::000000000000:role/infinity-schedules"
RETENTION = 14 * 24 * 3600
SWEEP_SECONDS = 15 * 60
SHORT, SWEEPS, RELAY = 30, 120, 30
SIX = 6
"""Visibility time-outs are so many times the function's."""
FUNCTIONS = ("agent", "receiver", "api", "relay", "dead_letters", "sweep")


class Deployment:
    """One local deployment.

    Args:
        plan: What is deployed.
        folder: Where its state is kept; opened by the caller.
        heard: Gets the function's name and each line that it prints.
    """

    def __init__(self, plan: Plan, folder: Folder, heard: Callable[[str, str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._heard = heard
        self._database: Database | None = None
        self._aws: Emulator | None = None
        self.variables: dict[str, str] = {}
        """With these, the AWS CLI, SDKs and ``infinity cloud …`` talk to this deployment."""
        self.receiver = self.api = ""

    @property
    def aws(self) -> Emulator:
        assert self._aws is not None, "it has not been started"
        return self._aws

    @property
    def token(self) -> str:
        return self.variables["INFINITY_API_TOKEN"]

    async def start(self) -> None:
        """Start the database, make the tables, then the services and the functions.

        Raises:
            ConfigError: says which port, file or setting is in the way.
            StoreError: if the database cannot be reached or has other tables.
        """
        toolsets = [_function_name(name) for name in self._plan.toolsets]
        # Kept from the first start on: callback URLs that tool servers hold name these ports (L19).
        credentials, token, ports = self._folder.settings(self._plan.ports, toolsets)
        store = await self._store()
        await opening.migrate(store)
        await _make_keys(store)
        self._aws = Emulator(credentials=credentials, port=ports["aws"])
        try:
            await self._aws.start()
        except OSError as error:
            self._aws = None
            raise ConfigError(
                f"port {ports['aws']} on {HOST} cannot be used ({error.strerror}); give another with --port"
            ) from None
        kept = self._folder.services()
        if kept is not None:
            try:
                restore(self._aws, _without_what_was_ahead(kept) if self._plan.restored else kept)
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"what the stand-ins held cannot be read: {error}; use another directory with --state"
                ) from error
        places = self._make_places(store)
        self.receiver, self.api = f"http://{HOST}:{ports['receiver']}", f"http://{HOST}:{ports['api']}"
        places |= {"INFINITY_PUBLIC_URL": self.receiver, "INFINITY_API_TOKEN": token}
        places |= self._make_toolsets(ports)
        own = {"INFINITY_API_URL": self.api, "INFINITY_CODE": str(self._plan.code.absolute())}
        self.variables = {**self._aws.environment(), **places, **self._named(), **own}
        # Only now are all addresses known that the functions are told.
        self._make_functions(places)
        await self._connect(ports)
        self._folder.tell(self.variables)

    async def close(self) -> None:
        """Stop everything. Functions end where they are, as on Lambda; what the services hold is kept."""
        if self._aws is not None:
            aws, self._aws = self._aws, None
            # Before it is written down: nothing may move while it is read.
            await aws.close()
            self._folder.keep_services(taken(aws))
        if self._database is not None:
            await self._database.close()

    # parts

    async def _store(self) -> str:
        if self._plan.store is not None:
            return self._plan.store
        self._database = Database(self._folder.database)
        await self._database.start()
        return self._database.url

    def _make_places(self, store: str) -> dict[str, str]:
        aws, plan = self.aws, self._plan
        dead = self._queue("infinity-dead-letters.fifo", SIX * plan.timeout)
        late = self._queue("infinity-late-wakes", SIX * RELAY)
        inbox = self._queue("infinity-inbox.fifo", SIX * plan.timeout, (dead, plan.receives))
        delay = self._queue("infinity-delay", SIX * RELAY, (late, 100))
        output = self._queue(OUTPUT, 30)
        # If it is there, it was restored from the last run, with what it held.
        if TABLE not in [table.name for table in aws.dynamodb.tables()]:
            aws.dynamodb.create(TABLE, "pk", "sk", expires="expires")
        if BUCKET not in aws.s3.buckets():
            aws.s3.create(BUCKET)
        aws.scheduler.ensure_group(SCHEDULES)
        return {
            "INFINITY_STORE": store,
            "INFINITY_INBOX_QUEUE": aws.sqs.url(inbox),
            "INFINITY_DELAY_QUEUE": aws.sqs.url(delay),
            "INFINITY_OUTPUT_QUEUE": aws.sqs.url(output),
            "INFINITY_SCHEDULE_GROUP": SCHEDULES,
            "INFINITY_SCHEDULE_ROLE": ROLE,
            "INFINITY_SCHEDULE_DEAD_LETTERS": aws.sqs.arn(late),
            "INFINITY_TABLE": TABLE,
            "INFINITY_BUCKET": BUCKET,
        }

    def _queue(self, name: str, visibility: int, dead: tuple[str, int] | None = None) -> str:
        """Made, or set anew if it was kept from an earlier run."""
        given: dict[str, Any] = {"VisibilityTimeout": visibility, "MessageRetentionPeriod": RETENTION}
        if name.endswith(".fifo"):
            given |= {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
        if dead is not None:
            policy = {"deadLetterTargetArn": self.aws.sqs.arn(dead[0]), "maxReceiveCount": dead[1]}
            given["RedrivePolicy"] = json.dumps(policy)
        self.aws.sqs.ensure(name, **given)
        return name

    def _named(self) -> dict[str, str]:
        """Settings of the agent's own that are no secrets."""
        named = {k: v for k, v in self._plan.environment.items() if k.startswith("INFINITY_")}
        return named | ({"INFINITY_AGENT": self._plan.agent} if self._plan.agent is not None else {})

    def _make_functions(self, places: dict[str, str]) -> None:
        plan = self._plan
        timeouts = {"agent": plan.timeout, "relay": RELAY, "sweep": SWEEPS}
        environment = {**places, **plan.environment}
        if plan.agent is not None:
            environment["INFINITY_AGENT"] = plan.agent
        for name in FUNCTIONS:
            function = self.aws.lambdas.create(
                name,
                f"infinity.cloud.handlers.{name}",
                code=plan.code.absolute(),
                layers=plan.layers,
                environment=environment,
                timeout=timeouts.get(name, SHORT),
                memory=1024 if name == "agent" else 512,
                python=plan.python,
            )
            function.on_line = lambda line, name=name: self._heard(name, line)

    def _make_toolsets(self, ports: dict[str, int]) -> dict[str, str]:
        """Variables that tell the other functions where the toolsets are."""
        variables = {}
        for name, toolset in self._plan.toolsets.items():
            calls, called = f"infinity-calls-{name}", _function_name(name)
            # A table for each toolset: which calls ran must outlive the process (SRV-6).
            if calls not in [table.name for table in self.aws.dynamodb.tables()]:
                self.aws.dynamodb.create(calls, "call", expires="expires")
            function = self.aws.lambdas.create(
                called,
                toolset.handler,
                code=toolset.code.absolute(),
                layers=self._plan.layers,
                environment={"CALLS_TABLE": calls, **self._plan.environment},
                timeout=self._plan.timeout,
                memory=512,
                python=self._plan.python,
            )
            function.on_line = lambda line, name=called: self._heard(name, line)
            address = f"http://{HOST}:{ports[called]}/"
            variables[f"INFINITY_TOOLSETS_{name.upper()}"] = f'{{ url = "{address}", auth = "aws_iam" }}'
        return variables

    async def _connect(self, ports: dict[str, int]) -> None:
        lambdas = self.aws.lambdas
        for name in ("receiver", "api", *map(_function_name, self._plan.toolsets)):
            try:
                await lambdas.url(name, "NONE" if name in FUNCTIONS else "AWS_IAM", port=ports[name])
            except OSError as error:
                raise ConfigError(
                    f"port {ports[name]} on {HOST} cannot be used for the {name} ({error.strerror}); stop the process that has it, or use another directory with --state"
                ) from None
        # Last: from here on messages of an earlier run are processed, and everything must be there.
        lambdas.map("infinity-inbox.fifo", "agent", concurrency=self._plan.concurrency)
        lambdas.map("infinity-delay", "relay")
        lambdas.map("infinity-dead-letters.fifo", "dead_letters")
        self.aws.rules.every(SWEEP_SECONDS, lambdas.function("sweep"))


def _without_what_was_ahead(kept: dict[str, Any]) -> dict[str, Any]:
    """Of a database that was put back: the table remembers messages that are not applied any more, and the
    output queue what it was sent.
    """
    tables = [table for table in kept["tables"] if table["described"]["TableName"] != TABLE]
    queues = [queue for queue in kept["queues"] if queue["name"] != OUTPUT]
    return {**kept, "tables": tables, "queues": queues}


def _function_name(toolset: str) -> str:
    return f"toolset-{toolset}"


async def _make_keys(url: str) -> None:
    store = await opening.open_store(url)
    try:
        await callback_keys(store, time.time_ns() // 1_000_000)
    finally:
        await store.close()
