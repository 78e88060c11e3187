"""Lambda with real processes that run AWS's own runtime client, as a caller of the service sees it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused
from tests.patience import PATIENCE

from infinity.emulator import Emulator
from infinity.emulator.lambdas import Function

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Lambda's runtime client is for Linux")
CODE = Path(__file__).parent / "functions"


def emulator(aws: Aws) -> Emulator:
    assert aws.emulator is not None
    return aws.emulator


@pytest.fixture
def function(aws: Aws) -> Function:
    return emulator(aws).lambdas.create(
        "function", "echo.handler", code=CODE, timeout=5, environment={"GREETING": "hello"}
    )


async def invoke(aws: Aws, event: Any, **more: Any) -> tuple[Any, str | None]:
    """The answer and the function's error."""
    answer = await aws.call(
        "lambda", "invoke", FunctionName="function", Payload=json.dumps(event).encode(), **more
    )
    body = answer["Payload"].read()
    return (json.loads(body) if body else None), answer.get("FunctionError")


async def test_a_function_answers_and_knows_who_it_is(aws: Aws, function: Function) -> None:
    answer, error = await invoke(aws, {"say": "hi"})
    assert error is None
    assert answer["event"] == {"say": "hi"}
    assert answer["environment"]["GREETING"] == "hello"
    assert answer["environment"]["AWS_ENDPOINT_URL"] == aws.endpoint
    assert answer["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "function"
    assert answer["arn"] == function.arn
    assert 4000 < answer["remaining"] <= 5000


async def test_an_environment_is_used_again_and_runs_one_invocation_at_a_time(
    aws: Aws, tmp_path: Path
) -> None:
    function = emulator(aws).lambdas.create("function", "echo.handler", code=CODE, timeout=60)
    busy, go = tmp_path / "busy", tmp_path / "go"
    first, _ = await invoke(aws, {})
    second, _ = await invoke(aws, {})
    assert (second["pid"], second["count"]) == (first["pid"], 2)
    held = asyncio.create_task(invoke(aws, {"tell": str(busy), "until": str(go)}))
    while not busy.exists():
        await asyncio.sleep(0.01)
    beside, _ = await invoke(aws, {"tell": str(go)})
    answer, _ = await held
    assert len({answer["pid"], beside["pid"]}) == 2
    assert function.starts == 2


async def test_an_environment_is_frozen_between_invocations(aws: Aws, function: Function) -> None:
    answer, _ = await invoke(aws, {})
    process = psutil.Process(answer["pid"])
    async with asyncio.timeout(PATIENCE):
        while process.status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0)
    again, _ = await invoke(aws, {})
    assert again["pid"] == answer["pid"]


async def test_an_exception_is_the_functions_error(aws: Aws, function: Function) -> None:
    answer, error = await invoke(aws, {"raise": "broken"})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "broken")
    again, _ = await invoke(aws, {})
    assert again["count"] == 2


async def test_a_function_that_takes_too_long_is_killed(aws: Aws) -> None:
    function = emulator(aws).lambdas.create("function", "echo.handler", code=CODE, timeout=0.5)
    answer, error = await invoke(aws, {"hang": True})
    assert error == "Unhandled" and "Task timed out after 0.50 seconds" in answer["errorMessage"]
    assert function.environments == []
    again, _ = await invoke(aws, {})
    assert again["count"] == 1


async def test_a_process_that_ends_fails_its_invocation(aws: Aws, function: Function) -> None:
    answer, error = await invoke(aws, {"exit": 3})
    assert error == "Unhandled" and answer["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in answer["errorMessage"]


async def test_an_environment_can_be_killed_at_any_moment(
    aws: Aws, function: Function, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    running = asyncio.create_task(invoke(aws, {"tell": str(started), "hang": True}))
    assert await asyncio.to_thread(started.read_text) == "running"
    assert function.kill() == 1
    answer, error = await running
    assert error == "Unhandled" and "signal: killed" in answer["errorMessage"]


async def test_a_module_that_cannot_be_imported_is_told(aws: Aws) -> None:
    emulator(aws).lambdas.create("function", "broken.handler", code=CODE)
    answer, error = await invoke(aws, {})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("RuntimeError", "no such luck")


async def test_layers_are_on_the_path(aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "layered.py").write_text("WORD = 'from the layer'")
    emulator(aws).lambdas.create("function", "echo.handler", code=CODE, layers=[tmp_path])
    answer, _ = await invoke(aws, {"import": "layered"})
    assert answer["word"] == "from the layer"


async def test_what_a_function_prints_is_kept(aws: Aws, function: Function) -> None:
    await invoke(aws, {"print": "a line"})
    await emulator(aws).until(lambda: "a line" in function.lines)


async def test_a_function_reaches_the_services_with_its_environment(aws: Aws, function: Function) -> None:
    emulator(aws).sqs.create("from-the-function")
    answer, error = await invoke(aws, {"sqs": "from-the-function"})
    assert error is None, answer
    [message] = emulator(aws).sqs.queue("from-the-function").messages()
    assert message.body == "from the function"


async def test_nothing_of_a_function_is_left_when_the_emulator_closes() -> None:
    async with Emulator() as made:
        function = made.lambdas.create("function", "echo.handler", code=CODE)
        outcome = await function.invoke(b"{}")
        pid = outcome.value()["pid"]
    assert not psutil.pid_exists(pid)


# invocations that nobody waits for


async def test_an_event_is_accepted_and_handled_later(aws: Aws, function: Function) -> None:
    answer = await aws.call(
        "lambda", "invoke", FunctionName="function", InvocationType="Event", Payload=b'{"say": 1}'
    )
    assert answer["StatusCode"] == 202
    await emulator(aws).until(lambda: not emulator(aws).lambdas.busy, "end of the event")
    [outcome] = function.outcomes
    assert outcome.value()["event"] == {"say": 1}


async def test_an_event_that_fails_is_tried_twice_more_and_then_given_up(aws: Aws) -> None:
    assert aws.clock is not None
    stand_in = emulator(aws)
    stand_in.sqs.create("failed")
    tries: list[Any] = []

    async def handler(event: Any, _: Any) -> None:
        tries.append(event)
        raise ValueError("broken")

    function = stand_in.lambdas.create("function", handler, on_failure=stand_in.sqs.arn("failed"))
    await aws.call("lambda", "invoke", FunctionName="function", InvocationType="Event", Payload=b"7")
    for count, pause in ((1, 60), (2, 120)):
        await stand_in.until(lambda count=count: len(function.outcomes) == count and not function.running)
        aws.clock.advance(pause - 1)
        await aws.call("sqs", "list_queues")
        assert len(tries) == count
        aws.clock.advance(1)
    await stand_in.until(lambda: not stand_in.lambdas.busy, "end of the event")
    assert tries == [7, 7, 7]
    [letter] = stand_in.sqs.queue("failed").messages()
    told = json.loads(letter.body)
    assert told["requestPayload"] == 7 and told["responsePayload"]["errorMessage"] == "broken"


async def test_an_event_has_one_megabyte_at_most(aws: Aws, function: Function) -> None:
    with refused("RequestTooLargeException"):
        await aws.call(
            "lambda",
            "invoke",
            FunctionName="function",
            InvocationType="Event",
            Payload=io.BytesIO(b'"' + b"x" * 1_000_001 + b'"'),
        )


# limits


async def test_reserved_concurrency_is_a_limit(aws: Aws) -> None:
    gate = asyncio.Event()

    async def handler(_: Any, __: Any) -> str:
        await gate.wait()
        return "done"

    stand_in = emulator(aws)
    function = stand_in.lambdas.create("function", handler, concurrency=1)
    first = asyncio.create_task(invoke(aws, {}))
    await stand_in.until(lambda: function.running == 1)
    with refused("TooManyRequestsException") as refusal:
        await invoke(aws, {})
    assert refusal.status == 429
    gate.set()
    assert await first == ("done", None)


async def test_a_function_that_is_not_there_is_said_not_to_be(aws: Aws) -> None:
    with refused("ResourceNotFoundException") as refusal:
        await invoke(aws, {})
    assert refusal.status == 404


async def test_variables_have_four_kilobytes_in_all(aws: Aws) -> None:
    from infinity.emulator import AwsError

    with pytest.raises(AwsError, match="4KB"):
        emulator(aws).lambdas.create("function", "x.y", environment={"A": "x" * 4096})
