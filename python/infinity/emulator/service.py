"""One HTTP server on loopback that is all of AWS: it checks signatures, finds the service and the operation,
and counts.

The service is the one in the signature's scope, as every request of an SDK has it; what is not signed is
refused in the protocol of the service that it seems to be meant for.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable

from aiohttp import web

from .clock import Timeline, WallClock
from .failure import AwsError, ConnectionReset
from .faults import Attempt, Faults
from .permissions import Permissions
from .protocols import Service
from .signature import Credentials, SignatureRefused, scope_of, verify
from .wire import Reply, Request

__all__ = ["HOST", "Front", "read", "written"]

HOST = "127.0.0.1"
MAX_BODY = 1 << 28


class Front:
    """The HTTP server that all services share.

    ``counts`` gets every request that carried a right signature, refused or not.

    Args:
        services: Found by the service of a signature's scope.
        credentials: Of the one caller that may do everything.
        region: That signatures must be made for.
        timeline: The emulator's.
        counts: Requests by ``"service.Operation"``.
        told: Called when a request has been answered.
        permissions: Of the callers that have their own.
    """

    def __init__(
        self,
        services: Iterable[Service],
        credentials: Credentials,
        region: str,
        timeline: Timeline,
        counts: Counter[str],
        told: Callable[[], None],
        permissions: Permissions,
    ) -> None:
        self._permissions = permissions
        self._services = {service.name: service for service in services}
        self._credentials = credentials
        self._region = region
        self._timeline = timeline
        self._runner: web.AppRunner | None = None
        self.counts = counts
        self._told = told
        self.faults = Faults()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on loopback. Port 0 takes a free one, which is in ``port`` afterwards.

        Raises:
            OSError: if the port cannot be had.
        """
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", r"/{anything:[\s\S]*}", self._serve)
        # A caller that is gone takes no message: its long poll ends with its connection.
        self._runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=0.5, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, arrived: web.Request) -> web.StreamResponse:
        request = await read(arrived)
        service = self._service_of(request)
        if service is None:
            return web.Response(status=404, text="no service of this emulator has this name\n")
        try:
            reply = await self._answer(service, request)
        except ConnectionReset:
            # No answer at all: the client sees a reset, as when a load balancer dies.
            if arrived.transport is not None:
                arrived.transport.abort()
            raise web.HTTPInternalServerError from None
        return written(reply)

    async def _answer(self, service: Service, request: Request) -> Reply:
        # Signatures are made by the system's clock even where the emulator's is virtual; either may be near
        # the date.
        times = (self._timeline.now(), WallClock().now())
        try:
            scope = scope_of(request)
            key = scope.access_key if scope is not None else ""
            # An unknown key is checked against the emulator's own, and refused for its name.
            caller = self._permissions.credentials(key) or self._credentials
            verify(request, caller, service.name, self._region, times)
        except SignatureRefused as refused:
            return service.refused(refused)
        try:
            operation = service.operation(request)
            self.counts[f"{service.name}.{operation}"] += 1
            # After it was counted, and before a fault: what is not allowed has no effect whatever else is
            # wrong.
            self._permissions.check(key, service.name, operation, request)
            attempt = Attempt(
                service, operation, request, self._timeline, lambda: service.call(operation, request)
            )
            return await self.faults.around(attempt)
        except AwsError as error:
            return service.failed(error)
        finally:
            self._told()

    def _service_of(self, request: Request) -> Service | None:
        scope = scope_of(request)
        if scope is not None:
            return self._services.get(scope.service)
        return self._services.get(_guess(request))


def _guess(request: Request) -> str:
    """Whom an unsigned request is meant for."""
    match request.headers.get("x-amz-target", "").partition(".")[0]:
        case "AmazonSQS":
            return "sqs"
        case "DynamoDB_20120810":
            return "dynamodb"
        case "secretsmanager":
            return "secretsmanager"
        case "AmazonSSM":
            return "ssm"
        case "AWSEvents":
            return "events"
    first = request.segments[0] if request.segments else ""
    if first in ("schedules", "schedule-groups"):
        return "scheduler"
    if first[:4].isdigit() and "functions" in request.segments:
        return "lambda"
    return "sts" if request.method == "POST" and not first else "s3"


async def read(arrived: web.Request) -> Request:
    """Read an aiohttp request whole; header names become lower case."""
    # Repeated headers are joined as the signature joins them.
    headers = {name.lower(): ",".join(arrived.headers.getall(name)) for name in arrived.headers}
    return Request(arrived.method, arrived.raw_path, headers, await arrived.read())


def written(reply: Reply) -> web.Response:
    """Write a reply for aiohttp, with a request id of its own."""
    headers = {"x-amzn-requestid": str(uuid.uuid4()), **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)
