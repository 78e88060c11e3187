"""The kit for tool servers, from the outside: what a runtime sees of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.backoff import Backoff
from infinity.errors import ConfigError, DamagedStore, StoreLocked
from infinity.rap.discovery import fetch
from infinity.rap.manifest import parse_manifest
from infinity.rap.server import (
    Call,
    Event,
    Image,
    Result,
    Subscription,
    ToolError,
    Toolset,
    ToolsetServer,
    Webhook,
)
from infinity.rap.server import store as store_module
from infinity.rap.wire import read_callback

from .conftest import FakeRuntime

AT_ONCE = Backoff(first=0.01, longest=0.02)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "tools.db"


def served(tools: Toolset, state: Path, **more: Any) -> ToolsetServer:
    return ToolsetServer(tools, state, backoff=AT_ONCE, **more)


def ci() -> Toolset:
    tools = Toolset("ci", "What the build machines know.")

    @tools.tool(read_only=True, display_script='"CI of " + args.branch')
    async def status(branch: str, limit: int = 10) -> str:
        """The state of a branch's last builds."""
        return f"{branch}: green ({limit})"

    return tools


@pytest.mark.rap("SRV-1")
async def test_discovery_describes_the_functions(runtime: FakeRuntime, state: Path) -> None:
    async with served(ci(), state) as server:
        assert runtime.session is not None
        toolset = await fetch(server.base_url, runtime.session)
        assert (toolset.name, toolset.endpoint) == ("ci", f"{server.base_url}/invoke")
        (tool,) = toolset.tools
        assert (tool.name, tool.description) == ("status", "The state of a branch's last builds.")
        assert tool.input_schema == {
            "type": "object",
            "properties": {"branch": {"type": "string"}, "limit": {"type": "integer", "default": 10}},
            "required": ["branch"],
            "additionalProperties": False,
        }
        assert tool.read_only
        assert tool.display_script == '"CI of " + args.branch'


@pytest.mark.rap("SRV-1")
async def test_an_invocation_is_acknowledged_before_the_work_is_done(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, go_on = Toolset("slow"), asyncio.Event()

    @tools.tool
    async def wait() -> str:
        """Waits."""
        await go_on.wait()
        return "waited"

    async with served(tools, state) as server:
        assert await runtime.invoke(server.base_url, "wait") == 200
        assert runtime.callbacks == []
        go_on.set()
        assert (await runtime.called_back())["text"] == "waited"


@pytest.mark.rap("SRV-1")
async def test_a_result_goes_back_to_its_call(runtime: FakeRuntime, state: Path) -> None:
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"}, call_id="outer")
        assert await runtime.called_back() == {
            "type": "tool_result",
            "group_id": "thread_1",
            "id": "call_1",
            "call_id": "outer",
            "text": "main: green (10)",
        }


RETURNED: list[tuple[Any, dict[str, Any]]] = [
    ("text", {"text": "text"}),
    (None, {"text": "Done."}),
    ({"a": [1, None]}, {"text": '{"a":[1,null]}'}),
    (["a", "b"], {"text": '["a","b"]'}),
    ([], {"text": "[]"}),
    (3.5, {"text": "3.5"}),
    (Image(b"x", "image/png"), {"content": [{"type": "image", "data": "eA==", "mediaType": "image/png"}]}),
    (
        ["see", Image(b"x", "image/png")],
        {
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image", "data": "eA==", "mediaType": "image/png"},
            ]
        },
    ),
    (
        Result(text="1", display_as=[{"type": "text", "content": "one"}]),
        {"text": "1", "display_as": [{"type": "text", "content": "one"}]},
    ),
    (Result(), {"text": "Done."}),
]


@pytest.mark.parametrize(("value", "fields"), RETURNED, ids=[str(value)[:30] for value, _ in RETURNED])
async def test_what_a_function_returns_becomes_a_valid_result(
    runtime: FakeRuntime, state: Path, value: Any, fields: dict[str, Any]
) -> None:
    tools = Toolset("values")

    @tools.tool
    def give() -> Any:
        """Gives something."""
        return value

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "give")
        callback = await runtime.called_back()
    assert read_callback(json.dumps(callback).encode(), 1 << 20)
    named = {"type": "tool_result", "group_id": "thread_1", "id": "call_1"}
    assert callback == {**named, **fields}


def failing_tools() -> Toolset:
    tools = ci()

    @tools.tool
    async def refuse() -> str:
        """Refuses."""
        raise ToolError("no such branch; try 'main'")

    @tools.tool
    def crash() -> str:
        """Crashes."""
        raise KeyError("lost")

    return tools


@pytest.mark.rap("SRV-2", "RES-5")
@pytest.mark.trap("M2")
@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("nothing", {}, ["there is no tool 'nothing' here", "status"]),
        ("status", {}, ["bad arguments", "branch: Field required"]),
        ("status", {"branch": 5}, ["branch: Input should be a valid string"]),
        ("status", {"branch": "main", "colour": "red"}, ["colour: Extra inputs are not permitted"]),
        ("refuse", {}, ["no such branch; try 'main'"]),
        ("crash", {}, ["crash failed: KeyError: 'lost'"]),
    ],
)
async def test_whatever_goes_wrong_is_acknowledged_and_answered_with_an_error(
    runtime: FakeRuntime, state: Path, operation: str, arguments: dict[str, Any], words: list[str]
) -> None:
    async with served(failing_tools(), state) as server:
        assert await runtime.invoke(server.base_url, operation, arguments=arguments) == 200
        text = (await runtime.called_back())["text"]
    assert text.startswith("Error: ")
    assert all(word in text for word in words)
    assert "Traceback" not in text


@pytest.mark.rap("SRV-2")
@pytest.mark.parametrize(
    "fields",
    [
        {"callback_url": "nonsense"},
        {"callback_url": None},
        {"callback_url": "file:///etc/passwd"},
        {"group_id": None},
        {"group_id": 5},
        {"group_id": "x" * 257},
        {"id": None},
        {"id": ""},
        {"id": "x" * 257},
    ],
)
async def test_an_invocation_that_nobody_could_answer_is_refused(
    runtime: FakeRuntime, state: Path, fields: dict[str, Any]
) -> None:
    async with served(ci(), state) as server:
        assert await runtime.invoke(server.base_url, "status", **fields) == 400


@pytest.mark.rap("SRV-2")
@pytest.mark.parametrize(
    "fields",
    [
        {"operation": None},
        {"operation": 5},
        {"arguments": []},
        {"arguments": None},
        {"thread_ancestors": "root"},
        {"thread_ancestors": [None]},
        {"user_id": 5},
        {"call_id": {}},
    ],
)
async def test_an_invocation_that_makes_no_sense_is_answered_with_an_error(
    runtime: FakeRuntime, state: Path, fields: dict[str, Any]
) -> None:
    async with served(ci(), state) as server:
        assert await runtime.invoke(server.base_url, **{"operation": "status", **fields}) == 200
        answer = await runtime.called_back()
        assert answer["id"] == "call_1"
        assert answer["text"].startswith(f"Error: bad invocation: $.{next(iter(fields))}")


@pytest.mark.rap("SRV-6")
async def test_an_invocation_that_arrives_many_times_runs_once(runtime: FakeRuntime, state: Path) -> None:
    tools, runs = Toolset("count"), []

    @tools.tool
    async def run(call: Call) -> str:
        """Runs."""
        runs.append(call.id)
        return "ran"

    async with served(tools, state) as server:
        statuses = await asyncio.gather(*(runtime.invoke(server.base_url, "run") for _ in range(20)))
        assert statuses == [200] * 20
        await runtime.called_back()
        assert await runtime.invoke(server.base_url, "run") == 200
        await runtime.invoke(server.base_url, "run", "call_2")
        await runtime.called_back(2)
    async with served(tools, state) as server:
        assert await runtime.invoke(server.base_url, "run") == 200
        await runtime.invoke(server.base_url, "run", "call_3")
        await runtime.called_back(3)
    assert runs == ["call_1", "call_2", "call_3"]


@pytest.mark.rap("SRV-3")
@pytest.mark.parametrize("answers", [[500], [503, 500, 502], [429]])
async def test_a_callback_is_sent_again_until_it_is_taken(
    runtime: FakeRuntime, state: Path, answers: list[int]
) -> None:
    runtime.answers = list(answers)
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"})
        await runtime.called_back(len(answers) + 1)
        await runtime.invoke(server.base_url, "status", "call_2", arguments={"branch": "main"})
        await runtime.called_back(len(answers) + 2)
    assert [callback["id"] for callback in runtime.callbacks] == ["call_1"] * (len(answers) + 1) + ["call_2"]


@pytest.mark.rap("SRV-3")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410])
async def test_a_callback_that_is_refused_is_not_sent_again(
    runtime: FakeRuntime, state: Path, status: int
) -> None:
    runtime.answers = [status]
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"})
        await runtime.called_back()
        await runtime.invoke(server.base_url, "status", "call_2", arguments={"branch": "main"})
        await runtime.called_back(2)
    async with served(ci(), state) as server:
        await runtime.invoke(server.base_url, "status", "call_3", arguments={"branch": "main"})
        await runtime.called_back(3)
    assert [callback["id"] for callback in runtime.callbacks] == ["call_1", "call_2", "call_3"]


@pytest.mark.rap("SRV-2")
async def test_a_result_too_large_for_what_is_between_is_sent_again_in_part(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "begin" + "x" * 3_000_000 + "end"

    runtime.answers = [413]
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        text = (await runtime.called_back(2))["text"]
    assert text.startswith("begin") and text.endswith("end")
    assert "characters were left out here" in text and len(text) < 1_000_000


@pytest.mark.rap("CB-8", "SRV-2")
async def test_a_result_larger_than_a_runtime_takes_is_shortened_not_refused(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "begin" + "x" * 9_000_000 + "end"

    @tools.tool
    def look() -> Result:
        """Looks."""
        return Result(content=["what it shows", Image(b"x" * 7_000_000, "image/png")])

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        text = (await runtime.called_back())["text"]
        await runtime.invoke(server.base_url, "look", "call_2")
        shown = (await runtime.called_back(2))["content"]
    assert text.startswith("begin") and text.endswith("end")
    assert 7_000_000 < len(text) < 8 << 20
    assert shown[0]["text"] == "what it shows"
    assert "an image of 700000" in shown[1]["text"]


@pytest.mark.rap("SRV-2")
async def test_a_result_too_large_for_the_runtime_is_replaced_by_an_error(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("large")

    @tools.tool
    def read() -> str:
        """Reads."""
        return "x" * 100_000

    runtime.answers = [413]
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "read")
        assert (await runtime.called_back(2))["text"].startswith("Error: the runtime refused")


@pytest.mark.rap("SRV-3", "SRV-4")
@pytest.mark.trap("L14")
async def test_a_callback_that_could_not_be_delivered_survives_a_restart(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(ci(), state) as server:
        await runtime.stop()
        assert runtime.session is not None
        port = runtime.callback_url
        client = FakeRuntime()
        await client.start()
        await client.invoke(server.base_url, "status", arguments={"branch": "main"}, callback_url=port)
        await client.stop()
    await runtime.start()
    async with served(ci(), state):
        assert (await runtime.called_back())["text"] == "main: green (10)"


@pytest.mark.rap("SRV-2")
async def test_a_call_that_a_restart_interrupted_is_answered_with_an_error(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, begun, runs = Toolset("slow"), asyncio.Event(), []

    @tools.tool
    async def pay() -> str:
        """Pays."""
        runs.append(1)
        begun.set()
        await asyncio.Event().wait()
        return "paid"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "pay")
        await begun.wait()
    async with served(tools, state):
        text = (await runtime.called_back())["text"]
    assert text.startswith("Error: ")
    assert "may or may not" in text
    assert runs == [1]


async def test_a_tool_that_may_be_repeated_runs_again_after_a_restart(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, begun, runs = Toolset("slow"), asyncio.Event(), []

    @tools.tool(idempotent=True)
    async def look() -> str:
        """Looks."""
        runs.append(1)
        begun.set()
        if len(runs) == 1:
            await asyncio.Event().wait()
        return "seen"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "look")
        await begun.wait()
    async with served(tools, state):
        assert (await runtime.called_back())["text"] == "seen"
    assert runs == [1, 1]


@pytest.mark.rap("SRV-5", "CAN-1")
async def test_a_cancelled_call_stops_and_says_nothing(runtime: FakeRuntime, state: Path) -> None:
    tools, begun, stopped = Toolset("slow"), asyncio.Event(), asyncio.Event()

    @tools.tool
    async def wait() -> str:
        """Waits."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    @tools.tool
    async def quick() -> str:
        """Quick."""
        return "quick"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "wait")
        await begun.wait()
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(f"{server.base_url}/cancel_tool_call", body) == 200
        await asyncio.wait_for(stopped.wait(), PATIENCE)
        await runtime.invoke(server.base_url, "quick", "call_2")
        assert (await runtime.called_back())["id"] == "call_2"
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "quick", "call_3")
        assert (await runtime.called_back(2))["id"] == "call_3"


@pytest.mark.rap("SRV-5", "THR-3")
@pytest.mark.trap("S2")
@pytest.mark.parametrize("path", ["/close_thread", "/cancel_tool_call"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        5,
        {"thread_id": 5},
        {"thread_id": None, "tool_call_id": []},
        {"thread_id": "../../etc", "tool_call_id": "'; DROP TABLE invocations; --"},
        {"thread_id": "x" * 100_000, "tool_call_id": "\u0000"},
    ],
)
async def test_a_notice_is_answered_with_200_whatever_it_says(
    runtime: FakeRuntime, state: Path, path: str, body: Any
) -> None:
    async with served(ci(), state) as server:
        assert await runtime.post(server.base_url + path, body) == 200
        await runtime.invoke(server.base_url, "status", arguments={"branch": "main"})
        await runtime.called_back()


def watching(on_setup: Callable[[Subscription], None] = lambda _: None) -> Toolset:
    tools = Toolset("builds")

    @tools.subscription
    async def watch(repo: str, subscription: Subscription) -> str:
        """Tells when a build ends."""
        on_setup(subscription)
        if repo == "unknown":
            raise ToolError("no such repository")
        return f"Watching {repo}."

    @tools.webhook("/hook")
    async def hook(request: Webhook) -> int | None:
        if request.headers.get("x-secret") != "s":
            return 401
        for subscription in await tools.subscriptions(watch):
            event = json.loads(request.body)
            if subscription.arguments["repo"] == event["repo"]:
                await subscription.send(Event(event["text"], id=event["id"], final=event.get("final", False)))
        return None

    return tools


async def hook(runtime: FakeRuntime, server: ToolsetServer, id: str, **more: Any) -> None:
    body = {"repo": "a", "text": f"built {id}", "id": id, **more}
    assert await runtime.post(f"{server.base_url}/hook", body, **{"X-Secret": "s"}) == 200


@pytest.mark.rap("SRV-4", "RES-4")
async def test_a_subscription_is_confirmed_and_then_sends_events(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        confirmation = await runtime.called_back()
        assert (confirmation["text"], confirmation["subscription"]) == (
            "Watching a.\n\nThe subscription's tool_call_id is call_1.",
            True,
        )
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d2", repo="b")
        await hook(runtime, server, "d3")
        assert await runtime.called_back(3)
    for callback in runtime.callbacks:
        read_callback(json.dumps(callback).encode(), 1 << 20)
    assert runtime.callbacks[1:] == [
        {
            "type": "subscription_event",
            "group_id": "thread_1",
            "tool_call_id": "call_1",
            "text": f"built {id}",
            "associative": False,
            "final": False,
            "event_id": id,
            "seq": seq,
        }
        for seq, id in [(1, "d1"), (2, "d3")]
    ]


@pytest.mark.rap("SRV-4")
async def test_a_subscription_goes_on_after_a_restart(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
    async with served(watching(), state) as server:
        await hook(runtime, server, "d1")
        assert (await runtime.called_back(2))["text"] == "built d1"


@pytest.mark.rap("SRV-4")
async def test_nothing_is_sent_after_the_final_event(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        await hook(runtime, server, "last", final=True)
        await hook(runtime, server, "late")
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.until(lambda: any(each.get("id") == "call_2" for each in runtime.callbacks))
    events = [each["event_id"] for each in runtime.callbacks if each["type"] == "subscription_event"]
    assert events == ["last"]


@pytest.mark.rap("SRV-4", "SRV-5")
@pytest.mark.trap("S6")
@pytest.mark.parametrize("path", ["/cancel_tool_call", "/close_thread"])
async def test_nothing_is_sent_after_a_cancellation_or_a_close(
    runtime: FakeRuntime, state: Path, path: str
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(server.base_url + path, body) == 200
        await hook(runtime, server, "late")
        await runtime.invoke(server.base_url, "watch", "call_2", group_id="thread_2", arguments={"repo": "b"})
        assert (await runtime.called_back(2))["id"] == "call_2"


@pytest.mark.rap("SRV-4")
async def test_events_that_wait_for_the_runtime_are_dropped_by_a_cancellation(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        runtime.answers = [503] * 1000
        await hook(runtime, server, "d1")
        await runtime.called_back(2)
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(f"{server.base_url}/cancel_tool_call", body) == 200
        runtime.answers = []
        sent = len(runtime.callbacks)
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.until(lambda: any(each.get("id") == "call_2" for each in runtime.callbacks))
        # One may have been under way when the notice came; it is the same event.
        assert len(runtime.callbacks) <= sent + 2


async def test_a_subscription_that_is_refused_is_none(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "unknown"})
        answer = await runtime.called_back()
    assert answer["text"] == "Error: no such repository"
    assert "subscription" not in answer


@pytest.mark.trap("R3")
async def test_a_webhook_that_is_delivered_twice_is_one_event(runtime: FakeRuntime, state: Path) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d1")
        await hook(runtime, server, "d2")
        await runtime.called_back(3)
    assert [each["seq"] for each in runtime.callbacks[1:]] == [1, 2]


@pytest.mark.trap("S8")
async def test_a_webhook_answers_with_the_status_its_function_returns(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(watching(), state) as server:
        assert await runtime.post(f"{server.base_url}/hook", {}) == 401


@pytest.mark.rap("SRV-4")
@pytest.mark.parametrize("status", [403, 404, 409, 410])
async def test_a_subscription_whose_events_are_refused_ends(
    runtime: FakeRuntime, state: Path, status: int
) -> None:
    async with served(watching(), state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back()
        runtime.answers = [status]
        await hook(runtime, server, "d1")
        await runtime.called_back(2)
        await runtime.invoke(server.base_url, "watch", "call_2", arguments={"repo": "b"})
        await runtime.called_back(3)
        await hook(runtime, server, "d2")
        await runtime.invoke(server.base_url, "watch", "call_3", arguments={"repo": "b"})
        assert (await runtime.called_back(4))["id"] == "call_3"


async def test_a_generator_is_a_subscription_that_ends_with_it(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick(count: int) -> AsyncIterator[str | Event]:
        """Ticks."""
        for number in range(count):
            yield f"tick {number}"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick", arguments={"count": 2})
        await runtime.called_back(4)
    assert runtime.callbacks[0]["subscription"] is True
    assert [(each["text"], each["final"]) for each in runtime.callbacks[1:]] == [
        ("tick 0", False),
        ("tick 1", False),
        ("The subscription has ended.", True),
    ]


@pytest.mark.rap("SRV-2")
async def test_a_generator_that_breaks_says_so_in_its_final_event(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick() -> AsyncIterator[str]:
        """Ticks."""
        yield "tick"
        raise OSError("the sensor is gone")

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick")
        last = await runtime.called_back(3)
    assert last["final"] is True
    assert last["text"] == "Error: tick failed: OSError: the sensor is gone"


@pytest.mark.rap("SRV-4")
async def test_a_generator_runs_again_after_a_restart_and_knows_it(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick(subscription: Subscription) -> AsyncIterator[str]:
        """Ticks."""
        yield f"resumed: {subscription.resumed}"
        await asyncio.Event().wait()

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick")
        await runtime.called_back(2)
    async with served(tools, state):
        await runtime.called_back(3)
    assert [each["text"] for each in runtime.callbacks[1:]] == ["resumed: False", "resumed: True"]
    assert [each["seq"] for each in runtime.callbacks[1:]] == [1, 2]


@pytest.mark.rap("CHO-1", "OAU-1", "VIEW-1")
async def test_a_call_can_ask_the_user_show_a_page_and_keep_a_view(runtime: FakeRuntime, state: Path) -> None:
    tools = Toolset("talk")

    @tools.tool
    async def talk(call: Call) -> str:
        """Talks."""
        await call.authorize("https://login.example/a")
        await call.view("progress", {"done": 1})
        chosen = await call.choose("Which?", ["one", "two"], default=1)
        return f"{call.thread} {call.user_id} {call.ancestors} chose {chosen}"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "talk", thread_ancestors=["root"], user_id="user_42")
        question = await runtime.called_back(3)
        for callback in runtime.callbacks:
            read_callback(json.dumps(callback).encode(), 1 << 20)
        assert [each["type"] for each in runtime.callbacks] == ["oauth", "view_update", "user_choice"]
        url = question["response_url"]
        assert parse_owner(url, server)
        for wrong in (
            {"id": "call_2", "selected": 0},
            {"id": "call_1"},
            {"id": "call_1", "selected": "0"},
            [],
        ):
            assert await runtime.post(url, wrong) == 404
        assert await runtime.post(f"{server.base_url}/choice/guess", {"id": "call_1", "selected": 0}) == 404
        assert await runtime.post(url, {"id": "call_1", "selected": 0}) == 200
        assert (await runtime.called_back(4))["text"] == "thread_1 user_42 ('root',) chose 0"


def parse_owner(url: str, server: ToolsetServer) -> bool:
    manifest = json.dumps(ci().manifest(f"{server.base_url}/invoke")).encode()
    return parse_manifest(manifest, server.base_url).owns(url)


async def test_the_same_call_id_in_another_thread_is_another_call(runtime: FakeRuntime, state: Path) -> None:
    async with served(ci(), state) as server:
        for thread in ("thread_1", "thread_2"):
            await runtime.invoke(server.base_url, "status", group_id=thread, arguments={"branch": "main"})
        await runtime.called_back(2)
    assert {each["group_id"] for each in runtime.callbacks} == {"thread_1", "thread_2"}


async def test_a_token_keeps_strangers_out(runtime: FakeRuntime, state: Path) -> None:
    async with served(ci(), state, token="secret") as server:
        assert await runtime.invoke(server.base_url, "status") == 401
        assert await runtime.post(f"{server.base_url}/close_thread", {}, Authorization="Bearer wrong") == 401
        assert await runtime.post(f"{server.base_url}/close_thread", {}, Authorization="Bearer secret") == 200


async def test_a_second_server_on_the_same_state_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.1)
    async with served(ci(), state):
        with pytest.raises(StoreLocked, match="another process"):
            await served(ci(), state).start()


async def test_a_damaged_state_file_is_an_error_and_is_left_as_it_is(state: Path) -> None:
    state.write_bytes(b"not a database" * 1000)
    with pytest.raises(DamagedStore):
        await served(ci(), state).start()
    assert state.read_bytes() == b"not a database" * 1000


def test_mistakes_are_told_when_the_toolset_is_written(state: Path) -> None:
    tools = Toolset("mistakes")

    def undocumented() -> None: ...

    async def untyped(x) -> None:  # type: ignore[no-untyped-def]
        """Untyped."""

    async def variadic(*x: int) -> None:
        """Variadic."""

    def plain() -> str:
        """Plain."""
        return ""

    async def takes_subscription(subscription: Subscription) -> None:
        """Takes one."""

    for function in (undocumented, untyped, variadic, takes_subscription):
        with pytest.raises(ConfigError):
            tools.tool(function)
    with pytest.raises(ConfigError):
        tools.subscription(plain)
    tools.tool(plain)
    with pytest.raises(ConfigError, match="unique"):
        tools.tool(plain)
    with pytest.raises(ConfigError, match="spaces"):
        tools.tool(name="two words")(plain)
    with pytest.raises(ConfigError, match="unknown annotations"):
        tools.tool(name="other", readonly=True)(plain)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="no tools"):
        Toolset("empty").manifest("http://x")
