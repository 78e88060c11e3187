"""Functions as they are written in real life: they block, hang, exit, return what cannot be sent. Every call is answered all the same."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.rap.server import Call, Event, Limits, Result, Subscription, Toolset, ToolsetServer
from infinity.rap.server import delivery as delivery_module
from infinity.rap.wire import read_callback

from .conftest import AT_ONCE, FakeRuntime


def served(tools: Toolset, state: Path, **limits: Any) -> ToolsetServer:
    return ToolsetServer(tools, state, backoff=AT_ONCE, limits=Limits(**limits))


def one_tool(function: Callable[..., Any], **options: Any) -> Toolset:
    tools = Toolset("one")
    function.__doc__ = function.__doc__ or "Does it."
    tools.tool(name="do", **options)(function)
    return tools


async def hang() -> None:
    await asyncio.Event().wait()


def and_one_that_hangs(tools: Toolset) -> Toolset:
    """Its error tells that the time of a function is up."""

    @tools.tool(name="hang")
    async def hang_on() -> None:
        """Hangs."""
        await asyncio.Event().wait()

    return tools


async def hang_whatever_happens() -> None:
    for _ in range(3):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def exit_() -> None:
    sys.exit("bye")


def exit_in_a_thread() -> None:
    sys.exit(3)


async def cancelled_from_within() -> None:
    raise asyncio.CancelledError


async def base_exception() -> None:
    raise GeneratorExit


def stop_iteration() -> None:
    next(iter(()))


def unsendable() -> Any:
    return object()


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def unsendable_display() -> Any:
    return Result("ok", display_as=[{"type": "text", "content": object()}])


def unsendable_content() -> Any:
    return Result(content=[5])  # type: ignore[list-item]


def huge() -> str:
    return "x" * 2_000_000


class Nameless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


def nameless() -> None:
    raise Nameless


MISBEHAVING = [
    (hang, ["longer than 0.05 s", "may or may not"]),
    (hang_whatever_happens, ["longer than 0.05 s"]),
    (exit_, ["SystemExit", "bye"]),
    (exit_in_a_thread, ["SystemExit"]),
    (cancelled_from_within, ["was cancelled"]),
    (base_exception, ["GeneratorExit"]),
    (stop_iteration, ["StopIteration"]),
    (unsendable, ["no JSON form", "object"]),
    (circular, ["no JSON form"]),
    (unsendable_display, ["no JSON form"]),
    (unsendable_content, ["content", "int"]),
    (nameless, ["Nameless"]),
]


@pytest.mark.rap("SRV-2", "RES-5")
@pytest.mark.trap("M2")
@pytest.mark.parametrize(
    ("function", "words"), MISBEHAVING, ids=[function.__name__ for function, _ in MISBEHAVING]
)
async def test_whatever_a_function_does_its_call_is_answered_and_the_server_goes_on(
    runtime: FakeRuntime,
    state: Path,
    caplog: pytest.LogCaptureFixture,
    function: Callable[..., Any],
    words: list[str],
) -> None:
    timeout = 0.05 if function in (hang, hang_whatever_happens) else 30
    tools = one_tool(function, timeout=timeout)

    @tools.tool
    async def fine() -> str:
        """Fine."""
        return "fine"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "do")
        callback = await runtime.called_back()
        await runtime.invoke(server.base_url, "fine", "call_2")
        assert (await runtime.called_back(2))["text"] == "fine"
    assert read_callback(json.dumps(callback).encode(), 1 << 20)
    assert callback["text"].startswith("Error: ")
    assert all(word in callback["text"].replace("2000", "2,000") for word in words)
    assert "Traceback" not in callback["text"]


@pytest.mark.rap("SRV-2")
async def test_a_large_result_is_sent_whole(runtime: FakeRuntime, state: Path) -> None:
    async with served(one_tool(huge, timeout=30), state) as server:
        await runtime.invoke(server.base_url, "do")
        assert (await runtime.called_back())["text"] == huge()


@pytest.mark.rap("SRV-2")
async def test_text_that_no_json_reader_accepts_is_made_sound(runtime: FakeRuntime, state: Path) -> None:
    async with served(one_tool(lambda: "a\udc80b"), state) as server:
        await runtime.invoke(server.base_url, "do")
        callback = await runtime.called_back()
    assert callback["text"] == "a\ufffdb"


@pytest.mark.rap("SRV-1")
@pytest.mark.trap("B1")
async def test_a_function_that_blocks_holds_up_nobody(runtime: FakeRuntime, state: Path) -> None:
    go_on = threading.Event()

    def block(call: Call) -> str:
        """Blocks."""
        go_on.wait(PATIENCE)
        return call.id

    async with served(one_tool(block), state) as server:
        for number in range(40):
            assert await runtime.invoke(server.base_url, "do", f"call_{number}") == 200
        assert runtime.callbacks == []
        go_on.set()
        await runtime.called_back(40)
    assert {each["text"] for each in runtime.callbacks} == {f"call_{number}" for number in range(40)}


async def test_no_more_functions_run_at_once_than_allowed(runtime: FakeRuntime, state: Path) -> None:
    running, most, go_on = 0, 0, asyncio.Event()

    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await (go_on.wait() if running == 2 else asyncio.sleep(0))
        running -= 1

    async with served(one_tool(count), state, concurrent=2) as server:
        for number in range(8):
            await runtime.invoke(server.base_url, "do", f"call_{number}")
        go_on.set()
        await runtime.called_back(8)
    assert 1 <= most <= 2


@pytest.mark.trap("G2")
async def test_more_calls_than_may_wait_are_sent_back_to_the_runtime(
    runtime: FakeRuntime, state: Path
) -> None:
    async with served(one_tool(hang), state, concurrent=1, waiting=1) as server:
        assert await runtime.invoke(server.base_url, "do", "call_1") == 200
        assert await runtime.invoke(server.base_url, "do", "call_2") == 200
        assert await runtime.invoke(server.base_url, "do", "call_3") == 503


@pytest.mark.trap("B3")
async def test_a_call_whose_turn_does_not_come_is_answered(runtime: FakeRuntime, state: Path) -> None:
    async with served(one_tool(hang, timeout=60), state, concurrent=1, seconds=0.05) as server:
        await runtime.invoke(server.base_url, "do", "call_1")
        await runtime.invoke(server.base_url, "do", "call_2")
        answer = await runtime.called_back()
    assert (answer["id"], answer["text"][:32]) == ("call_2", "Error: the tool server is busy: ")


async def test_a_long_running_function_has_no_time_of_its_own(runtime: FakeRuntime, state: Path) -> None:
    go_on = asyncio.Event()

    async def build() -> str:
        await go_on.wait()
        return "built"

    async with served(and_one_that_hangs(one_tool(build, long_running=True)), state, seconds=0.01) as server:
        await runtime.invoke(server.base_url, "do")
        await runtime.invoke(server.base_url, "hang", "call_2")
        assert "longer than" in (await runtime.called_back())["text"]
        go_on.set()
        assert (await runtime.called_back(2))["text"] == "built"


@pytest.mark.rap("SRV-5")
async def test_a_function_in_a_thread_learns_that_it_was_cancelled(runtime: FakeRuntime, state: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def poll(call: Call) -> None:
        """Polls."""
        loop.call_soon_threadsafe(begun.set)
        pause = threading.Event()
        while not call.cancelled:
            pause.wait(0.005)
        loop.call_soon_threadsafe(ended.set)

    async with served(one_tool(poll), state) as server:
        await runtime.invoke(server.base_url, "do")
        await begun.wait()
        body = {"thread_id": "thread_1", "tool_call_id": "call_1"}
        assert await runtime.post(f"{server.base_url}/cancel_tool_call", body) == 200
        await asyncio.wait_for(ended.wait(), PATIENCE)
    assert runtime.callbacks == []


@pytest.mark.rap("SRV-5", "SRV-6")
async def test_a_call_whose_cancellation_overtook_it_does_not_run(runtime: FakeRuntime, state: Path) -> None:
    ran: list[str] = []

    async def run(call: Call) -> str:
        """Runs."""
        ran.append(call.id)
        return "ran"

    async with served(one_tool(run), state) as server:
        for odd in ("call_1", "x" * 100_000):
            body = {"thread_id": "thread_1", "tool_call_id": odd}
            assert await runtime.post(f"{server.base_url}/cancel_tool_call", body) == 200
        assert await runtime.invoke(server.base_url, "do", "call_1") == 200
        assert await runtime.invoke(server.base_url, "do", "call_2") == 200
        await runtime.called_back()
    assert ran == ["call_2"]


# questions


@pytest.mark.rap("CHO-1", "CHO-2")
async def test_a_function_that_asks_takes_up_neither_time_nor_a_place(
    runtime: FakeRuntime, state: Path
) -> None:
    async def ask(call: Call) -> str:
        """Asks."""
        return await call.ask("Which?", ["one", "two"], default=1)

    async with served(and_one_that_hangs(one_tool(ask)), state, concurrent=1, seconds=1.0) as server:
        for number in range(3):
            await runtime.invoke(server.base_url, "do", f"call_{number}")
        await runtime.called_back(3)
        assert {each["type"] for each in runtime.callbacks} == {"user_choice"}
        await runtime.invoke(server.base_url, "hang", "call_hang")
        assert "longer than" in (await runtime.called_back(4))["text"]
        for question in runtime.callbacks[:3]:
            for wrong in (2, -1, True, None, "0", 1.0):
                body = {"id": question["id"], "selected": wrong}
                assert await runtime.post(question["response_url"], body) == 404
            assert await runtime.post(question["response_url"], {"id": question["id"], "selected": 0}) == 200
        await runtime.called_back(7)
    assert [each["text"] for each in runtime.callbacks[4:]] == ["one"] * 3


@pytest.mark.rap("SRV-2")
async def test_a_question_that_the_runtime_refuses_ends_the_wait(runtime: FakeRuntime, state: Path) -> None:
    async def ask(call: Call) -> str:
        """Asks."""
        return await call.ask("Which?", ["one"])

    runtime.answers = [404]
    async with served(one_tool(ask), state) as server:
        await runtime.invoke(server.base_url, "do")
        assert (await runtime.called_back(2))[
            "text"
        ] == "Error: the runtime refused to ask the user (HTTP 404)"


@pytest.mark.rap("CHO-2", "OAU-1")
@pytest.mark.parametrize(
    "say",
    [
        lambda call: call.ask("Which?", []),
        lambda call: call.ask("Which?", ["one"], default=1),
        lambda call: call.ask("", ["one"]),
        lambda call: call.authorize("http://login.example"),
    ],
)
async def test_what_no_runtime_would_show_is_told_to_the_function(
    runtime: FakeRuntime, state: Path, say: Callable[[Call], Any]
) -> None:
    async def speak(call: Call) -> None:
        """Speaks."""
        await say(call)

    async with served(one_tool(speak), state) as server:
        await runtime.invoke(server.base_url, "do")
        assert (await runtime.called_back())["text"].startswith("Error: do failed: ValueError")


# subscriptions


@pytest.mark.rap("SRV-4", "SUB-6")
async def test_events_of_a_subscription_never_overtake_its_confirmation(
    runtime: FakeRuntime, state: Path
) -> None:
    tools, told = Toolset("early"), []

    @tools.subscription
    async def watch(repo: str, sub: Subscription) -> str:
        """Watches."""
        told.append(await sub.emit("first", id="e1"))
        told.append(await sub.emit("first", id="e1"))
        told.append(await sub.send(Event("second", associative=True)))
        told.append(await sub.final("last"))
        told.append(await sub.emit("too late"))
        return f"watching {repo}"

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "watch", arguments={"repo": "a"})
        await runtime.called_back(4)
    assert told == [True, True, True, True, False]
    assert [each["text"] for each in runtime.callbacks] == [
        "watching a\n\nThe subscription's tool_call_id is call_1.",
        "first",
        "second",
        "last",
    ]
    assert [each.get("seq") for each in runtime.callbacks] == [None, 1, 2, 3]
    assert runtime.callbacks[0]["subscription"] is True and runtime.callbacks[3]["final"] is True


@pytest.mark.rap("SRV-4")
async def test_a_subscription_that_could_not_be_set_up_has_no_events(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("early")

    @tools.subscription
    async def watch(sub: Subscription) -> str:
        """Watches."""
        await sub.emit("never")
        raise OSError("no such repository")

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "watch")
        answer = await runtime.called_back()
        await runtime.invoke(server.base_url, "nothing", "call_2")
        await runtime.called_back(2)
    assert answer["text"].startswith("Error: watch failed") and "subscription" not in answer
    assert {each["type"] for each in runtime.callbacks} == {"tool_result"}


@pytest.mark.rap("SRV-2")
@pytest.mark.parametrize("ending", [SystemExit, asyncio.CancelledError, OSError])
async def test_a_generator_ends_with_a_final_event_however_it_ends(
    runtime: FakeRuntime, state: Path, ending: type[BaseException]
) -> None:
    tools = Toolset("ticks")

    @tools.subscription
    async def tick() -> Any:
        """Ticks."""
        yield "tick"
        raise ending("gone")

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "tick")
        last = await runtime.called_back(3)
    assert last["final"] is True and last["text"].startswith(f"Error: tick failed: {ending.__name__}")


# state


@pytest.mark.rap("SRV-3")
@pytest.mark.trap("G2")
async def test_a_callback_that_nobody_takes_for_a_week_is_given_up(
    runtime: FakeRuntime, state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery_module, "GIVE_UP_SECONDS", -1)
    runtime.answers = [503, 503]
    tools = one_tool(lambda: "done")
    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "do", "call_1")
        await runtime.called_back()
    async with served(tools, state):
        pass
    assert len(runtime.callbacks) == 1
    assert "given up" in caplog.text
