"""A thread waits for three days, its process dies meanwhile, and nobody notices; then it creates a child."""

import asyncio
import tempfile
from pathlib import Path

from infinity.testing import Conversation, Kit, Script

SCRIPT = (
    Script()
    .when_result("spawn_thread", "you are now in the child thread")
    .call("close_thread", report="The office is open.")
    .when("in three days")
    .call("sleep", seconds=3 * 24 * 3600)
    .then()
    .call("spawn_thread", instructions="Find out whether the office is open.")
    .when_event("spawn_thread")
    .say(lambda prompt: f"My child says: {prompt.events[0].text}")
    .otherwise()
    .say("I let a child find out.")
)


async def tell(when: str, chat: Conversation) -> None:
    status = await chat.status()
    reasons = "; ".join(reason.text for reason in status.reasons) or "nothing to wait for"
    print(f"{when}: {status.state}, {reasons}")


async def main(folder: Path) -> None:
    async with Kit(folder / "agent.db", model=SCRIPT) as kit:
        chat = await kit.conversation("Ask at the office in three days.")
        await kit.rest()
        await tell("on the first day", chat)
        await kit.advance(days=2)
        await kit.crash()
        await tell("two days and a crash later", chat)
        await kit.advance(days=1)
        await tell("on the third day", chat)
        print(f"it said: {await chat.said()}")
        for child in await chat.children():
            await tell("its child", child)


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
