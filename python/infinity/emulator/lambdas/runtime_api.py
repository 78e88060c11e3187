"""Lambda's Runtime API for one environment: the runtime client asks here for the next invocation and posts
what became of it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from ..service import HOST
from .invocation import MAX_PAYLOAD, Invocation, Outcome, failed

__all__ = ["RuntimeApi"]

_ROOT = "/2018-06-01/runtime"


class RuntimeApi:
    """The server for one environment. Make it in a running event loop.

    Args:
        arn: Of the function.
        resting: Called when the runtime waits and has nothing to do; the process may be frozen then.
        rousing: Called when the runtime is about to get something; the process must run again.
    """

    def __init__(self, arn: str, resting: Callable[[], None], rousing: Callable[[], None]) -> None:
        self._arn = arn
        self._resting, self._rousing = resting, rousing
        self._given: asyncio.Queue[tuple[Invocation, int]] = asyncio.Queue()
        self._runner: web.AppRunner | None = None
        self._current: tuple[str, asyncio.Future[Outcome]] | None = None
        self.ready: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        """When initialisation is over; its outcome, if it failed."""
        self.address = ""

    async def start(self) -> None:
        application = web.Application(client_max_size=2 * MAX_PAYLOAD)
        application.router.add_get(f"{_ROOT}/invocation/next", self._next)
        application.router.add_post(f"{_ROOT}/invocation/{{id}}/response", self._response)
        application.router.add_post(f"{_ROOT}/invocation/{{id}}/error", self._error)
        application.router.add_post(f"{_ROOT}/init/error", self._init_error)
        self._runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=0, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.address = "{}:{}".format(*self._runner.addresses[0][:2])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def give(self, invocation: Invocation, deadline: int) -> asyncio.Future[Outcome]:
        """Give the runtime its next invocation. One at a time: the one before must have ended.

        Args:
            invocation: What it gets.
            deadline: Milliseconds since the epoch, by the system's clock.

        Returns:
            The outcome, once the runtime reports it. It is never set if the process ends first.
        """
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._current = (invocation.id, ended)
        self._given.put_nowait((invocation, deadline))
        return ended

    async def _next(self, _: web.Request) -> web.Response:
        # The first question for work says that initialisation is over.
        if not self.ready.done():
            self.ready.set_result(None)
        elif self._given.empty():
            self._resting()
        invocation, deadline = await self._given.get()
        self._rousing()
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": invocation.trace,
        }
        return web.Response(body=invocation.payload, headers=headers)

    async def _response(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > MAX_PAYLOAD:
            self._end(
                request,
                failed(
                    "Function.ResponseSizeTooLarge",
                    f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes).",
                ),
            )
            return web.json_response({"errorType": "RequestEntityTooLarge"}, status=413)
        return self._end(request, Outcome(body))

    async def _error(self, request: web.Request) -> web.Response:
        return self._end(request, Outcome(await request.read(), "Unhandled"))

    async def _init_error(self, request: web.Request) -> web.Response:
        outcome = Outcome(await request.read(), "Unhandled")
        if not self.ready.done():
            self.ready.set_result(outcome)
        return web.json_response({"status": "OK"}, status=202)

    def _end(self, request: web.Request, outcome: Outcome) -> web.Response:
        current = self._current
        # A report of an invocation that is over already, or of none: the runtime client is told so, as on
        # Lambda.
        if current is None or current[0] != request.match_info["id"] or current[1].done():
            body = json.dumps({"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"})
            return web.Response(status=400, text=body, content_type="application/json")
        self._current = None
        current[1].set_result(outcome)
        return web.json_response({"status": "OK"}, status=202)
