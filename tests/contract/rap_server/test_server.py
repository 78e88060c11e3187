"""The kit for tool servers, from the outside: what a runtime sees of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.errors import ConfigError, DamagedStore, StoreLocked
from infinity.rap.discovery import fetch
from infinity.rap.manifest import parse_manifest
from infinity.rap.server import (
    Call,
    Image,
    Result,
    Subscription,
    ToolError,
    Toolset,
    ToolsetServer,
)
from infinity.rap.server import store as store_module
from infinity.rap.wire import read_callback

from .conftest import FakeRuntime, ci, served


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
