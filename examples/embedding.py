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
        print(await runtime.ask(thread, "Call parcels with day=monday."))


asyncio.run(main())
