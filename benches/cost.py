"""What agents on AWS cost: requests that a slice makes to each service, counted at the stand-ins, times list prices; beside a container that waits.

The functions run as on Lambda, in processes of their own, fed by event source mappings. Two conversations are counted: a message and its answer (one slice), and a
message, a tool call, its result by callback, and the answer (two slices). An operation counts as one request, also where it writes several items. Prices are list
prices as documented in 2026, checked against no bill; what a transaction costs in DSQL's units is an assumption (``--units``), the number of transactions is not.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from cloud import StandIns, stand_ins
from infinity.aws.client import Aws
from infinity.aws.sqs import Queue, deduplication_id
from infinity.demo.daemon import free_port

MILLION = 1e6
INVOCATION = 0.20 / MILLION
GIGABYTE_SECOND = 0.0000166667
DSQL_UNIT = 8.0 / MILLION
DSQL_GIGABYTE_MONTH = 0.33
CONTAINER_HOUR = 0.05
PRICES = {
    "sqs": 0.50 / MILLION,
    "dynamodb write": 0.625 / MILLION,
    "dynamodb read": 0.125 / MILLION,
    "scheduler": 1.00 / MILLION,
}
READS = ("GetItem", "Query")
COUNTED_AFTER = 11.0
"""Seconds after which PostgreSQL has counted what a connection that rests has done."""
FUNCTIONS = {"agent": 300, "receiver": 30, "relay": 30}
AGENTS, DAYS = 10_000, 3


@dataclass
class Counted:
    """Of one conversation: ``requests`` by service and operation, ``invocations`` by function, transactions and bytes of the database."""

    slices: int
    requests: dict[str, float]
    invocations: dict[str, float]
    transactions: float
    bytes: float


@dataclass(frozen=True)
class Assumed:
    """``model`` and ``own``: seconds of an agent invocation, the model's and ours; ``units``: DSQL's, of one transaction; ``memory`` in GB."""

    model: float
    own: float
    units: float
    memory: float


async def counted(rounds: int, conversations: int) -> Counted:
    with tempfile.TemporaryDirectory() as folder:
        async with stand_ins(Path(folder), rounds) as made:
            await _deploy(made)
            name = uuid.uuid4().hex
            await _converse(made, [f"{name}-warm"])
            first, _ = await _database(made)
            transactions, before_bytes = await _database(made)
            looking = transactions - first
            requests = Counter(made.aws.counts)
            invocations = _invocations(made)
            await _converse(made, [f"{name}-{number}" for number in range(conversations)])
            ended, bytes_now = await _database(made)
            asked = Counter(made.aws.counts) - requests
            ran = _invocations(made) - invocations
            made.aws.lambdas.kill()
    # Polls that found nothing are paid for by the hour, whatever happens; see ``main``.
    asked["sqs.ReceiveMessage (mapping)"] = min(asked["sqs.ReceiveMessage (mapping)"], sum(ran.values()))
    return Counted(
        rounds + 1,
        {name: number / conversations for name, number in asked.items()},
        {name: number / conversations for name, number in ran.items()},
        (ended - transactions - looking) / conversations,
        (bytes_now - before_bytes) / conversations,
    )


async def _deploy(made: StandIns) -> None:
    aws, port = made.aws, free_port()
    environment = {**made.environment, "INFINITY_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    for name, timeout in FUNCTIONS.items():
        handler = f"infinity.cloud.handlers.{name}"
        aws.lambdas.create(name, handler, environment=environment, code=made.task, timeout=timeout)
    await aws.lambdas.url("receiver", port=port)
    aws.lambdas.map(made.environment["INFINITY_INBOX_QUEUE"], "agent")
    aws.lambdas.map(made.environment["INFINITY_DELAY_QUEUE"], "relay")


async def _converse(made: StandIns, threads: list[str]) -> None:
    """One after the other, so that each slice has a batch of its own: what is shared under load would be cheaper."""
    answers = made.aws.sqs.queue(made.environment["INFINITY_OUTPUT_QUEUE"])
    inbox = made.aws.sqs.queue(made.environment["INFINITY_INBOX_QUEUE"])
    client = Aws(made.environment)
    queue = Queue(client, made.environment["INFINITY_INBOX_QUEUE"])
    try:
        for thread in threads:
            body = f'{{"content": "Hello.", "group_id": "{thread}"}}'
            await queue.send(body, group=thread, deduplication_id=deduplication_id(thread, "said"))

            def settled(thread: str = thread) -> bool:
                replied = any(
                    message.group_id == thread and '"kind":"reply"' in message.body
                    for message in answers.messages()
                )
                return replied and not inbox.messages() and not made.aws.lambdas.busy

            await made.aws.until(settled, f"reply to {thread}", 60)
    finally:
        await client.close()


def _invocations(made: StandIns) -> Counter[str]:
    return Counter({name: made.aws.lambdas.function(name).invocations for name in FUNCTIONS})


async def _database(made: StandIns) -> tuple[int, int]:
    """Transactions that were committed, and bytes that are held."""
    connection = await asyncpg.connect(made.database)
    try:
        await asyncio.sleep(COUNTED_AFTER)
        done = await connection.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        return int(done), int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


def priced(found: Counted, assumed: Assumed) -> dict[str, float]:
    """Dollars of one conversation, by service."""
    costs: Counter[str] = Counter()
    for name, number in found.requests.items():
        service, operation = re.match(r"(\w+)\.(\w+)", name).groups()  # type: ignore[union-attr]
        if service == "dynamodb":
            service = "dynamodb read" if operation in READS else "dynamodb write"
        costs[service.partition(" ")[0]] += number * PRICES.get(service, 0.0)
    for name, number in found.invocations.items():
        seconds = assumed.own + (assumed.model if name == "agent" else 0.0)
        costs["lambda"] += number * (INVOCATION + seconds * assumed.memory * GIGABYTE_SECOND)
    costs["dsql"] += found.transactions * assumed.units * DSQL_UNIT
    return dict(costs)


def show(name: str, found: Counted, assumed: Assumed) -> float:
    """Dollars of one conversation."""
    print(f"\n{name}: {found.slices} {'slice' if found.slices == 1 else 'slices'}")
    for operation, number in sorted(found.requests.items()):
        print(f"  {operation:42} {number:7.2f}")
    for function, number in sorted(found.invocations.items()):
        if number:
            print(f"  {f'lambda: {function}':42} {number:7.2f}")
    print(f"  {'transactions in the database':42} {found.transactions:7.2f}")
    costs = priced(found, assumed)
    total = sum(costs.values())
    shares = ", ".join(f"{service} {cost / total:.0%}" for service, cost in sorted(costs.items()) if cost)
    print(f"  1,000 slices: ${total / found.slices * 1000:.4f} ({shares})")
    return total


async def main(chosen: argparse.Namespace) -> None:
    assumed = Assumed(chosen.model_seconds, chosen.own_seconds, chosen.units, chosen.memory)
    print(
        f"assumed: {assumed.model:g} s of the model and {assumed.own:g} s of ours in a slice, {assumed.memory:g} GB of memory, {assumed.units:g} DPU a transaction"
    )
    plain = await counted(0, chosen.conversations)
    show("a message and its answer", plain, assumed)
    tool = await counted(1, chosen.conversations)
    each = show("a message, a tool call, its result, the answer", tool, assumed)
    hours = DAYS * 24
    stored = AGENTS * tool.bytes / 2**30 * DSQL_GIGABYTE_MONTH * DAYS / 30
    # Each of the three mappings asks its queue with five long polls of 20 s; the sweep reads once in 15 minutes.
    polls = 3 * 5 * 3600 / 20 * hours * PRICES["sqs"]
    sweeps = (
        hours * 4 * (INVOCATION + assumed.own * assumed.memory * GIGABYTE_SECOND + assumed.units * DSQL_UNIT)
    )
    print(f"\n{AGENTS:,} agents that call a tool and wait {DAYS} days for its result")
    print(f"  {'the slices before and after':42} ${AGENTS * each:9.2f}")
    print(f"  {'what is stored meanwhile':42} ${stored:9.2f}")
    print(f"  {'polling of the queues, the sweep':42} ${polls + sweeps:9.2f}")
    print(f"  {'together':42} ${AGENTS * each + stored + polls + sweeps:9.2f}")
    print(f"  {'one container that waits for all of them':42} ${CONTAINER_HOUR * hours:9.2f}, and its slices")
    print(f"  {'a container that waits for each':42} ${CONTAINER_HOUR * hours * AGENTS:9.2f}")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--conversations", type=int, default=20)
    options.add_argument("--model-seconds", type=float, default=5.0)
    options.add_argument("--own-seconds", type=float, default=0.05)
    options.add_argument("--units", type=float, default=1.0, help="DPU of one transaction of DSQL")
    options.add_argument("--memory", type=float, default=1.0, help="GB")
    asyncio.run(main(options.parse_args()))
