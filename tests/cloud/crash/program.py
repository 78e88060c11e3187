"""An agent with a function of its own, as ``INFINITY_AGENT`` names it; the test that runs it says what becomes of the function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from infinity.agent import Agent
from infinity.tools.functions import tool

begun: list[int] = []
"""The argument of each run that has begun."""
work: list[Callable[[], Awaitable[object]]] = []
"""What the first runs do, one after the other; later ones end at once."""


@tool
async def measure(n: int) -> str:
    """Measure something."""
    begun.append(n)
    await (work.pop(0)() if work else asyncio.sleep(0))
    return f"measured {n}"


agent = Agent(tools=[measure], model="anthropic/claude-sonnet-5")
