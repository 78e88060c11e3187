"""Questions to users and restarts of the server: nobody is asked twice, and no answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.rap_server.conftest import FakeRuntime, served

from infinity.rap.server import Call, Event, Subscription, Toolset, ToolsetServer


class Desk:
    """A tool that asks twice and acts in between. ``acted``: how often; ``held``: it stops there until it is set."""

    def __init__(self) -> None:
        self.acted = 0
        self.held = asyncio.Event()
        self.tools = Toolset("desk")

        @self.tools.tool(idempotent=True, long_running=True)
        async def order(call: Call) -> str:
            """Orders."""
            size = await call.ask("Which size?", ["small", "large"])
            self.acted += 1
            await self.held.wait()
            sure = await call.ask("Sure?", ["yes", "no"])
            again = await call.ask("Sure?", ["yes", "no"])
            return f"{size} {sure} {again}"


async def answer(runtime: FakeRuntime, server: ToolsetServer, question: dict[str, Any], selected: int) -> int:
    """To where the server is now: its port is another after a restart of the test's."""
    path = question["response_url"].partition("/choice/")[2]
    return await runtime.post(
        f"{server.base_url}/choice/{path}", {"id": question["id"], "selected": selected}
    )


def asked(runtime: FakeRuntime) -> list[str]:
    return [each["prompt"] for each in runtime.callbacks if each["type"] == "user_choice"]


@pytest.mark.rap("CHO-1", "CHO-2")
async def test_a_question_outlasts_the_server_and_is_asked_once(runtime: FakeRuntime, state: Path) -> None:
    desk = Desk()
    desk.held.set()
    async with served(desk.tools, state) as server:
        await runtime.invoke(server.base_url, "order")
        question = await runtime.called_back()
    async with served(desk.tools, state) as server:
        assert await answer(runtime, server, question, 1) == 200
        for number in (2, 3):
            assert await answer(runtime, server, await runtime.called_back(number), 0) == 200
        assert (await runtime.called_back(4))["text"] == "large yes yes"
    assert asked(runtime) == ["Which size?", "Sure?", "Sure?"]


@pytest.mark.trap("L1", "L15")
async def test_an_answer_that_was_accepted_is_not_asked_for_again(runtime: FakeRuntime, state: Path) -> None:
    desk = Desk()
    async with served(desk.tools, state) as server:
        await runtime.invoke(server.base_url, "order")
        question = await runtime.called_back()
        assert await answer(runtime, server, question, 1) == 200
    desk.held.set()
    async with served(desk.tools, state) as server:
        for number in (2, 3):
            assert await answer(runtime, server, await runtime.called_back(number), number - 2) == 200
        assert (await runtime.called_back(4))["text"] == "large yes no"
        assert await answer(runtime, server, question, 1) == 200, "sent again, because the 200 was lost"
        assert await answer(runtime, server, question, 0) == 404, "it was answered otherwise"
    assert asked(runtime) == ["Which size?", "Sure?", "Sure?"]


async def test_a_question_that_the_runtime_refuses_fails_and_is_not_remembered(
    runtime: FakeRuntime, state: Path
) -> None:
    desk = Desk()
    runtime.answers = [404]
    async with served(desk.tools, state) as server:
        await runtime.invoke(server.base_url, "order")
        result = await runtime.called_back(2)
        assert result["text"] == "Error: the runtime refused to ask the user (HTTP 404)"
        assert await answer(runtime, server, runtime.callbacks[0], 0) == 404


async def test_a_generator_that_asks_the_same_every_day_asks_every_day(
    runtime: FakeRuntime, state: Path
) -> None:
    tools = Toolset("news")

    @tools.subscription
    async def daily(call: Subscription) -> AsyncIterator[Event]:
        """News, if wanted."""
        for _ in range(2):
            yield Event(await call.ask("News today?", ["yes", "no"]))

    async with served(tools, state) as server:
        await runtime.invoke(server.base_url, "daily")
        assert await answer(runtime, server, await runtime.called_back(2), 0) == 200
        assert (await runtime.called_back(3))["text"] == "yes"
        pending = await runtime.called_back(4)
    async with served(tools, state) as server:
        assert await answer(runtime, server, pending, 1) == 200
        assert (await runtime.called_back(5))["text"] == "no"
        assert (await runtime.called_back(6))["prompt"] == "News today?"
