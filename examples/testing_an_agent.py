import asyncio
import tempfile
from pathlib import Path

from infinity import Agent, Runtime, tool
from infinity.models.registry import Models
from infinity.models.scripted import ScriptedModel
from infinity.testing.script import Script


@tool
async def parcels(day: str) -> int:
    """How many parcels left the house on a day, such as monday."""
    return {"monday": 12, "tuesday": 7}.get(day, 0)


script = (
    Script()
    .when("how many")
    .call("parcels", day="monday")
    .then()
    .say(lambda prompt: f"{prompt.results[0].text} parcels left on Monday.")
)


async def answer_to(question: str, folder: Path) -> str:
    models = Models(providers={"scripted": ScriptedModel(script)})
    async with Runtime.open(Agent(tools=[parcels]), folder / "test.db", models=models) as runtime:
        thread = await runtime.create()
        return await runtime.ask(thread, question)


with tempfile.TemporaryDirectory() as folder:
    answer = asyncio.run(answer_to("How many parcels left on Monday?", Path(folder)))
    assert answer == "12 parcels left on Monday.", answer
    print(answer)
