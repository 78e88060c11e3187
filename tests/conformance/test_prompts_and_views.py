"""Questions, authorisations and views: shown to people, answered to servers, never seen by the model as results."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.testing.tool_server import Invocation, ToolServer

from .conftest import Agent


@pytest.fixture
async def call(agent: Agent, server: ToolServer) -> Invocation:
    """A call that is pending."""
    await agent.begin("/call echo {}")
    return await server.invoked()


async def ask(agent: Agent, server: ToolServer, call: Invocation) -> str:
    """Ask; the prompt's id."""
    assert await server.choice(call.id, "Deploy?", ["Yes", "No"], default=1) == 200
    await agent.until_event(call.group_id, "prompt")
    (prompt,) = (await agent.thread(call.group_id))["prompts"]
    assert (prompt["prompt"], prompt["choices"], prompt["default"]) == ("Deploy?", ["Yes", "No"], 1)
    return str(prompt["id"])


@pytest.mark.rap("CHO-1")
@pytest.mark.parametrize(("selected", "sent"), [(0, 0), (1, 1), (None, 1)])
async def test_the_answer_goes_back_to_where_it_was_asked(
    agent: Agent, server: ToolServer, call: Invocation, selected: int | None, sent: int
) -> None:
    prompt = await ask(agent, server, call)
    await agent.post(f"/v1/threads/{call.group_id}/choices/{prompt}", {"selected": selected})
    await server.until(lambda: bool(server.choices), "answer")
    assert server.choices == [{"id": call.id, "selected": sent}]
    assert (await agent.thread(call.group_id))["prompts"] == []
    assert await server.answer(call.id, "deployed") == 200
    await agent.until_said(call.group_id, "echo answered: deployed")


@pytest.mark.rap("CHO-1")
@pytest.mark.parametrize("selected", [2, -1, "0", True, 1.5])
async def test_an_impossible_answer_is_refused_and_the_question_stays(
    agent: Agent, server: ToolServer, call: Invocation, selected: Any
) -> None:
    prompt = await ask(agent, server, call)
    path = f"/v1/threads/{call.group_id}/choices/{prompt}"
    assert (await agent.request("POST", path, {"selected": selected}))[0] == 400
    assert len((await agent.thread(call.group_id))["prompts"]) == 1
    assert server.choices == []


@pytest.mark.rap("CHO-1", "CB-4")
async def test_a_question_that_is_sent_twice_is_asked_once_and_answered_once(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    prompt = await ask(agent, server, call)
    assert await server.choice(call.id, "Deploy?", ["Yes", "No"], default=1) == 200
    path = f"/v1/threads/{call.group_id}/choices/{prompt}"
    await agent.post(path, {"selected": 0})
    assert (await agent.request("POST", path, {"selected": 1}))[0] in (200, 404, 409)
    await server.until(lambda: bool(server.choices), "answer")
    assert await server.choice(call.id, "Deploy?", ["Yes", "No"], default=1) == 200
    assert (await agent.thread(call.group_id))["prompts"] == []
    assert server.choices == [{"id": call.id, "selected": 0}]


@pytest.mark.rap("CHO-2")
@pytest.mark.trap("L14")
async def test_a_pending_question_survives_a_restart(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    prompt = await ask(agent, server, call)
    await agent.restart()
    (kept,) = (await agent.thread(call.group_id))["prompts"]
    assert kept["id"] == prompt
    await agent.post(f"/v1/threads/{call.group_id}/choices/{prompt}", {"selected": 0})
    await server.until(lambda: bool(server.choices), "answer")


@pytest.mark.rap("CHO-1", "OAU-1")
async def test_while_a_prompt_is_open_the_call_is_pending_and_the_tool_is_not_called_again(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    await ask(agent, server, call)
    assert await server.oauth(call.id, "https://login.example/a") == 200
    assert [entry["kind"] for entry in await agent.entries(call.group_id)][-1] == "turn"
    assert server.counts == {call.id: 1}
    assert await server.answer(call.id, "done at last") == 200
    await agent.until_said(call.group_id, "echo answered: done at last")
    assert (await agent.thread(call.group_id))["prompts"] == []


@pytest.mark.rap("OAU-1")
@pytest.mark.trap("S9")
async def test_an_authorisation_link_is_shown_and_forgotten_when_the_call_is_over(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    link = "https://login.example/authorize?state=hunter2"
    assert await server.oauth(call.id, link) == 200
    await agent.until_event(call.group_id, "prompt")
    (prompt,) = (await agent.thread(call.group_id))["prompts"]
    assert prompt["auth_url"] == link
    assert await server.answer(call.id, "authorized") == 200
    await agent.until_said(call.group_id, "echo answered: authorized")
    assert (await agent.thread(call.group_id))["prompts"] == []
    assert "hunter2" not in await agent.history(call.group_id)


@pytest.mark.rap("VIEW-1")
async def test_the_latest_content_of_a_view_is_replayed_to_whoever_connects(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    before = await agent.entries(call.group_id)
    for step in range(3):
        assert await server.view(call.id, "progress", {"step": step}) == 200
    assert await server.view(call.id, "diff", None) == 200
    await agent.restart()
    views: dict[str, Any] = {}
    async for kind, data in agent.events(call.group_id):
        if kind == "view":
            views[data["view_type"]] = data["content"]
        if len(views) == 2:
            break
    assert views == {"progress": {"step": 2}, "diff": None}
    assert await agent.entries(call.group_id) == before


@pytest.mark.rap("RES-3")
async def test_what_is_shown_to_people_is_not_what_the_model_sees(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    segments = [
        {"type": "diff", "content": {"path": "a.py", "patch": "+only for people"}},
        {"type": "hologram", "content": {"also": "only for people"}},
    ]
    assert await server.answer(call.id, "for the model", display_as=segments) == 200
    await agent.until_said(call.group_id, "echo answered: for the model")
    assert "only for people" not in await agent.history(call.group_id)
    (entry,) = [each for each in await agent.entries(call.group_id) if each["kind"] == "result"]
    assert entry["meta"]["display"] == segments


@pytest.mark.rap("RES-1")
async def test_of_text_and_content_the_model_gets_the_content(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    content = [{"type": "text", "text": "in full"}]
    assert await server.answer(call.id, "in short", content=content) == 200
    await agent.until_said(call.group_id, "echo answered: in full")
    assert "in short" not in await agent.history(call.group_id)


@pytest.mark.rap("RES-5")
async def test_an_error_is_a_result_like_any_other(
    agent: Agent, server: ToolServer, call: Invocation
) -> None:
    assert await server.answer(call.id, "Error: no such branch; there are main and next") == 200
    await agent.until_said(call.group_id, "echo answered: Error: no such branch")
