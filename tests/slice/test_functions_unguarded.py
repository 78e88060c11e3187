"""What functions of this process may do: the model gets a result or an error, at once, and everybody else goes on."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.slice.scenes import World

from infinity import Agent, tool
from infinity.errors import ConfigError, StoreError
from infinity.message import Action, Kind
from infinity.settings import Limits
from infinity.testing.replies import call, say, texts


async def _world(open_world: Any, *functions: Any, **how: Any) -> World:
    made: World = open_world(**how)
    made.agent = replace(made.agent, tools=functions)
    return await made.start()


def _raising(error: BaseException, name: str, *, plain: bool) -> Any:
    if plain:

        def function() -> str:
            raise error
    else:

        async def function() -> str:  # type: ignore[misc]
            raise error

    function.__doc__ = "Raise."
    return tool(name=name)(function)


async def _cancelled_inside() -> str:
    """Await a task that somebody cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task
    return "never"


def _cyclic() -> Any:
    """Contain oneself."""
    value: list[Any] = []
    value.append(value)
    return value


class Silent(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


ERRORS = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(1),
    StopAsyncIteration(),
    BaseException("odd"),
    RecursionError(),
    MemoryError(),
    Silent(),
    ValueError("a\udcffb\0"),
    ExceptionGroup("several", [ValueError("one")]),
]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
async def test_whatever_a_function_raises_the_model_reads_an_error(open_world: Any, plain: bool) -> None:
    tools = [_raising(error, f"raise_{n}", plain=plain) for n, error in enumerate(ERRORS)]
    world = await _world(open_world, *tools)
    world.model.then(call(*((each.name, {}) for each in tools)), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    results = texts(world.model.requests[1]["messages"][-1])
    assert results.count("Error: raise_") == len(tools)
    await world.close()


async def test_a_function_whose_inner_task_was_cancelled_has_failed(open_world: Any) -> None:
    world = await _world(open_world, _cancelled_inside)
    world.model.then(call(("_cancelled_inside", {})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    assert "was cancelled" in texts(world.model.requests[1]["messages"][-1])
    await world.close()


VALUES: list[tuple[Callable[[], Any], str]] = [
    (lambda: b"caf\xe9.txt".decode("utf-8", "surrogateescape"), "caf\ufffd.txt"),
    (lambda: {"names": ["\udce9"]}, '{"names":["\ufffd"]}'),
    (lambda: "\ud83d\ude00", "😀"),
    (lambda: float("nan"), "NaN"),
    (lambda: {1}, "[1]"),
    (lambda: b"text", "text"),
    (lambda: b"\xff\xfe", "__4="),
    (lambda: None, "Done."),
    (_cyclic, "Error: "),
    (lambda: object(), "Error: "),
    (lambda: itertools.count(), "Error: "),
    (lambda: {"endless": iter(int, 1)}, "Error: "),
    (lambda: 10**5_000, "1000"),
    (lambda: "x" * 3_000_000, "left out"),
    (lambda: time.struct_time(range(9)), "[0,1,2,3,4,5,6,7,8]"),
]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
async def test_whatever_a_function_returns_the_model_reads_a_text(open_world: Any, plain: bool) -> None:
    def made(number: int, value: Callable[[], Any]) -> Any:
        if plain:

            def function() -> Any:
                return value()
        else:

            async def function() -> Any:  # type: ignore[misc]
                return value()

        function.__doc__ = "Return."
        return tool(name=f"give_{number}")(function)

    tools = [made(number, value) for number, (value, _) in enumerate(VALUES)]
    world = await _world(open_world, *tools)
    world.model.then(call(*((each.name, {}) for each in tools)), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    asked, answered = (message["content"] for message in world.model.requests[1]["messages"][-2:])
    by_call = {each["tool_use_id"]: each["content"][0]["text"] for each in answered if "tool_use_id" in each}
    found = [by_call[each["id"]] for each in asked if each["type"] == "tool_use"]
    assert [expected in text for text, (_, expected) in zip(found, VALUES, strict=True)] == [True] * len(
        VALUES
    )
    await world.close()


@pytest.mark.trap("R10")
async def test_a_result_that_cannot_be_recorded_for_a_while_is_kept_and_its_function_runs_once(
    open_world: Any,
) -> None:
    runs: list[int] = []

    @tool
    async def send_mail() -> str:
        """Send a mail."""
        runs.append(1)
        return "sent"

    world = await _world(open_world, send_mail)
    real, tries = world.store.accept, 0

    async def accept(message: Any, *rest: Any) -> Any:
        nonlocal tries
        if message.kind == Kind.RESULT and (tries := tries + 1) <= 6:
            raise [StoreError("no space left"), ConfigError("login refused"), OSError(28, "no space")][
                tries % 3
            ]
        return await real(message, *rest)

    world.store.accept = accept  # type: ignore[method-assign]
    world.model.then(call(("send_mail", {})), say("done"))
    thread = await world.thread("go")
    await _advancing(world, lambda: tries == 7)
    await world.said(thread, "done")
    assert len(runs) == 1
    await world.close()


@pytest.mark.trap("R10")
async def test_a_row_that_cannot_be_taken_out_of_the_outbox_does_not_run_its_function_again(
    open_world: Any,
) -> None:
    runs: list[int] = []

    @tool
    async def send_mail() -> str:
        """Send a mail."""
        runs.append(1)
        return "sent"

    world = await _world(open_world, send_mail)
    real, tries = world.store.outbox_done, 0

    async def done(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 4:
            raise StoreError("no space left")
        return await real(*arguments)

    world.store.outbox_done = done  # type: ignore[method-assign]
    world.model.then(call(("send_mail", {})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    await _advancing(world, lambda: len(world.runtime.outbox) == 0)
    assert len(runs) == 1
    await world.close()


async def test_a_result_that_the_store_will_never_take_becomes_an_error_for_the_model(
    open_world: Any,
) -> None:
    @tool
    async def odd() -> str:
        """Odd."""
        return "odd"

    world = await _world(open_world, odd)
    real = world.store.accept

    async def accept(message: Any, *rest: Any) -> Any:
        if message.kind == Kind.RESULT and b'"odd"' in message.body:
            raise ValueError("not this")
        return await real(message, *rest)

    world.store.accept = accept  # type: ignore[method-assign]
    world.model.then(call(("odd", {})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    assert "could not be kept" in texts(world.model.requests[1]["messages"][-1])
    await world.close()


@pytest.mark.trap("B12")
async def test_quick_functions_run_beside_as_many_slow_ones_as_there_may_be(open_world: Any) -> None:
    go_on = threading.Event()

    @tool(long_running=True)
    def slow(n: int) -> str:
        """Slow."""
        go_on.wait(PATIENCE)
        return "slow"

    @tool
    def quick() -> str:
        """Quick."""
        return threading.current_thread().name

    settings = Agent(limits=Limits(functions=1, slow_functions=2))
    world = await _world(open_world, slow, quick, agent=settings)
    world.model.when("wait", call(*(("slow", {"n": n}) for n in range(20))))
    world.model.when("hurry", call(("quick", {}))).then(say("done"))
    waiting = await world.thread("wait")
    hurried = await world.thread("hurry")
    await world.said(hurried, "done")
    reasons = (await world.runtime.explain(waiting)).reasons
    assert sum("runs in this process since" in reason.text for reason in reasons) == 2
    assert sum("is about to run in this process" in reason.text for reason in reasons) == 18
    go_on.set()
    await world.close()


@pytest.mark.trap("B12")
async def test_one_that_turns_out_to_be_slow_makes_room(open_world: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("infinity.functions.running.SLOW_AFTER", 0.01)
    go_on = threading.Event()

    @tool
    def hang() -> str:
        """Hang."""
        go_on.wait(PATIENCE)
        return "late"

    @tool
    def quick() -> str:
        """Quick."""
        return "quick"

    world = await _world(open_world, hang, quick, agent=Agent(limits=Limits(functions=1)))
    world.model.when("wait", call(("hang", {})))
    world.model.when("hurry", call(("quick", {}))).then(say("done"))
    await world.thread("wait")
    hurried = await world.thread("hurry")
    await world.said(hurried, "done")
    go_on.set()
    await world.close()


async def test_a_function_has_a_time_limit_of_its_own(open_world: Any) -> None:
    @tool(timeout=0.02)
    async def endless() -> None:
        """Never end, and swallow what would end it."""
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if closing.is_set():
                    raise

    closing = asyncio.Event()
    world = await _world(open_world, endless)
    world.model.then(call(("endless", {})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    assert "took longer than 0.02 s" in texts(world.model.requests[1]["messages"][-1])
    closing.set()
    await world.close()


async def test_what_a_thread_returns_after_its_call_was_cancelled_is_dropped(open_world: Any) -> None:
    started, go_on = threading.Event(), threading.Event()

    @tool
    def slow() -> str:
        """Slow."""
        started.set()
        go_on.wait(PATIENCE)
        return "late"

    world = await _world(open_world, slow)
    world.model.then(call(("slow", {})), say("next"))
    thread = await world.thread("go")
    await world.until(started.is_set)
    await world.runtime.control(thread, Action.INTERRUPT)
    await world.noted(thread, "call_ended", state="cancelled")
    go_on.set()
    await world.runtime.send(thread, "and now?")
    await world.said(thread, "next")
    assert "late" not in str(await world.history(thread))
    assert not [row for row in await world.store.outbox() if row.kind == "invoke"]
    await world.close()


async def test_asking_a_closed_thread_raises_instead_of_waiting(open_world: Any) -> None:
    world = await _world(open_world)
    thread = await world.thread()
    await world.runtime.control(thread, Action.CLOSE)
    await world.noted(thread, "status", status="closed")
    with pytest.raises(Exception, match="closed"):
        await asyncio.wait_for(world.runtime.ask(thread, "anybody there?"), PATIENCE)
    await world.close()


async def _advancing(world: World, condition: Callable[[], bool]) -> None:
    """Let time pass until it is so."""

    def step() -> bool:
        world.clock.advance(60)
        return condition()

    await world.until(step)
