"""Event sources are switched on: over the wire, against stand-ins, and through boto3's own idea of the answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.aws.starting import start
from infinity.emulator import AwsError as Refusal
from infinity.emulator import Emulator
from infinity.emulator.faults import Attempt


async def test_what_is_being_made_is_waited_for_and_what_runs_is_left_alone() -> None:
    async with Emulator() as emulator:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        async def busy(attempt: Attempt) -> Any:
            if len(waits) < 2:
                raise Refusal("ResourceInUseException", "The event source mapping is in use.", 400)
            return await attempt.act()

        emulator.lambdas.create("agent", lambda event, context: None, timeout=30)
        mapping = emulator.lambdas.map(emulator.sqs.create("inbox.fifo"), "agent")
        await mapping.disable()
        emulator.faults.add("lambda", "UpdateEventSourceMapping", busy)
        aws = Aws(emulator.environment())
        try:
            assert await start(aws, [mapping.id], [], sleep) == 1
            assert len(waits) == 2 and mapping.enabled
            assert await start(aws, [mapping.id], [], sleep) == 0
            with pytest.raises(AwsError, match="ResourceNotFoundException"):
                await start(aws, ["nothing"], [], sleep)
        finally:
            await aws.close()
        client = emulator.client("lambda")
        off = await asyncio.to_thread(client.update_event_source_mapping, UUID=mapping.id, Enabled=False)
        assert off["UUID"] == mapping.id and not mapping.enabled
        seen = await asyncio.to_thread(client.get_event_source_mapping, UUID=mapping.id)
        assert seen["State"] == "Disabled" and seen["FunctionArn"].endswith(":function:agent")
        await asyncio.to_thread(client.close)


async def test_a_rule_is_described_and_enabled_as_boto3_understands_it() -> None:
    async with Emulator() as emulator:
        emulator.rules.every(900, emulator.lambdas.create("sweep", lambda event, context: None))
        client = emulator.client("events")
        await asyncio.to_thread(client.disable_rule, Name="sweep")
        assert (await asyncio.to_thread(client.describe_rule, Name="sweep"))["State"] == "DISABLED"
        aws = Aws(emulator.environment())
        try:
            assert await start(aws, [], ["sweep"]) == 1
            assert await start(aws, [], ["sweep"]) == 0
        finally:
            await aws.close()
        assert (await asyncio.to_thread(client.describe_rule, Name="sweep"))["State"] == "ENABLED"
        await asyncio.to_thread(client.close)
