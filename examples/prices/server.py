"""A feed that ticks all the time, and an agent that wakes only when it matters: thresholds as a subscription."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp

from infinity.rap.server import Event, Subscription, ToolError, Toolset, serve

FEED = os.environ.get("PRICE_FEED", "http://127.0.0.1:8823")

tools = Toolset("prices", "Watches prices.")


class Tick(NamedTuple):
    number: int
    price: float


@tools.subscription(display_script='"watch " + args.symbol')
async def watch_price(symbol: str, low: float, high: float, call: Subscription) -> AsyncIterator[Event]:
    """Tell when the price of a symbol leaves the range from low to high, and when it comes back. Nothing else is told."""
    if not low < high:
        raise ToolError("low must be less than high")
    # Only crossings are remembered; the ticks since the last one are asked for again after a crash.
    last, where = CROSSINGS.last(call)
    async for tick in ticks(symbol, last):
        now = "below" if tick.price < low else "above" if tick.price > high else "within"
        if now != where:
            where = now
            text = (
                f"{symbol} is {where} the range {low:g} to {high:g}: {tick.price:.2f} at tick {tick.number}"
            )
            # The tick's number is the event's id: found again after a crash, it is the same crossing.
            yield Event(text, id=f"tick-{tick.number}", associative=True)
            CROSSINGS.note(call, tick.number, where)


async def ticks(symbol: str, after: int) -> AsyncIterator[Tick]:
    """All ticks behind a number, over as many connections as it takes."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(FEED, timeout=timeout) as feed:
        while True:
            try:
                async with feed.get(f"/ticks/{symbol}", params={"after": after}) as response:
                    response.raise_for_status()
                    async for line in response.content:
                        tick = Tick(**json.loads(line))
                        after = tick.number
                        yield tick
            except (aiohttp.ClientError, TimeoutError):
                pass  # the exchange is not there; it has numbers, so nothing is missed
            await asyncio.sleep(1)


class Crossings:
    """Where each subscription's price was last, and since which tick."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS crossings (thread TEXT, call TEXT, tick INTEGER, place TEXT, PRIMARY KEY (thread, call))"
        )

    def last(self, call: Subscription) -> tuple[int, str]:
        query = "SELECT tick, place FROM crossings WHERE thread = ? AND call = ?"
        return self._database.execute(query, (call.thread, call.id)).fetchone() or (0, "within")

    def note(self, call: Subscription, tick: int, place: str) -> None:
        row = (call.thread, call.id, tick, place)
        self._database.execute("INSERT OR REPLACE INTO crossings VALUES (?, ?, ?, ?)", row)


CROSSINGS = Crossings("crossings.db")

if __name__ == "__main__":
    serve(tools, port=int(os.environ.get("PORT", "8813")), state_path="prices.db")
