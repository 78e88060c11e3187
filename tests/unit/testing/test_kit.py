"""The public kit: agents in conversation, in time, and through crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinity import Agent, tool
from infinity.abc import ModelRequest
from infinity.testing import Kit, Reply, Script, ToolServer
from infinity.testing.tool_server import tool as remote_tool


@tool
async def parcels(day: str) -> int:
    """How many parcels left the house on a day."""
    return {"monday": 12}.get(day, 0)


PARCELS = (
    Script()
    .when("how many")
    .call("parcels", day="monday")
    .then()
    .say(lambda prompt: f"{prompt.results[0].text} parcels.")
)


async def test_an_agent_is_asked_and_answers(tmp_path: Path) -> None:
    async with Kit(tmp_path / "agent.db", Agent(tools=[parcels]), PARCELS) as kit:
        chat = await kit.conversation()
        assert await chat.ask("How many left on Monday?") == "12 parcels."
        assert await chat.said() == ["12 parcels."]
        assert (await chat.status()).state == "idle"
        assert len(kit.model.requests) == 2


async def test_three_days_pass_at_once_and_things_happen_in_their_order(tmp_path: Path) -> None:
    script = (
        Script()
        .when("remind me")
        .call("sleep", seconds=2 * 24 * 3600)
        .then()
        .say("Two days are over.")
        .call("sleep", seconds=3600)
        .when_prompt(lambda prompt: len(prompt.messages) > 4)
        .say("And an hour.")
    )
    async with Kit(tmp_path / "agent.db", model=script) as kit:
        began = kit.clock.now()
        chat = await kit.conversation("Remind me in two days.")
        await kit.advance(days=1)
        assert await chat.said() == []
        await kit.crash()
        await kit.advance(days=2)
        assert await chat.said() == ["Two days are over.", "And an hour."]
        assert kit.clock.now() - began == 3 * 24 * 3600 * 1000


async def test_a_new_version_of_the_agent_goes_on_with_the_journal_after_days_without_a_process(
    tmp_path: Path,
) -> None:
    script = (
        Script()
        .when("remind me")
        .call("sleep", seconds=24 * 3600)
        .when("how many")
        .call("parcels", day="monday")
    )
    script = (
        script.when_result("parcels")
        .say(lambda heard: heard.results[0].text)
        .otherwise()
        .say("A day is over.")
    )
    async with Kit(tmp_path / "agent.db", model=script) as kit:
        chat = await kit.conversation("Remind me tomorrow.")
        await kit.rest()
        await kit.stop()
        kit.clock.advance(3 * 24 * 3600)
        kit.agent = Agent(tools=[parcels])
        await kit.start()
        assert await chat.hears("A day is over.")
        assert await (await kit.conversation()).ask("How many left on Monday?") == "12"


async def test_a_tool_server_s_late_result_survives_a_crash(tmp_path: Path) -> None:
    script = (
        Script()
        .when("build")
        .call("build")
        .when_event("build")
        .say("It is built.")
        .otherwise()
        .say("It runs.")
    )
    async with (
        ToolServer([remote_tool("build")]) as server,
        Kit(tmp_path / "agent.db", model=script, servers=[server]) as kit,
    ):
        chat = await kit.conversation("Build it.")
        call = await server.invoked()
        await chat.say("And?")
        assert await chat.hears("It runs.")
        await kit.crash()
        assert await server.answer(call.id, "green") == 200
        assert await chat.hears("It is built.")
        assert await chat.events() == ["green"]


async def test_a_question_is_waited_for_and_answered(tmp_path: Path) -> None:
    script = Script().when("deploy").call("deploy").then().say("Deployed.")
    async with (
        ToolServer([remote_tool("deploy")]) as server,
        Kit(tmp_path / "agent.db", model=script, servers=[server]) as kit,
    ):
        chat = await kit.conversation("Deploy it.")
        call = await server.invoked()
        await server.choice(call.id, "Really?", ["Yes", "No"], default=1)
        await chat.choose(0)
        await server.until(lambda: bool(server.choices), "answer")
        assert server.choices == [{"id": call.id, "selected": 0}]
        await server.answer(call.id)
        assert await chat.hears("Deployed.")


async def test_children_are_conversations_too(tmp_path: Path) -> None:
    script = (
        Script()
        .when_result("spawn_thread", "you are now in the child thread")
        .call("close_thread", report="Found it.")
        .when_event("spawn_thread")
        .say("The child found it.")
        .when("look")
        .call("spawn_thread", instructions="Look.")
        .otherwise()
        .say("It looks.")
    )
    async with Kit(tmp_path / "agent.db", model=script) as kit:
        chat = await kit.conversation("Look for it.")
        assert await chat.hears("The child found it.")
        (child,) = await chat.children()
        assert (await child.status()).state == "closed"


async def test_an_overloaded_model_is_waited_for_in_virtual_time(tmp_path: Path) -> None:
    script = Script.sequence(Reply().fail(529), "Here I am.")
    async with Kit(tmp_path / "agent.db", model=script) as kit:
        chat = await kit.conversation("Are you there?")
        await kit.advance(minutes=1)
        assert await chat.said() == ["Here I am."]


async def test_a_request_that_the_real_api_would_refuse_fails_the_test(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "agent.db", model=Script().otherwise().say("Yes."))
    await kit.__aenter__()
    refused = ModelRequest(kit.model.resolve("")[1], system="", tools=b"[]", messages=b"[]", max_tokens=10)
    assert [part async for part in kit.model.stream(refused)]
    with pytest.raises(AssertionError, match=r"the real API would refuse a request.*at least one message"):
        await kit.__aexit__(None, None, None)


async def test_what_never_happens_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infinity.testing.kit.PATIENCE", 0.1)
    async with Kit(tmp_path / "agent.db", model=Script().otherwise().say("Yes.")) as kit:
        chat = await kit.conversation("Well?")
        with pytest.raises(AssertionError, match=r"no turn with 'No.'"):
            await chat.hears("No.")


async def test_asking_an_agent_that_waits_for_a_tool_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity.testing.kit.PATIENCE", 0.3)
    script = Script().when("build").call("build")
    async with (
        ToolServer([remote_tool("build")]) as server,
        Kit(tmp_path / "agent.db", model=script, servers=[server]) as kit,
    ):
        chat = await kit.conversation()
        with pytest.raises(AssertionError, match="it waits for: build is running at its tool server"):
            await chat.ask("Build it.")
