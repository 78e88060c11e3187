"""A tool that destroys something asks first; the answer may come days and a crash later."""

import asyncio
import tempfile
from pathlib import Path

from infinity import Agent, tool
from infinity.settings import Policy
from infinity.testing import Kit, Script

BRANCHES = {"main", "old", "older"}


@tool(destructive=True)
async def delete_branch(name: str) -> str:
    """Delete a branch for good."""
    BRANCHES.remove(name)
    return f"{name} is gone."


SCRIPT = (
    Script()
    .when("older")
    .call("delete_branch", name="older")
    .when("old")
    .call("delete_branch", name="old")
    .otherwise()
    .say(lambda prompt: prompt.results[0].text)
)


async def main(folder: Path) -> None:
    agent = Agent(tools=[delete_branch], policy=Policy(destructive="ask"))
    async with Kit(folder / "agent.db", agent, SCRIPT) as kit:
        chat = await kit.conversation("Delete the branch old.")
        await kit.rest()
        [question] = await chat.prompts()
        print(f"{question['prompt']} {question['choices']}")
        await kit.advance(days=2)
        await kit.crash()
        print(f"two days and a crash later: {sorted(BRANCHES)}")
        await chat.choose(0)
        print(f"allowed: {await chat.hears('gone')} {sorted(BRANCHES)}")
        await chat.say("Delete older, too.")
        await chat.choose(1)
        print(f"declined: {await chat.hears('declined')} {sorted(BRANCHES)}")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
