"""Tools on Lambda: the guide's example in processes with AWS's own runtime client, used by an agent, inspected, killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.contract.rap_server.conftest import FakeRuntime
from tests.e2e.stage import EXAMPLES, LEISURELY, eventually

from infinity import Agent, Runtime
from infinity.emulator import Emulator
from infinity.emulator.lambdas import Function
from infinity.models.registry import Models
from infinity.models.scripted import ScriptedModel
from infinity.rap.address import Server
from infinity.rap.inspection import Outcome, inspect_server
from infinity.testing import Script, VirtualClock

pytest.importorskip("awslambdaric", reason="the runtime client of Lambda is not installed")
TABLE = "calls"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def aws(clock: VirtualClock) -> AsyncIterator[Emulator]:
    async with Emulator(clock) as emulator:
        client = emulator.client("dynamodb")
        await asyncio.to_thread(
            client.create_table,
            TableName=TABLE,
            KeySchema=[{"AttributeName": "call", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "call", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield emulator


async def deployed(aws: Emulator, code: Path, handler: str) -> tuple[Function, str]:
    """The function and its URL."""
    environment = {"CALLS_TABLE": TABLE}
    function = aws.lambdas.create("tools", handler, code=code, timeout=30, environment=environment)
    return function, (await aws.lambdas.url("tools")).rstrip("/")


@pytest.mark.rap("SRV-1", "SRV-2", "SRV-3", "SRV-5", "SRV-6", "THR-3")
async def test_an_agent_uses_tools_on_lambda_and_the_inspection_finds_nothing(
    aws: Emulator, tmp_path: Path
) -> None:
    function, url = await deployed(aws, EXAMPLES / "first_tool", "cloud.handler")
    script = (
        Script()
        .when("anvil")
        .call("weigh", item="an anvil", grams=50_000)
        .then()
        .say(lambda prompt: prompt.results[0].text)
    )
    models = Models(providers={"scripted": ScriptedModel(script)})
    async with Runtime.open(Agent(toolsets=[url]), tmp_path / "agent.db", models=models) as runtime:
        thread = await runtime.create()
        assert await runtime.ask(thread, "How heavy is an anvil?") == "an anvil is heavy."
    report = await inspect_server(Server(url), limits=LEISURELY)
    wrong = [*report.of(Outcome.BROKEN), *report.of(Outcome.WARNED)]
    assert (wrong, report.conforms) == ([], True), list(function.lines)


SLOW = """
import os, time
from infinity.rap import Toolset
from infinity.cloud import tool_function

tool_function.RETRY_SECONDS = 0  # the minute until Lambda's next try is not waited for here
tools = Toolset("slow")

def once(marker):
    first = not os.path.exists(marker)
    open(marker, "a").write("x")
    time.sleep(600 if first else 0)
    return "done"

@tools.tool
def pay(marker: str) -> str:
    "Pays."
    return once(marker)

@tools.tool(idempotent=True)
def set_price(marker: str) -> str:
    "Sets a price."
    return once(marker)

handler = tools.lambda_handler(table=os.environ["CALLS_TABLE"])
"""


@pytest.mark.rap("SRV-2", "SRV-6")
async def test_a_call_that_lambda_cuts_off_is_answered_and_not_run_twice_unless_it_may_be(
    aws: Emulator, clock: VirtualClock, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    runtime = FakeRuntime()
    await runtime.start()
    function, url = await deployed(aws, tmp_path, "slow.handler")
    for tool in ("pay", "set_price"):
        await runtime.invoke(url, tool, tool, arguments={"marker": str(tmp_path / tool)})
        await eventually(partial(there, tmp_path / tool), f"start of {tool}")
    assert function.kill() >= 2
    await aws.until(lambda: not function.running, "end of what was killed")
    await eventually(partial(wakes, clock), "pause before the retries")
    clock.advance(61)
    await runtime.called_back(2)
    texts = {each["id"]: each["text"] for each in runtime.callbacks}
    assert texts["set_price"] == "done"
    assert texts["pay"].startswith("Error: the function was cut off while pay was running; it may or may not")
    assert ((tmp_path / "pay").read_text(), (tmp_path / "set_price").read_text()) == ("x", "xx")
    await runtime.stop()


async def there(path: Path) -> bool:
    """And written: a process may be killed between the two."""
    return path.exists() and path.stat().st_size > 0


async def wakes(clock: VirtualClock) -> bool:
    return clock.next_due() is not None
