"""Who is asked before a call leaves: by the tool's name, by what its server says of it, by default (DISC-9)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.slice.scenes import World

from infinity import Agent
from infinity.config.schema import Config
from infinity.settings import Policy
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, tool

READ_ONLY, DESTRUCTIVE = {"readOnly": True}, {"destructive": True}


@pytest.mark.rap("DISC-9")
@pytest.mark.parametrize(
    ("policy", "annotations", "verdict"),
    [
        (Policy(), {}, "allow"),
        (Policy(), DESTRUCTIVE, "ask"),
        (Policy(), {"destructive": False}, "allow"),
        (Policy(destructive="deny"), DESTRUCTIVE, "deny"),
        (Policy(destructive="allow"), DESTRUCTIVE, "allow"),
        (Policy(default="ask"), {}, "ask"),
        (Policy(default="ask", annotations={"readOnly": "allow"}), READ_ONLY, "allow"),
        (Policy(default="ask", annotations={"readOnly": "allow"}), {"idempotent": True}, "ask"),
        (Policy(annotations={"readOnly": "allow"}), {**READ_ONLY, **DESTRUCTIVE}, "ask"),
        (Policy(annotations={"requiresAuth": "deny"}), {**DESTRUCTIVE, "requiresAuth": "github"}, "deny"),
        (Policy(annotations={"destructive": "allow"}), DESTRUCTIVE, "allow"),
        (Policy(annotations={"longRunning": "ask"}), {"longRunning": True}, "ask"),
        (Policy(tools={"a": "allow"}, destructive="deny"), DESTRUCTIVE, "allow"),
        (Policy(tools={"a": "deny"}), READ_ONLY, "deny"),
    ],
)
async def test_a_name_wins_over_the_strictest_annotation_which_wins_over_the_default(
    open_world: Any, policy: Policy, annotations: dict[str, Any], verdict: str
) -> None:
    async with ToolServer([tool("a", annotations=annotations)]) as server:
        world: World = await open_world(servers=[server], agent=Agent(policy=policy)).start()
        world.model.then(call(("a", {})), say("denied"))
        thread = await world.thread("go")
        await world.noted(thread, "slice")
        await world.settled(thread)
        prompts = [row.kind for row in await world.store.prompts(thread)]
        if verdict == "allow":
            await server.invoked()
        assert prompts == (["consent"] if verdict == "ask" else [])
        assert (len(world.model.requests) == 2) is (verdict == "deny")
        assert len(server.invocations) == int(verdict == "allow")
        await world.close()


@pytest.mark.rap("DISC-9")
def test_the_policy_of_the_configuration_is_the_agents() -> None:
    section = {"default": "ask", "annotations": {"readOnly": "allow"}, "tools": {"drop": "deny"}}
    made = Config.model_validate({"policy": section}).settings().policy
    assert made == Policy(tools={"drop": "deny"}, annotations={"readOnly": "allow"}, default="ask")


@pytest.mark.parametrize(
    "section", [{"annotations": {"readonly": "ask"}}, {"annotations": {"readOnly": "maybe"}}]
)
def test_a_word_that_would_silently_mean_nothing_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"policy": section})
