import asyncio
from collections.abc import AsyncIterator

from infinity.rap import Call, Event, ToolError, Toolset

tools = Toolset("kitchen", "What the kitchen can do.")

PRICES = {"flour": 1.20, "salt": 0.40}


@tools.tool(read_only=True)
async def price(item: str) -> str:
    """What an ingredient costs, in euros."""
    if item not in PRICES:
        raise ToolError(f"there is no {item!r}; there are: {', '.join(PRICES)}")
    return f"{item} costs {PRICES[item]:.2f} euros."


@tools.tool(long_running=True, display_script='"bake " + args.recipe')
async def bake(recipe: str, call: Call, minutes: float = 0.05) -> str:
    """Bake something and tell when it is done. Takes a while."""
    for tenth in range(10):
        await call.view("oven", {"recipe": recipe, "done": tenth / 10})
        await asyncio.sleep(minutes * 6)
    return f"The {recipe} is ready."


@tools.tool
async def order(item: str, call: Call) -> str:
    """Order an ingredient. The user is asked first."""
    if await call.ask(f"Order {item}?", ["Order it", "Leave it"], default=1) == "Leave it":
        return "The user does not want it."
    return f"{item} is on its way."


@tools.subscription
async def watch_oven(degrees: int) -> AsyncIterator[Event]:
    """Tell me how the oven heats up."""
    for reached in range(100, degrees, 100):
        await asyncio.sleep(1)
        yield Event(f"The oven has {reached} degrees.")
    yield Event(f"The oven is hot: {degrees} degrees.", final=True)
