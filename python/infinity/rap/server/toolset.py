"""A toolset in the making: functions with type hints and docstrings, and webhooks that feed subscriptions.

This is what the author of a tool server writes against; ``serving``, ``asgi`` and
``cloud/tool_function.py`` run it. Mistakes in a tool are errors here, when it is registered, and not
when it is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack, overload

from infinity.errors import ConfigError

from .call import Subscription
from .signature import Signature

if TYPE_CHECKING:
    from infinity.cloud.tool_function import LambdaHandler

    from .asgi import AsgiApplication
    from .limits import Limits

MAX_NAME = 128
"""Characters of the name of a toolset or tool."""
_TAKEN = ("/invoke", "/close_thread", "/cancel_tool_call", "/migrate")

F = TypeVar("F", bound=Callable[..., Any])


class Annotations(TypedDict, total=False):
    """What the model's runtime should know of a tool (DISC-9)."""

    read_only: bool
    destructive: bool
    idempotent: bool
    long_running: bool
    requires_auth: str


_SPELLING = {
    "read_only": "readOnly",
    "destructive": "destructive",
    "idempotent": "idempotent",
    "long_running": "longRunning",
    "requires_auth": "requiresAuth",
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request that reached one of the toolset's webhooks. ``headers``: names in lower case."""

    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


WebhookFunction = Callable[[Webhook], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One tool: its function and what the model is told of it."""

    name: str
    description: str
    function: Callable[..., Any]
    signature: Signature
    subscribes: bool
    annotations: dict[str, Any]
    display_script: str | None
    timeout: float | None

    def seconds(self, default: float) -> float | None:
        """How long the function may take.

        Args:
            default: seconds for tools that say nothing of their own.

        Returns:
            ``None``: as long as it likes.
        """
        # A time of its own wins over the annotation.
        if self.timeout is None and self.annotations.get("longRunning"):
            return None
        return default if self.timeout is None else self.timeout

    @property
    def generates(self) -> bool:
        """Whether it is an async generator, whose items are the events of a subscription."""
        return inspect.isasyncgenfunction(self.function)

    @property
    def repeatable(self) -> bool:
        """Whether running it again after a crash does no harm, by its own word."""
        return bool(self.annotations.get("idempotent") or self.annotations.get("readOnly"))

    def entry(self) -> dict[str, Any]:
        """As the manifest lists it (DISC-2)."""
        entry: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.signature.schema(),
        }
        if self.annotations:
            entry["annotations"] = self.annotations
        if self.display_script is not None:
            entry["displayScript"] = self.display_script
        return entry


class Registry(Protocol):
    """Where a running server keeps its subscriptions."""

    async def active(self, operation: str) -> Sequence[Subscription]:
        """The active subscriptions of one tool.

        Args:
            operation: the tool's name.
        """
        ...


class Toolset:
    """The tools of one server.

    Args:
        name: 1–128 characters, unique among the servers of a runtime.
        description: what the tools have in common.

    Raises:
        ConfigError: the name is too long or empty.
    """

    def __init__(self, name: str, description: str = "") -> None:
        if not 1 <= len(name) <= MAX_NAME:
            raise ConfigError(f"a toolset's name has 1 to {MAX_NAME} characters, not {len(name)} (DISC-2)")
        self.name = name
        self.description = description
        self.operations: dict[str, Operation] = {}
        self.webhooks: dict[str, WebhookFunction] = {}
        self.registry: Registry | None = None

    @overload
    def tool(self, function: F) -> F: ...
    @overload
    def tool(
        self,
        *,
        name: str | None = None,
        display_script: str | None = None,
        timeout: float | None = None,
        **annotations: Unpack[Annotations],
    ) -> Callable[[F], F]: ...
    def tool(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        display_script: str | None = None,
        timeout: float | None = None,
        **annotations: Unpack[Annotations],
    ) -> Any:
        """Make a function a tool: type hints become its schema, the docstring its description, the return
        value its result. With or without arguments: ``@tools.tool`` or ``@tools.tool(timeout=60)``.

        A function that was interrupted by a crash of this server runs again only if it is
        ``idempotent`` or ``read_only``; otherwise its call is answered with an error. A plain function
        runs in a thread.

        Args:
            function: the tool, where the decorator has no arguments.
            name: as the model knows it; the function's own if not given.
            display_script: how a call is shown to people (DISC-8).
            timeout: seconds that it may take, instead of ``Limits.seconds``; ``long_running`` ones may
                take as long as they like.
            **annotations: what a runtime should know of it; see ``Annotations``.

        Raises:
            ConfigError: the function cannot be a tool; the text says why.
        """

        def add(function: F) -> F:
            self._add(function, name, False, annotations, display_script, timeout)
            return function

        return add if function is None else add(function)

    @overload
    def subscription(self, function: F) -> F: ...
    @overload
    def subscription(
        self,
        *,
        name: str | None = None,
        display_script: str | None = None,
        timeout: float | None = None,
        **annotations: Unpack[Annotations],
    ) -> Callable[[F], F]: ...
    def subscription(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        display_script: str | None = None,
        timeout: float | None = None,
        **annotations: Unpack[Annotations],
    ) -> Any:
        """Make a function a tool that subscribes (RES-4). There are two kinds.

        A coroutine sets the subscription up and returns the confirmation for the model; an exception
        refuses it. Events are sent by the code that has the subscription in hand (``subscriptions()``), say a
        webhook.

        An async generator yields the events, as texts or ``Event``; when it ends, so does the
        subscription. After a restart of this server it runs again, with ``Subscription.resumed`` set.

        Args:
            function: the tool, where the decorator has no arguments.
            name: as the model knows it; the function's own if not given.
            display_script: how a call is shown to people (DISC-8).
            timeout: seconds that setting it up may take, instead of ``Limits.seconds``.
            **annotations: what a runtime should know of it; see ``Annotations``.

        Raises:
            ConfigError: the function cannot be a subscription; the text says why.
        """

        def add(function: F) -> F:
            if not inspect.iscoroutinefunction(function) and not inspect.isasyncgenfunction(function):
                raise ConfigError(
                    f"subscription {function.__name__!r} must be 'async def', with 'yield' for each event or without"
                )
            self._add(function, name, True, annotations, display_script, timeout)
            return function

        return add if function is None else add(function)

    def webhook(self, path: str) -> Callable[[WebhookFunction], WebhookFunction]:
        """Serve ``POST <path>`` with a coroutine that returns a status, or nothing for 200.

        Anybody may call it: it must check signatures itself (S8).

        Args:
            path: begins with a slash; each is used once.

        Raises:
            ConfigError: the path is taken or is none.
        """

        def add(function: WebhookFunction) -> WebhookFunction:
            if not path.startswith("/") or path in (*self.webhooks, *_TAKEN):
                raise ConfigError(f"webhook path {path!r} must begin with a slash and be used once")
            self.webhooks[path] = function
            return function

        return add

    async def subscriptions(self, operation: str | Callable[..., Any]) -> Sequence[Subscription]:
        """The active subscriptions of one tool, from all threads and runtimes; empty while no server runs.

        Args:
            operation: the tool's name or its function.

        Raises:
            ConfigError: the function is not a tool of this toolset.
        """
        name = operation if isinstance(operation, str) else self._name_of(operation)
        return await self.registry.active(name) if self.registry is not None else []

    def asgi(
        self,
        state_path: Path | str = "tool-server.db",
        *,
        token: str | None = None,
        limits: Limits | None = None,
        public_url: str | None = None,
    ) -> AsgiApplication:
        """An application for any ASGI server; run one worker process for each state file.

        Args:
            state_path: the SQLite file that keeps what was acknowledged.
            token: what callers must send as ``Authorization: Bearer``.
            limits: how much is taken on at once.
            public_url: the base URL that runtimes use, where a proxy stands in between.
        """
        from .application import Application
        from .asgi import AsgiApplication

        return AsgiApplication(
            Application(self, state_path, token=token, limits=limits, public_url=public_url)
        )

    def lambda_handler(
        self, *, token: str | None = None, limits: Limits | None = None, table: str | None = None
    ) -> LambdaHandler:
        """A handler for AWS Lambda behind a Function URL; see ``LambdaHandler``.

        Args:
            token: what callers must send as ``Authorization: Bearer``.
            limits: how long functions may take, and how large their results may be.
            table: DynamoDB table that remembers which calls ran.
        """
        from infinity.cloud.tool_function import LambdaHandler

        return LambdaHandler(self, token=token, limits=limits, table=table)

    def manifest(self, endpoint: str) -> dict[str, Any]:
        """The discovery document (DISC-2).

        Args:
            endpoint: where invocations go, as the runtime that asks reaches this server.

        Raises:
            ConfigError: there is no tool in it.
        """
        if not self.operations:
            raise ConfigError(f"toolset {self.name!r} has no tools; add one with @tools.tool")
        return {
            "name": self.name,
            "description": self.description,
            "endpoint": endpoint,
            "needsMigration": False,
            "tools": [operation.entry() for operation in self.operations.values()],
        }

    def _add(
        self,
        function: Callable[..., Any],
        name: str | None,
        subscribes: bool,
        annotations: Annotations,
        display_script: str | None,
        timeout: float | None,
    ) -> None:
        # Everything is checked now: a tool that cannot work must not be offered.
        name = name or function.__name__
        description = inspect.getdoc(function)
        if not description:
            raise ConfigError(f"tool {name!r} has no docstring; write one, the model reads it (DISC-2)")
        if name in self.operations:
            raise ConfigError(f"toolset {self.name!r} has a tool {name!r} already; names are unique (DISC-4)")
        if not 1 <= len(name) <= MAX_NAME or any(character.isspace() for character in name):
            raise ConfigError(f"tool {name!r}: a name has 1 to {MAX_NAME} characters and no spaces (DISC-2)")
        unknown = set(annotations) - set(_SPELLING)
        if unknown:
            raise ConfigError(
                f"tool {name!r}: unknown annotations {sorted(unknown)}; known: {sorted(_SPELLING)}"
            )
        if timeout is not None and timeout <= 0:
            raise ConfigError(f"tool {name!r}: the timeout must be above zero seconds")
        signature = Signature(function, name)
        if signature.subscribes and not subscribes:
            raise ConfigError(f"tool {name!r} takes a Subscription; make it one with @tools.subscription")
        spelled = {_SPELLING[key]: value for key, value in annotations.items()}
        self.operations[name] = Operation(
            name, description, function, signature, subscribes, spelled, display_script, timeout
        )

    def _name_of(self, function: Callable[..., Any]) -> str:
        for operation in self.operations.values():
            if operation.function is function:
                return operation.name
        raise ConfigError(f"{function!r} is not a tool of toolset {self.name!r}")
