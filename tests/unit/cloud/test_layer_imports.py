"""Whatever the layer leaves out, no handler imports: a whole round, run by Lambda's runtime client in processes where it cannot be imported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.contract.databases import database_url
from tests.patience import PATIENCE
from tests.ports import free_port

from infinity.aws.client import Aws
from infinity.aws.sqs import Queue, deduplication_id
from infinity.callback_keys import callback_keys
from infinity.deploy.layer import archive
from infinity.deploy.layer.dependencies import LEFT_OUT
from infinity.emulator import Emulator
from infinity.stores.postgres.opening import open_store
from infinity.testing.tool_server import ToolServer, tool

TO_THE_RUNTIME = ("boto3", "botocore")
ELSEWHERE = ("mcp", "openai", "uvicorn", "hypercorn", "pytest")
GUARD = f"""
import sys


class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {(*LEFT_OUT, *TO_THE_RUNTIME, *ELSEWHERE)!r} or name in {tuple(f"infinity.{each}" for each in archive.LEFT_OUT)!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the layer", name=name)


sys.meta_path.insert(0, Guard())
from infinity.cloud.handlers import agent, api, dead_letters, receiver, relay, sweep
"""


def event(kind: str, **data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def turn(block: dict[str, object], delta: dict[str, object], reason: str) -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return b"".join(
        [
            event("message_start", message=message),
            event("content_block_start", index=0, content_block=block),
            event("content_block_delta", index=0, delta=delta),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": reason}, usage=usage),
            event("message_stop"),
        ]
    )


CALL = turn(
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
    {"type": "input_json_delta", "partial_json": "{}"},
    "tool_use",
)
ANSWER = turn({"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."}, "end_turn")


@pytest.fixture
async def model() -> AsyncIterator[str]:
    """The Messages API: calls ``look`` until there is a result."""

    async def messages(request: web.Request) -> web.Response:
        body = ANSWER if b'"tool_result"' in await request.read() else CALL
        return web.Response(body=body, content_type="text/event-stream")

    application = web.Application()
    application.router.add_post("/v1/messages", messages)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_round_imports_nothing_that_the_layer_leaves_out(tmp_path: Path, model: str) -> None:
    async with ToolServer([tool("look")]) as tools, Emulator() as aws:
        port = free_port()
        environment = await deployed(aws, tmp_path, f"http://127.0.0.1:{port}")
        (tmp_path / "infinity.toml").write_text(
            f"""
            [models]
            default = "anthropic/m"
            [models.providers.anthropic]
            base_url = "{model}"
            api_key = "none"
            [toolsets.tools]
            url = "{tools.base_url}"
            """
        )
        (tmp_path / "guarded.py").write_text(GUARD)
        functions = ("agent", "receiver", "api", "relay", "dead_letters", "sweep")
        made = {
            name: aws.lambdas.create(
                name, f"guarded.{name}", environment=environment, code=tmp_path, timeout=30
            )
            for name in functions
        }
        await aws.lambdas.url("receiver", port=port)
        aws.lambdas.map(environment["INFINITY_INBOX_QUEUE"], "agent")
        client = Aws(environment)
        inbox = Queue(client, environment["INFINITY_INBOX_QUEUE"])
        try:
            body = '{"content": "Look.", "group_id": "t"}'
            await inbox.send(body, group="t", deduplication_id=deduplication_id("t", "1"))
            invocation = await tools.invoked()
            await tools.answer(invocation.id, "seen")
            output = aws.sqs.queue(environment["INFINITY_OUTPUT_QUEUE"])
            await aws.until(
                lambda: any('"Done."' in message.body for message in output.messages()), seconds=30
            )
            for name in ("api", "relay", "dead_letters", "sweep"):
                outcome = await invoked(client, name)
                assert "is not in the layer" not in json.dumps(outcome), name
                assert "errorType" not in outcome, (name, outcome)
                assert outcome.get("statusCode", 200) == 200, outcome
        finally:
            await client.close()
        said = [line for function in made.values() for line in function.lines]
        assert not [line for line in said if "is not in the layer" in line]


async def deployed(aws: Emulator, folder: Path, public_url: str) -> dict[str, str]:
    database = await database_url(folder)
    store = await open_store(database)
    await callback_keys(store, 1)
    await store.close()
    aws.dynamodb.create("items", "pk", "sk", expires="expires")
    aws.s3.create("claims")
    return {
        **aws.environment(),
        "INFINITY_STORE": database,
        "INFINITY_INBOX_QUEUE": aws.sqs.create("inbox.fifo"),
        "INFINITY_DELAY_QUEUE": aws.sqs.create("delay"),
        "INFINITY_OUTPUT_QUEUE": aws.sqs.create("output.fifo"),
        "INFINITY_SCHEDULE_GROUP": "default",
        "INFINITY_SCHEDULE_ROLE": "arn:aws:iam::000000000000:role/schedules",
        "INFINITY_TABLE": "items",
        "INFINITY_BUCKET": "claims",
        "INFINITY_PUBLIC_URL": public_url,
        "INFINITY_API_TOKEN": "token",
    }


async def invoked(client: Aws, name: str) -> dict[str, object]:
    """What came of the least that each of them takes."""
    http = {"method": "GET", "path": "/v1/toolsets"}
    asked = {
        "rawPath": "/v1/toolsets",
        "rawQueryString": "",
        "headers": {"authorization": "Bearer token"},
        "requestContext": {"http": http},
        "isBase64Encoded": False,
    }
    body = json.dumps(asked if name == "api" else {"Records": []}).encode()
    path = f"/2015-03-31/functions/{name}/invocations"
    answer = await asyncio.wait_for(
        client.rest("lambda", "POST", path, operation="Invoke", body=body), PATIENCE
    )
    found: dict[str, object] = json.loads(answer.body)
    return found
