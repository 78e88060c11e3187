"""A small exchange to try the example with: prices go up and down for ever. Every tick has a number; old ones can be asked for again."""

import asyncio
import json
import math
import os

from aiohttp import web


def price(number: int) -> float:
    return round(100 + 10 * math.sin(number / 8), 2)


class Exchange:
    """``last``: after so many ticks trading ends, for tests."""

    def __init__(self, interval: float = 0.25, last: int | None = None) -> None:
        self.interval = interval
        self.last = last
        self.number = 0
        self._ticked = asyncio.Condition()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/ticks/{symbol}", self.ticks)
        return application

    async def trade(self) -> None:
        while self.number != self.last:
            await asyncio.sleep(self.interval)
            async with self._ticked:
                self.number += 1
                self._ticked.notify_all()

    async def ticks(self, request: web.Request) -> web.StreamResponse:
        """One JSON object a line, from the tick behind ``after`` on, without end."""
        response = web.StreamResponse()
        await response.prepare(request)
        number = int(request.query.get("after", "0"))
        while True:
            async with self._ticked:
                while self.number <= number:
                    await self._ticked.wait()
            while number < self.number:
                number += 1
                await response.write(json.dumps({"number": number, "price": price(number)}).encode() + b"\n")


async def main() -> None:
    exchange = Exchange()
    runner = web.AppRunner(exchange.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ.get("FEED_PORT", "8823"))).start()
    await exchange.trade()


if __name__ == "__main__":
    asyncio.run(main())
