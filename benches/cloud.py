"""What the benches of the cloud host stand on: AWS's stand-ins and PostgreSQL on loopback, a model that answers at once, a function's folder."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinity.callback_keys import callback_keys
from infinity.demo.daemon import free_port
from infinity.deploy.layer.runtime import Ran, Started, run
from infinity.emulator import Emulator
from infinity.stores.postgres.opening import migrate, open_store
from processes import model_config, script

ROOT = Path(__file__).parents[1]
AGENT = "infinity.cloud.handlers.agent"
TRIVIAL = "trivial.handler"
PROBE = """
import os, sys, time
started = time.process_time()
task, report, handler, first, then = sys.argv[1:]
sys.path.insert(0, task)
sys.dont_write_bytecode = True
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
marks = {"interpreter": started, "awslambdaric": time.process_time()}
exec(first)

class Client(LambdaRuntimeClient):
    def wait_next_invocation(self):
        cpu = time.process_time()
        exec(then)
        with open(report, "a") as out:
            import json
            out.write(json.dumps({**marks, "cpu": cpu}) + chr(10))
        return super().wait_next_invocation()

bootstrap.run(handler, Client(os.environ["AWS_LAMBDA_RUNTIME_API"]))
"""
"""Lambda's own client; before each question for work it notes the CPU that the process has used. ``first`` and ``then`` may note more."""


@dataclass(frozen=True)
class StandIns:
    """``environment``: of every function. ``database``: its URL. ``task``: the functions' folder."""

    aws: Emulator
    database: str
    environment: Mapping[str, str]
    task: Path
    servers: str
    """Of the model and the tools."""


@asynccontextmanager
async def stand_ins(folder: Path, rounds: int = 0) -> AsyncIterator[StandIns]:
    """``rounds``: of tool calls before the model says something; the tool server is configured only if there are any."""
    sys.path.insert(0, str(ROOT))
    from tests.contract.postgresql import server_url

    database = server_url()
    await migrate(database)
    store = await open_store(database)
    await callback_keys(store, int(time.time() * 1000))
    await store.close()
    task = folder / "task"
    task.mkdir()
    (task / "trivial.py").write_text("def handler(event, context):\n    return {'batchItemFailures': []}\n")
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    tools = f'\n[toolsets.bench]\nurl = "{servers}"\n' if rounds else ""
    (task / "infinity.toml").write_text(model_config(servers) + tools)
    running = script("servers.py", port, "--rounds", rounds)
    # Waiting for its first line, or its end, would hold up the stand-ins.
    await asyncio.to_thread(running.__enter__)
    try:
        async with Emulator() as aws:
            yield StandIns(aws, database, {**aws.environment(), **_places(aws, database)}, task, servers)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def _places(aws: Emulator, database: str) -> dict[str, str]:
    aws.dynamodb.create("items", "pk", "sk", expires="expires")
    aws.s3.create("claims")
    return {
        "INFINITY_STORE": database,
        "INFINITY_INBOX_QUEUE": aws.sqs.create("inbox.fifo", VisibilityTimeout=1800),
        "INFINITY_DELAY_QUEUE": aws.sqs.create("delay", VisibilityTimeout=180),
        "INFINITY_OUTPUT_QUEUE": aws.sqs.create("output.fifo"),
        "INFINITY_SCHEDULE_GROUP": "default",
        "INFINITY_SCHEDULE_ROLE": "arn:aws:iam::000000000000:role/schedules",
        "INFINITY_TABLE": "items",
        "INFINITY_BUCKET": "claims",
        "INFINITY_PUBLIC_URL": "http://127.0.0.1:9",
    }


async def measured(
    made: StandIns, handler: str, events: Sequence[Any], *, first: str = "pass", then: str = "pass"
) -> tuple[Ran, list[dict[str, Any]]]:
    """A fresh process, the events one after the other; its notes, one before each question for work."""
    report = made.task.parent / f"report-{uuid.uuid4().hex}"
    log = made.task.parent / "log"
    command = [sys.executable, "-c", PROBE, str(made.task), str(report), handler, first, then]
    environment = {
        **made.environment,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": str(made.task),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
    ran = await run(Started(command, environment, made.task, log), events)
    failures = [*filter(None, [ran.broken]), *(outcome for outcome in ran.outcomes if outcome.error)]
    if failures:
        raise SystemExit(f"the function failed: {failures[0].payload.decode()}\n{log.read_text()[-2000:]}")
    for outcome in ran.outcomes:
        if outcome.value() != {"batchItemFailures": []}:
            raise SystemExit(f"a slice failed: {outcome.payload.decode()}\n{log.read_text()[-2000:]}")
    return ran, [json.loads(line) for line in report.read_text().splitlines()]


def said(thread: str, text: str = "Hello.") -> dict[str, Any]:
    """A batch of one message that a person sent, as an event source mapping hands it over."""
    body = {"content": {"type": "text", "text": text}, "group_id": thread}
    attributes = {
        "MessageGroupId": thread,
        "ApproximateReceiveCount": "1",
        "SentTimestamp": str(int(time.time() * 1000)),
    }
    record = {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "bench",
        "body": json.dumps(body),
        "attributes": attributes,
        "eventSource": "aws:sqs",
    }
    return {"Records": [record]}
