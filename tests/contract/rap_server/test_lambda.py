"""The kit on AWS Lambda, against an AWS that keeps what it is told: what is queued, when it is acknowledged, what runs once."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from tests.patience import PATIENCE

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.backoff import Backoff
from infinity.cloud import tool_function
from infinity.cloud.tool_function import TASK, LambdaHandler
from infinity.emulator import Emulator
from infinity.emulator.faults import reset
from infinity.errors import ConfigError
from infinity.rap.manifest import parse_manifest
from infinity.rap.server import Call, Subscription, Toolset
from infinity.testing import VirtualClock

from .conftest import FakeRuntime

ARN = "arn:aws:lambda:eu-central-1:1:function:tools"


class FakeAws:
    """``queued``: payloads of asynchronous invocations. ``broken``: nothing can be queued."""

    def __init__(self) -> None:
        self.queued: list[dict[str, Any]] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.broken = False

    async def rest(self, service: str, method: str, path: str, **fields: Any) -> None:
        if self.broken:
            raise AwsError("throttled", retryable=True)
        assert (service, method, path) == (
            "lambda",
            "POST",
            f"/2015-03-31/functions/{quote(ARN, safe='')}/invocations",
        )
        assert fields["headers"]["X-Amz-Invocation-Type"] == "Event"
        self.queued.append(json.loads(fields["body"]))

    async def json(self, service: str, operation: str, payload: dict[str, Any]) -> None:
        assert (service, operation) == ("dynamodb", "PutItem")
        assert payload.get("ConditionExpression") in (None, "attribute_not_exists(#call)")
        name = payload["Item"]["call"]["S"]
        if name in self.items and "ConditionExpression" in payload:
            raise AwsError(
                "it is there", service_code="ConditionalCheckFailedException", item=self.items[name]
            )
        self.items[name] = payload["Item"]

    async def close(self) -> None: ...


class Context:
    invoked_function_arn = ARN

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def request(
    path: str, body: Any = None, method: str = "POST", encoded: bool = False, **headers: str
) -> dict[str, Any]:
    """A Function URL's event."""
    text = "" if body is None else json.dumps(body)
    return {
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {"http": {"method": method, "path": path}, "domainName": "x.lambda-url.on.aws"},
        "body": base64.b64encode(text.encode()).decode() if encoded else text,
        "isBase64Encoded": encoded,
    }


def invocation(runtime: FakeRuntime, operation: str, id: str = "call_1", **arguments: Any) -> dict[str, Any]:
    return {
        "operation": operation,
        "arguments": arguments,
        "id": id,
        "call_id": "outer",
        "callback_url": runtime.callback_url,
        "group_id": "thread_1",
    }


RUNS: list[str] = []


def toolset() -> Toolset:
    tools = Toolset("cloud")
    RUNS.clear()

    @tools.tool
    async def add(a: int, b: int, call: Call) -> int:
        """Adds."""
        RUNS.append(call.id)
        await call.view("sum", a + b)
        return a + b

    @tools.tool
    async def ask(call: Call) -> str:
        """Asks."""
        return await call.ask("Which?", ["one"])

    @tools.tool
    async def hang() -> None:
        """Hangs."""
        await asyncio.Event().wait()

    @tools.tool
    def crash() -> None:
        """Crashes."""
        raise KeyError("lost")

    return tools


def made(aws: FakeAws, **options: Any) -> LambdaHandler:
    return LambdaHandler(toolset(), aws=lambda: cast(Aws, aws), backoff=Backoff(0.01, 0.02), **options)


async def called(handler: LambdaHandler, event: dict[str, Any], seconds: float = 60) -> Any:
    """As Lambda calls it: with no event loop running."""
    return await asyncio.to_thread(handler, event, Context(seconds))


@pytest.mark.rap("SRV-1")
async def test_it_describes_itself_at_its_function_url() -> None:
    reply = await called(made(FakeAws()), request("/.well-known/rap-toolset", method="GET"))
    found = parse_manifest(reply["body"].encode(), "https://x.lambda-url.on.aws")
    assert found.endpoint == "https://x.lambda-url.on.aws/invoke"


@pytest.mark.parametrize("wrong", [None, 7, "text", [], {}, [None], True], ids=repr)
@pytest.mark.parametrize(
    "name", ["headers", "requestContext", "body", "rawPath", "rawQueryString", "isBase64Encoded"]
)
async def test_an_event_with_anything_in_it_is_answered(name: str, wrong: Any) -> None:
    """Anyone who may invoke the function directly sends what they like."""
    reply = await called(made(FakeAws()), {**request("/invoke", {}), name: wrong})
    assert 400 <= reply["statusCode"] < 500
    missing = {key: value for key, value in request("/invoke", {}).items() if key != name}
    assert 400 <= (await called(made(FakeAws()), missing))["statusCode"] < 500


@pytest.mark.rap("SRV-1", "SRV-2")
@pytest.mark.parametrize("encoded", [False, True])
async def test_a_call_is_queued_then_acknowledged_then_run_then_answered(
    runtime: FakeRuntime, encoded: bool
) -> None:
    aws = FakeAws()
    handler = made(aws)
    reply = await called(handler, request("/invoke", invocation(runtime, "add", a=1, b=2), encoded=encoded))
    assert reply["statusCode"] == 200 and RUNS == []
    assert await called(handler, aws.queued.pop()) is None
    view, answer = runtime.callbacks
    assert (view["type"], view["content"]) == ("view_update", 3)
    named = {"type": "tool_result", "group_id": "thread_1", "id": "call_1", "call_id": "outer"}
    assert answer == {**named, "text": "3"}


@pytest.mark.trap("L1")
async def test_a_call_that_could_not_be_queued_is_not_acknowledged(runtime: FakeRuntime) -> None:
    aws = FakeAws()
    aws.broken = True
    reply = await called(made(aws), request("/invoke", invocation(runtime, "add", a=1, b=2)))
    assert reply["statusCode"] == 503


@pytest.mark.rap("SRV-2")
@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("nothing", "there is no tool"),
        ("add", "bad arguments"),
        ("crash", "KeyError"),
        ("ask", "cannot wait"),
        ("hang", "longer than 1 s"),
    ],
)
async def test_whatever_goes_wrong_is_answered_with_an_error(
    runtime: FakeRuntime, operation: str, words: str
) -> None:
    aws = FakeAws()
    handler = made(aws)
    await called(handler, request("/invoke", invocation(runtime, operation)))
    await called(handler, aws.queued.pop(), seconds=11 if operation == "hang" else 60)
    text = runtime.callbacks[-1]["text"]
    assert text.startswith("Error: ") and words in text


@pytest.mark.rap("SRV-3")
async def test_a_result_that_nobody_takes_is_queued_by_itself_and_the_function_does_not_run_again(
    runtime: FakeRuntime,
) -> None:
    aws = FakeAws()
    handler = made(aws)
    await called(handler, request("/invoke", invocation(runtime, "crash")))
    runtime.answers = [503] * 10_000
    await called(handler, aws.queued.pop(), seconds=2.1)
    (task,) = aws.queued
    assert task[TASK].keys() == {"deliver"}
    with pytest.raises(ConnectionError, match="tries again"):
        await called(handler, task, seconds=2.05)
    runtime.answers = [503]
    await called(handler, task)
    assert "KeyError" in runtime.callbacks[-1]["text"]


@pytest.mark.rap("SRV-5", "SRV-6")
async def test_with_a_table_a_call_runs_once_and_a_cancelled_one_not_at_all(runtime: FakeRuntime) -> None:
    aws = FakeAws()
    handler = made(aws, table="calls")
    for id in ("call_1", "call_1", "call_2"):
        await called(handler, request("/invoke", invocation(runtime, "add", id, a=1, b=2)))
    notice = {"thread_id": "thread_1", "tool_call_id": "call_2"}
    assert (await called(handler, request("/cancel_tool_call", notice)))["statusCode"] == 200
    for task in aws.queued:
        await called(handler, task)
    assert RUNS == ["call_1"]


@pytest.mark.rap("SRV-2", "SRV-6")
async def test_a_copy_of_an_event_whose_call_still_runs_does_not_tell_that_it_was_cut_off(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda delivers an event at least once, and a call may run for longer than the pause before a retry."""
    monkeypatch.setattr(tool_function, "BEAT_SECONDS", 0.01)
    aws, go_on = FakeAws(), threading.Event()
    tools = Toolset("slow")

    @tools.tool
    def pay() -> str:
        """Pays."""
        RUNS.append("paid")
        go_on.wait(PATIENCE)
        return "paid"

    RUNS.clear()
    handler = LambdaHandler(tools, aws=lambda: cast(Aws, aws), table="calls")
    await called(handler, request("/invoke", invocation(runtime, "pay")))
    (task,) = aws.queued
    first = asyncio.create_task(called(handler, task))
    async with asyncio.timeout(PATIENCE):
        while not RUNS:
            await asyncio.sleep(0.001)
        (key,) = aws.items
        # It has run for so long that it would be taken for cut off.
        aws.items[key] = {**aws.items[key], "at": {"N": "1"}}
        while aws.items[key]["at"]["N"] == "1":
            await asyncio.sleep(0.001)
    await called(handler, task)
    assert runtime.callbacks == []
    go_on.set()
    await first
    assert [each["text"] for each in runtime.callbacks] == ["paid"]
    assert aws.items[key]["state"]["S"] == "done"
    assert RUNS == ["paid"]


@pytest.mark.rap("SRV-5", "THR-3")
@pytest.mark.parametrize("body", [None, [], 5, {}, {"thread_id": 5}, {"thread_id": "t", "tool_call_id": "c"}])
@pytest.mark.parametrize("path", ["/close_thread", "/cancel_tool_call"])
async def test_notices_are_answered_with_200(path: str, body: Any) -> None:
    assert (await called(made(FakeAws(), table="calls"), request(path, body)))["statusCode"] == 200


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (request("/invoke", {"id": "x"}), 400),
        (request("/invoke", {"id": "x" * 2_000_000}), 400),
        (request("/elsewhere", {}), 404),
        ({}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused(event: dict[str, Any], status: int) -> None:
    assert (await called(made(FakeAws()), event))["statusCode"] == status


async def test_what_does_not_fit_into_the_queue_is_refused(runtime: FakeRuntime) -> None:
    event = request("/invoke", invocation(runtime, "add", a="x" * 1_100_000, b=0))
    assert (await called(made(FakeAws()), event))["statusCode"] == 413


async def test_a_token_keeps_strangers_out(runtime: FakeRuntime) -> None:
    aws = FakeAws()
    handler = made(aws, token="secret")
    event = request("/invoke", invocation(runtime, "add", a=1, b=2))
    assert (await called(handler, event))["statusCode"] == 401
    event["headers"]["authorization"] = "Bearer secret"
    assert (await called(handler, event))["statusCode"] == 200


def test_subscriptions_are_refused_when_the_handler_is_made() -> None:
    tools = Toolset("cloud")

    @tools.subscription
    async def watch(sub: Subscription) -> str:
        """Watches."""
        return "Watching."

    with pytest.raises(ConfigError, match="'watch' subscribes"):
        tools.lambda_handler()


@pytest.mark.parametrize("now", [1_796_067_685.123, 1_796_067_685.12, 1_796_067_600.0])
async def test_a_call_whose_beginning_was_recorded_without_an_answer_runs_all_the_same(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """The write is sent again, and what it finds is its own: at any time, since numbers come back without the zeros at their end."""
    monkeypatch.setattr(
        "infinity.cloud.tool_function.time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    )
    async with Emulator(VirtualClock()) as emulator:
        emulator.dynamodb.create("calls", "call")
        emulator.faults.add("dynamodb", "PutItem", reset(after=True), times=1)
        handler = LambdaHandler(toolset(), table="calls", aws=lambda: Aws(emulator.environment()))
        fields = {**invocation(runtime, "add", a=1, b=2), "origin": "https://x", "ancestors": []}
        await called(handler, {TASK: {"run": fields}})
    assert RUNS == ["call_1"] and runtime.callbacks[-1]["text"] == "3"


def test_no_client_of_aws_is_imported_before_it_is_needed() -> None:
    probe = (
        "import sys\nfrom infinity.rap.server import Toolset\ntools = Toolset('t')\n"
        "def f() -> None: 'F.'\ntools.tool(f)\nhandler = tools.lambda_handler()\n"
        "print('boto3' in sys.modules, 'aiohttp' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["False", "False"]
