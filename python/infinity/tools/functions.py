"""Functions of this process as tools: ``@tool`` makes one from a typed function, its schema from the type hints.

They run behind the outbox like every other call: recorded first, run again under the same id if the process dies before they end (I5).
Their deliveries are the work itself, so a row leaves the outbox only when its result is durable.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from infinity.abc import Delivery, Verdict
from infinity.errors import ConfigError
from infinity.message import Result, text_blocks
from infinity.tools.catalog import Definitions, ToolDefinition

log = logging.getLogger("infinity.tools")

P = ParamSpec("P")
R = TypeVar("R")

SCHEME = "python:"

Answer = Callable[[str, str, Result], Awaitable[None]]
"""Make a result durable: thread, call id, result."""


class Tool(Generic[P, R]):
    """A function that a model may call; still callable as itself."""

    def __init__(
        self, function: Callable[P, R], name: str, description: str, annotations: dict[str, Any]
    ) -> None:
        self.function = function
        self.name = name
        self.description = description
        self.annotations = annotations
        self._validated: Any = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, from the signature's type hints (pydantic)."""
        from pydantic import TypeAdapter

        adapter: TypeAdapter[Any] = TypeAdapter(self.function)  # type: ignore[arg-type]
        schema = adapter.json_schema()
        if schema.get("type") != "object":
            raise ConfigError(
                f"tool {self.name!r}: arguments must be named; a function with *args or positional-only parameters cannot be a tool"
            )
        return schema

    async def run(self, arguments: dict[str, Any]) -> Any:
        """Call with validated arguments; a plain function runs in a thread, so that it cannot hold up the event loop."""
        if self._validated is None:
            from pydantic import validate_call

            self._validated = validate_call(self.function)
        if inspect.iscoroutinefunction(self.function):
            coroutine: Awaitable[Any] = self._validated(**arguments)
            return await coroutine
        return await asyncio.to_thread(self._validated, **arguments)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *, name: str = "", destructive: bool = False, read_only: bool = False, long_running: bool = False
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    destructive: bool = False,
    read_only: bool = False,
    long_running: bool = False,
) -> Any:
    """Make a tool of a typed function; its docstring tells the model what it does.

    ``destructive`` tools ask the user first, ``long_running`` ones have no deadline. The function may be run again under the same
    call after a crash, so it should be safe to repeat.
    """

    def make(function: Callable[..., Any]) -> Tool[Any, Any]:
        description = inspect.getdoc(function)
        tool_name = name or getattr(function, "__name__", "")
        if not description:
            raise ConfigError(f"tool {tool_name!r} has no docstring; write one, the model reads it")
        annotations = {"destructive": destructive, "readOnly": read_only, "longRunning": long_running}
        return Tool(function, tool_name, description, {key: True for key, on in annotations.items() if on})

    return make if function is None else make(function)


class Functions:
    """Functions as a source of tools (``tools.catalog.Source``) and as the transport that runs them (``abc.Transport``)."""

    def __init__(self, tools: Sequence[Tool[..., Any]], answer: Answer) -> None:
        self._tools = {each.name: each for each in tools}
        if len(self._tools) != len(tools):
            raise ConfigError(
                "two tools of one agent have the same name; give one of them another with @tool(name=…)"
            )
        self._answer = answer

    async def definitions(self) -> Definitions:
        made = [
            ToolDefinition(
                each.name,
                each.description,
                each.schema,
                each.annotations,
                None,
                "python",
                f"{SCHEME}{each.name}",
            )
            for each in self._tools.values()
        ]
        return Definitions(made, [])

    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        """Run one invocation to its end and make its result durable."""
        invocation = msgspec.json.decode(body)
        call_id, thread = invocation["id"], invocation["group_id"]
        found = self._tools.get(url.removeprefix(SCHEME))
        if found is None:
            return Delivery(Verdict.REFUSED, "this agent has no such function any more")
        result = await self._result(found, call_id, invocation["arguments"])
        await self._answer(thread, call_id, result)
        return Delivery(Verdict.DELIVERED)

    async def _result(self, tool: Tool[..., Any], call_id: str, arguments: dict[str, Any]) -> Result:
        from pydantic import ValidationError

        try:
            value = await tool.run(arguments)
        except ValidationError as error:
            text = "; ".join(f"{_path(each['loc'])}: {each['msg']}" for each in error.errors())
            return _error(call_id, f"{tool.name} did not accept its arguments: {text}")
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is its result
            log.warning("tool %s failed in call %s: %s", tool.name, call_id, type(error).__name__)
            return _error(call_id, f"{tool.name} failed: {type(error).__name__}: {error}")
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=_plain).decode()
        except (TypeError, ValueError) as error:
            return _error(call_id, f"{tool.name} returned something that is no JSON: {error}")
        return Result(call_id=call_id, content=text_blocks(text))

    async def close(self) -> None:
        """Nothing is held."""


def _error(call_id: str, text: str) -> Result:
    return Result(call_id=call_id, content=text_blocks(f"Error: {text}"))


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) or "arguments"


def _plain(value: Any) -> Any:
    """pydantic models as the JSON they mean."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"a {type(value).__name__}")
    return dump(mode="json")
