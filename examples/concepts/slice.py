"""What slices are made of: the event stream of a thread, from a question to its answer."""

import asyncio
import json
import tempfile
from pathlib import Path

from infinity import Agent, tool
from infinity.testing import Kit, Script


@tool
async def parcels(day: str) -> int:
    """How many parcels left the house on a day, such as monday."""
    return {"monday": 12, "tuesday": 7}[day]


SCRIPT = (
    Script()
    .when("how many")
    .call("parcels", day="monday")
    .then()
    .say(lambda prompt: f"{prompt.results[0].text} parcels left on Monday.")
)


async def main(folder: Path) -> None:
    async with Kit(folder / "agent.db", Agent(tools=[parcels]), SCRIPT) as kit:
        chat = await kit.conversation("How many parcels left on Monday?")
        await kit.rest()
        slices = 0
        async for event in kit.runtime.watch(chat.id):
            data = json.loads(event.data)
            if event.kind == "entry":
                print(f"entry {data['position']}: {data['kind']}")
            elif event.kind == "call":
                print(f"planned: {data['display']}")
            elif event.kind == "slice":
                slices += 1
                print(f"slice {slices} is committed: {data['rounds']} completion; nothing runs now")
            if slices == 2:
                break


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
