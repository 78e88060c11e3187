"""Functions of this process as tools."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from tests.patience import PATIENCE
from tests.slice.scenes import World

from infinity import tool
from infinity.errors import ConfigError
from infinity.message import Action
from infinity.testing.replies import call, say, texts


class Point(BaseModel):
    x: int
    y: int = 0


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(name="mirror")
def mirrored(point: Point) -> Point:
    """Mirror a point."""
    return Point(x=-point.x, y=-point.y)


@tool
async def broken() -> str:
    """Fail."""
    raise RuntimeError("the pump is clogged")


async def _world(open_world: Any, *functions: Any) -> World:
    made: World = open_world()
    made.agent = replace(made.agent, tools=functions)
    return await made.start()


async def test_a_function_is_called_with_validated_arguments_and_its_value_comes_back(
    open_world: Any,
) -> None:
    world = await _world(open_world, add, mirrored, broken)
    world.model.then(
        call(("add", {"a": 2, "b": 3}), ("mirror", {"point": {"x": 1}}), ("broken", {})), say("done")
    )
    thread = await world.thread("go")
    await world.said(thread, "done")
    results = texts(world.model.requests[1]["messages"][-1])
    assert "5" in results and '{"x":-1,"y":0}' in results
    assert "the pump is clogged" in results and "Traceback" not in results
    await world.close()


async def test_wrong_arguments_do_not_reach_the_function(open_world: Any) -> None:
    world = await _world(open_world, add)
    world.model.then(call(("add", {"a": "two"})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    assert "Error: " in texts(world.model.requests[1]["messages"][-1])
    await world.close()


async def test_a_function_that_was_running_when_the_process_ended_runs_again_under_the_same_id(
    open_world: Any,
) -> None:
    started, runs = asyncio.Event(), []

    @tool
    async def slow() -> str:
        """Take long the first time."""
        runs.append(1)
        started.set()
        if len(runs) == 1:
            await asyncio.Event().wait()
        return "finished"

    world = await _world(open_world, slow)
    world.model.then(call(("slow", {})), say("done"))
    thread = await world.thread("go")
    await started.wait()
    await world.restart()
    await world.said(thread, "done")
    assert len(runs) == 2
    assert (await world.kinds(thread)).count("result") == 1
    await world.close()


async def test_an_interrupt_cancels_a_running_function(open_world: Any) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def endless() -> None:
        """Never end."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    world = await _world(open_world, endless)
    world.model.then(call(("endless", {})))
    thread = await world.thread("go")
    await started.wait()
    await world.runtime.control(thread, Action.INTERRUPT)
    async with asyncio.timeout(PATIENCE):
        await cancelled.wait()
    await world.close()


def test_a_tool_without_a_docstring_is_refused() -> None:
    async def silent() -> None: ...

    with pytest.raises(ConfigError, match="docstring"):
        tool(silent)


async def test_ask_returns_what_the_agent_said_last(open_world: Any) -> None:
    world = await _world(open_world, add)
    world.model.then(call(("add", {"a": 2, "b": 3}), text="Let me see."), say("It is 5."))
    thread = await world.runtime.create()
    assert await world.runtime.ask(thread, "2 + 3?") == "It is 5."
    await world.close()
