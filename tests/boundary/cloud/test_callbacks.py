"""A callback is durable in the queue before its sender hears 200; whatever of AWS fails meanwhile, it is to be sent again, and then happens once."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.cloud import functions
from tests.boundary.cloud.functions import Functions
from tests.boundary.daemons import Answer
from tests.cloud.deployment import BUCKET

from infinity.callback_keys import RENEW_AFTER, callback_keys
from infinity.emulator.faults import broken, refused, reset, throttled
from infinity.errors import StoreError
from infinity.rap.capability import Capabilities, generate_key
from infinity.testing.tool_server import Invocation, ToolServer, tool


@pytest.fixture
async def invocation(tooled: Functions, server: ToolServer) -> Invocation:
    """An open call, and nobody who would run a slice of what comes back."""
    await tooled.thread("/call build {}", id="t")
    found = await server.invoked()
    await tooled.settled()
    await tooled.hold()
    return found


def result(invocation: Invocation, **changes: Any) -> dict[str, Any]:
    body = {"type": "tool_result", "group_id": invocation.group_id, "id": invocation.id, "text": "done"}
    return {**body, **changes}


async def back(cloud: Functions, invocation: Invocation, body: Any) -> Answer:
    return await cloud.post("/callback/" + invocation.callback_url.rpartition("/")[2], body)


@pytest.mark.rap("CB-3")
@pytest.mark.trap("L1")
async def test_what_was_answered_with_200_is_in_the_queue(tooled: Functions, invocation: Invocation) -> None:
    answer = await back(tooled, invocation, result(invocation))
    assert (answer.status, answer.body) == (200, {"status": "accepted", "id": invocation.id})
    [queued] = [json.loads(body) for body in tooled.queued()]
    assert (queued["thread"], queued["id"], queued["kind"]) == ("t", invocation.id, "result")
    assert tooled.aws.counts["sqs.SendMessage"] == 2, "the user's text, and this"


@pytest.mark.rap("CB-7")
@pytest.mark.parametrize("body", [[], {"type": "tool_result"}, {"type": "oauth"}], ids=str)
async def test_what_a_refused_callback_does_to_its_call_is_in_the_queue_before_the_4xx(
    tooled: Functions, invocation: Invocation, body: Any
) -> None:
    answer = await back(tooled, invocation, body)
    assert answer.status == 400
    [queued] = [json.loads(body) for body in tooled.queued()]
    assert (queued["thread"], queued["id"], queued["kind"]) == ("t", invocation.id, "result")
    assert "was refused by the runtime" in json.dumps(queued["body"])
    assert queued["body"].get("cancel", False) is (body == {"type": "oauth"})


@pytest.mark.rap("CB-3")
@pytest.mark.parametrize(
    "fault",
    [
        broken(503),
        broken(500, after=True),
        reset(),
        reset(after=True),
        throttled(),
        refused("AWS.SimpleQueueService.NonExistentQueue"),
        refused("AccessDenied", status=403),
        refused("InvalidClientTokenId", status=403),
    ],
    ids=["503", "500 after", "reset", "reset after", "throttled", "no queue", "denied", "bad keys"],
)
async def test_what_did_not_get_into_the_queue_is_to_be_sent_again_and_then_happens_once(
    tooled: Functions, invocation: Invocation, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tooled.host.aws, "_sleep", _at_once)
    rule = tooled.aws.faults.add("sqs", "SendMessage", fault)
    answer = await back(tooled, invocation, result(invocation))
    rule.remove()
    assert answer.status == 503 and answer.headers["Retry-After"]
    # A tool server is a stranger: no queue, no account, no service is named to it.
    assert answer.body["error"]["message"] == "the message could not be made durable; send it again"
    assert (await back(tooled, invocation, result(invocation))).status == 200
    assert len(tooled.queued()) == 1


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.mark.rap("CB-3")
async def test_a_database_that_does_not_answer_is_a_5xx(
    tooled: Functions, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any) -> Any:
        raise StoreError("the database secret.dsql.eu-central-1.on.aws does not answer")

    with monkeypatch.context() as broken_down:
        broken_down.setattr(tooled.host.store, "_look", down)
        answer = await back(tooled, invocation, result(invocation))
        assert answer.status == 503 and "secret" not in str(answer.body)
    assert tooled.queued() == []
    assert (await back(tooled, invocation, result(invocation))).status == 200


@pytest.mark.trap("R1")
async def test_a_table_that_does_not_answer_costs_nothing(tooled: Functions, invocation: Invocation) -> None:
    rule = tooled.aws.faults.add("dynamodb", "*", refused("AccessDeniedException"))
    assert (await back(tooled, invocation, result(invocation))).body["status"] == "accepted"
    rule.remove()


@pytest.mark.rap("CB-4")
async def test_a_result_sent_many_times_at_once_is_one_message(
    tooled: Functions, invocation: Invocation
) -> None:
    answers = await asyncio.gather(*(back(tooled, invocation, result(invocation)) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len(tooled.queued()) == 1


@pytest.mark.rap("CB-4")
async def test_a_result_that_was_applied_is_a_duplicate_whatever_it_says(
    tooled: Functions, server: ToolServer
) -> None:
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    assert (await back(tooled, invocation, result(invocation))).body["status"] == "accepted"
    await tooled.said(thread, "done")
    await tooled.settled()
    for _ in range(2):
        answer = await back(tooled, invocation, result(invocation, text="another"))
        assert (answer.status, answer.body) == (200, {"status": "duplicate"})
    assert "another" not in str((await tooled.get(f"/v1/threads/{thread}/entries")).body)


@pytest.mark.rap("VIEW-1")
async def test_the_latest_of_each_view_is_kept_and_shown(tooled: Functions, invocation: Invocation) -> None:
    for kind, content in (("diff", {"a": 1}), ("plan", ["x"]), ("diff", {"a": 2})):
        update = {"type": "view_update", "group_id": "t", "view_type": kind, "content": content}
        assert (await back(tooled, invocation, update)).body == {"status": "accepted"}
    views = (await tooled.get("/v1/threads/t/views")).body["views"]
    assert sorted(views, key=str) == [
        {"view_type": "diff", "content": {"a": 2}},
        {"view_type": "plan", "content": ["x"]},
    ]
    assert tooled.queued() == []
    assert (await tooled.get("/v1/threads/nobody/views")).status == 404


# Of aiohttp's client, for a body of more than 1 MiB.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_result_too_large_for_the_queue_goes_by_the_bucket(tmp_path: Path) -> None:
    async with ToolServer([tool("build")]) as server:
        config = f"[limits]\nmessage_bytes = 3000000\n[toolsets.ci]\nurl = '{server.base_url}'\n"
        async with functions.running(tmp_path / "cloud", config) as cloud:
            thread = await cloud.thread("/call build {}")
            invocation = await server.invoked()
            text = "large " * 400_000
            data = io.BytesIO(json.dumps(result(invocation, text=text)).encode())
            token = invocation.callback_url.rpartition("/")[2]
            headers = {"Content-Type": "application/json"}
            answer = await cloud.ask("POST", f"/callback/{token}", data=data, headers=headers)
            assert answer.body["status"] == "accepted"
            assert len(cloud.aws.s3.objects(BUCKET)) >= 1
            await cloud.said(thread, "large")
            # A page that would be too large for a function's answer ends early; nothing is left out.
            seen, after = [], -1
            while after is not None:
                page = (await cloud.get(f"/v1/threads/{thread}/entries?after={after}")).body
                seen += [entry["position"] for entry in page["entries"]]
                after = page["next"]
            assert seen == list(range(len(seen)))


@pytest.mark.trap("L19")
async def test_a_callback_url_outlives_every_process(tooled: Functions, server: ToolServer) -> None:
    thread = await tooled.thread("/call build {}")
    invocation = await server.invoked()
    await tooled.restart()
    assert (await back(tooled, invocation, result(invocation))).body["status"] == "accepted"
    await tooled.said(thread, "done")


@pytest.mark.rap("CB-5")
@pytest.mark.trap("L19")
async def test_a_process_that_lives_while_the_keys_are_renewed_knows_the_new_one_too(
    tooled: Functions, invocation: Invocation
) -> None:
    old = invocation.callback_url.rpartition("/")[2]
    later = tooled.clock.now() + RENEW_AFTER
    newer = Capabilities(await callback_keys(tooled.host.store, later), tooled.url)
    renewed = newer.url("t", invocation.id).rpartition("/")[2]
    assert (await tooled.post(f"/callback/{renewed}", result(invocation))).body["status"] == "accepted"
    for token in (old, renewed):
        assert (await tooled.post(f"/callback/{token}", {})).status == 400
    forged = Capabilities([generate_key()], tooled.url).url("t", invocation.id).rpartition("/")[2]
    assert (await tooled.post(f"/callback/{forged}", result(invocation))).status == 403


@pytest.mark.rap("CB-5")
async def test_a_token_that_cannot_be_judged_is_not_refused_for_good(
    tooled: Functions, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any) -> Any:
        raise StoreError("the database does not answer")

    monkeypatch.setattr(tooled.host.store, "_look", down)
    unknown = Capabilities([generate_key()], tooled.url).url("t", invocation.id).rpartition("/")[2]
    answer = await tooled.post(f"/callback/{unknown}", result(invocation))
    assert answer.status == 503 and "database" not in str(answer.body)
    # What cannot be a token of anybody's is not worth a question.
    for token in ("x", "v1.a.b.c", f"{unknown}x", f"v1.{'a' * 600}.b.c"):
        assert (await tooled.post(f"/callback/{token}", result(invocation))).status == 403
