"""A call that takes an hour: the user talks meanwhile, and the result comes in by itself."""

import asyncio
import tempfile
from pathlib import Path

from infinity.testing import Kit, Script, ToolServer
from infinity.testing.tool_server import tool

SCRIPT = (
    Script()
    .when("build")
    .call("build", branch="main")
    .when_event("build")
    .say(lambda prompt: f"The build is {prompt.events[0].text}.")
    .otherwise()
    .say("It still runs; I will tell you.")
)


async def main(folder: Path) -> None:
    builds = ToolServer([tool("build", annotations={"longRunning": True})])
    async with builds, Kit(folder / "agent.db", model=SCRIPT, servers=[builds]) as kit:
        chat = await kit.conversation("Build main, please.")
        call = await builds.invoked()
        await kit.rest()
        print(f"the server got {call.operation}({call.arguments}) under {call.id}")
        print(f"the thread: {[reason.text for reason in (await chat.status()).reasons]}")
        await kit.advance(hours=1)
        await chat.say("How is it going?")
        print(f"agent: {await chat.hears('It still runs')}")
        await builds.answer(call.id, "green")
        await builds.answer(call.id, "green")
        print(f"agent: {await chat.hears('The build is')}")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
