"""The operations of Lambda, and the functions, mappings and URLs that a test or ``infinity cloud local`` sets
up.

Setting up is done by its Python methods, because deployments are made by CloudFormation and not by the
host. The operations are those that the host and ``infinity cloud migrate`` use.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..clock import Timeline
from ..failure import AwsError
from ..protocols import RestJsonService
from ..signature import Credentials
from ..sqs import Sqs
from ..wire import Reply, Request
from .events import Events
from .function import Function
from .mapping import EventSourceMapping
from .settings import FunctionSettings, Handler
from .urls import Auth, FunctionUrl

__all__ = ["Lambdas"]


class Lambdas(RestJsonService):
    """``variables`` are set in every function's environment, beneath its own: the emulator's address and
    credentials.
    """

    name = "lambda"

    def __init__(
        self,
        timeline: Timeline,
        region: str,
        account: str,
        credentials: Credentials,
        sqs: Sqs,
        *,
        variables: Callable[[], dict[str, str]],
        counts: Counter[str],
        told: Callable[[], None],
    ) -> None:
        self._timeline = timeline
        self._region = region
        self._account = account
        self._credentials = credentials
        self._sqs = sqs
        self._variables = variables
        self._counts = counts
        self._told = told
        self._functions: dict[str, Function] = {}
        self.events = Events(timeline, sqs, told)
        self.mappings: list[EventSourceMapping] = []
        self.urls: list[FunctionUrl] = []

    # for tests and the command

    def create(self, name: str, handler: str | Handler | None = None, **settings: Any) -> Function:
        """Set up a function.

        Args:
            name: Letters, digits, ``_`` and ``-``; at most 64.
            handler: ``module.function`` for a process of its own, or a callable in this process.
            settings: Further fields of ``FunctionSettings``.

        Raises:
            AwsError: for a bad or taken name, or settings that Lambda would refuse.
        """
        if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) is None:
            raise AwsError("ValidationException", f"{name!r} is not a function's name")
        if name in self._functions:
            raise AwsError("ResourceConflictException", f"Function already exist: {name}", 409)
        arn = f"arn:aws:lambda:{self._region}:{self._account}:function:{name}"
        made = FunctionSettings(name, handler, **settings)
        self._functions[name] = Function(made, arn, self._timeline, self._variables, self._told)
        return self._functions[name]

    def function(self, name: str) -> Function:
        """Find a function.

        Args:
            name: Its name or ARN; a version or an alias behind it is taken for the function itself.

        Raises:
            AwsError: if there is none.
        """
        match = re.fullmatch(
            r"(?:arn:aws:lambda:[^:]*:\d*:function:|\d*:function:)?([^:]+)(?::[\w$-]+)?", name
        )
        found = self._functions.get(match[1]) if match else None
        if found is None:
            arn = f"arn:aws:lambda:{self._region}:{self._account}:function:{name}"
            raise AwsError("ResourceNotFoundException", f"Function not found: {arn}", 404, Type="User")
        return found

    def functions(self) -> list[Function]:
        return list(self._functions.values())

    def map(self, queue: str, function: str, **settings: Any) -> EventSourceMapping:
        """Give a queue's messages to a function from now on.

        Args:
            queue: Name, ARN or URL.
            function: Name or ARN.
            settings: ``batch_size``, ``report_failures`` and ``concurrency`` of ``EventSourceMapping``.
        """
        mapping = EventSourceMapping(
            self._sqs,
            self._sqs.queue(queue),
            self.function(function),
            region=self._region,
            counts=self._counts,
            told=self._told,
            **settings,
        )
        self.mappings.append(mapping)
        mapping.enable()
        return mapping

    async def url(self, function: str, auth: Auth = "NONE", *, port: int = 0) -> str:
        """Open a Function URL on a port of its own.

        Args:
            function: Name or ARN.
            auth: ``NONE``, or ``AWS_IAM`` for signed requests only.
            port: 0 takes a free one.

        Returns:
            The URL, ending in ``/``.
        """
        made = FunctionUrl(
            self.function(function), auth, self._credentials, self._region, self._account, self._timeline
        )
        await made.start(port)
        self.urls.append(made)
        return made.url

    def kill(self) -> int:
        """Kill every environment of every function; for tests of crashes.

        Returns:
            How many there were.
        """
        return sum(function.kill() for function in self._functions.values())

    @property
    def busy(self) -> bool:
        """Whether a function runs, or an event waits to be tried."""
        return self.events.waiting > 0 or any(function.running for function in self._functions.values())

    async def close(self) -> None:
        # The ways in first, so that nothing begins while the rest is closed.
        await asyncio.gather(*(url.close() for url in self.urls))
        await asyncio.gather(*(mapping.close() for mapping in self.mappings))
        await self.events.close()
        await asyncio.gather(*(function.close() for function in self._functions.values()))

    # requests

    def operation(self, request: Request) -> str:
        match request.method, request.segments:
            case "POST", [_, "functions", _, "invocations"]:
                return "Invoke"
            case "GET", [_, "event-source-mappings", _]:
                return "GetEventSourceMapping"
            case "PUT", [_, "event-source-mappings", _]:
                return "UpdateEventSourceMapping"
            case "GET", [_, "functions", _]:
                return "GetFunction"
            case "GET", [_, "functions", _, "configuration"]:
                return "GetFunctionConfiguration"
            case "GET", [_, "functions"] | [_, "functions", ""]:
                return "ListFunctions"
        raise AwsError(
            "UnknownOperationException", f"{request.method} {request.raw_path} is not offered.", 404
        )

    async def call(self, operation: str, request: Request) -> Reply:
        if operation == "ListFunctions":
            return self.answer({"Functions": [_configuration(f) for f in self.functions()]})
        if operation.endswith("EventSourceMapping"):
            return await self._mapping(operation, request)
        function = self.function(request.segments[2])
        match operation:
            case "GetFunction":
                return self.answer({"Configuration": _configuration(function), "Tags": {}})
            case "GetFunctionConfiguration":
                return self.answer(_configuration(function))
        match request.headers.get("x-amz-invocation-type", "RequestResponse"):
            case "DryRun":
                return Reply(204)
            case "Event":
                self.events.accept(function, request.body)
                return Reply(202)
        # A caller that hangs up does not stop the function.
        run = asyncio.ensure_future(function.invoke(request.body, request.headers.get("x-amzn-trace-id")))
        outcome = await asyncio.shield(run)
        headers = {"content-type": "application/json", "x-amz-executed-version": "$LATEST"}
        if outcome.error is not None:
            headers["x-amz-function-error"] = outcome.error
        return Reply(200, outcome.payload, headers)

    async def _mapping(self, operation: str, request: Request) -> Reply:
        """Enabling and disabling are over at once; AWS takes seconds."""
        mapping_id = request.segments[-1]
        mapping = next((each for each in self.mappings if each.id == mapping_id), None)
        if mapping is None:
            text = "The resource you requested does not exist."
            raise AwsError("ResourceNotFoundException", text, 404, Type="User")
        if operation == "UpdateEventSourceMapping":
            wanted = self.document(request).get("Enabled", mapping.enabled)
            mapping.enable() if wanted else await mapping.disable()
        found = {
            "UUID": mapping.id,
            "FunctionArn": mapping.function.arn,
            "State": "Enabled" if mapping.enabled else "Disabled",
        }
        return self.answer(found, 202 if operation == "UpdateEventSourceMapping" else 200)

    def throttled(self) -> AwsError:
        return AwsError("TooManyRequestsException", "Rate exceeded", 429)


def _configuration(function: Function) -> dict[str, Any]:
    settings = function.settings
    return {
        "FunctionName": function.name,
        "FunctionArn": function.arn,
        "Runtime": "python3.11",
        "Handler": settings.handler if isinstance(settings.handler, str) else "in this process",
        "Timeout": int(settings.timeout),
        "MemorySize": settings.memory,
        "Version": "$LATEST",
        "State": "Active",
        "PackageType": "Zip",
        "Environment": {"Variables": dict(settings.environment)},
        "RevisionId": str(uuid.uuid5(uuid.NAMESPACE_URL, function.arn)),
    }
