"""An agent inside one's own program: one file, one tool, nothing lost if the process dies anywhere in it."""

import asyncio

from infinity import Agent, Runtime, tool


@tool
async def parcels(day: str) -> int:
    """How many parcels left the house on a day, such as monday."""
    return {"monday": 12, "tuesday": 7}.get(day, 0)


async def main() -> None:
    agent = Agent(instructions="You know about parcels.", tools=[parcels])
    async with Runtime.open(agent, "parcels.db") as runtime:
        thread = await runtime.create()
        await runtime.send(thread, '/call parcels {"day": "monday"}')  # the scripted model's words for "how many?"
        async for event in runtime.watch(thread):
            if event.kind == "entry" and b"answered" in event.data:
                print(event.data.decode())
                break


asyncio.run(main())
