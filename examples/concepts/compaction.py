"""A long history is summarised; what the model gets becomes short, and every entry stays."""

import asyncio
import json
import tempfile
from pathlib import Path

from infinity.message import Action
from infinity.testing import Kit, Script

SCRIPT = (
    Script()
    .when("summarise the conversation")
    .say("The user counts sheep; the last one was 20.")
    .otherwise()
    .say("Good.")
)


async def main(folder: Path) -> None:
    async with Kit(folder / "agent.db", model=SCRIPT) as kit:
        chat = await kit.conversation()
        for number in range(1, 21):
            await chat.ask(f"Sheep {number}.")
        print(f"the model gets {len(kit.model.requests[-1]['messages'])} messages")
        await kit.runtime.control(chat.id, Action.COMPACT)
        await kit.rest()
        await chat.ask("Sheep 21.")
        messages = kit.model.requests[-1]["messages"]
        print(f"after the compaction it gets {len(messages)}; the first is:")
        print("  " + json.dumps(messages[0]["content"][0]["text"]))
        print(f"the history still has all of its {len(await chat.history())} entries")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
