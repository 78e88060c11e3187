"""The tool server that the console's tests talk to: something quick, something slow, something that asks and something destructive."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from infinity.rap.server import Call, Toolset, serve

tools = Toolset("kitchen", "What the kitchen can do.")


@tools.tool(read_only=True, display_script='"look up the price of " + args.sku')
async def price(sku: str) -> str:
    """The price of an article."""
    return f"{sku} costs 4.20."


@tools.tool(long_running=True)
async def bake(loaves: int) -> str:
    """Bake bread; ready when the file `ready` is there."""
    while not Path(os.environ["KITCHEN_READY"]).exists():
        await asyncio.sleep(0.05)
    return f"{loaves} loaves are ready."


@tools.tool(destructive=True)
async def throw_away(article: str, shelf: str) -> str:
    """Throw something away."""
    return f"{article} is gone from {shelf}."


@tools.tool(idempotent=True, long_running=True)
async def order(article: str, call: Call) -> str:
    """Order an article after asking."""
    answer = await call.choose(f"Order {article}?", ["Yes, order it", "No", "Ask me tomorrow"], default=1)
    return f"The answer was {answer}."


@tools.tool(read_only=True)
async def read_label(article: str) -> str:
    """What is printed on an article, whatever that is."""
    return Path(os.environ["KITCHEN_LABELS"], article).read_text()


if __name__ == "__main__":
    serve(tools, port=int(os.environ["PORT"]), state_path=Path(os.environ["KITCHEN_STATE"]))
