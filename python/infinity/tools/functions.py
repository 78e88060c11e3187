"""Functions of this process as tools: ``@tool`` makes one from a typed function, its schema from the type
hints.

They run behind the outbox like every other call: recorded first, run again under the same id if the
process dies before they end (I5). Their deliveries are the work itself, so a row leaves the outbox only
when its result is durable.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from infinity.abc import Delivery, Verdict
from infinity.backoff import Backoff
from infinity.errors import BadRequest, ConfigError, LimitReached, ToolsetError
from infinity.functions.failure import error_text
from infinity.functions.rendering import text_of
from infinity.functions.running import Runner, Work, is_async
from infinity.functions.turn import Slots, Turn
from infinity.message import Result, text_blocks
from infinity.settings import Settings
from infinity.supervision import shared, survivable
from infinity.tools.builtins import BUILTINS
from infinity.tools.catalog import RESERVED, Definitions, ToolDefinition, fit
from infinity.tools.schema import ArgumentSchema

log = logging.getLogger("infinity.tools")

P = ParamSpec("P")
R = TypeVar("R")

SCHEME = "python:"
TOOLSET = "python"
MAX_NAME = 64
"""Characters that every model API takes."""
RECORDING = Backoff(first=0.5, longest=60.0)
KEPT_RESULTS = 64
KEPT_IDS = 1_024

Answer = Callable[[str, str, Result], Awaitable[None]]
"""Make a result durable: thread, call id, result."""


class Tool(Generic[P, R]):
    """A function that a model may call; still callable as itself. ``tool`` makes one.

    Args:
        function: Sync or async; its parameters are named and typed.
        name: As the model sees it.
        description: What the model reads.
        annotations: Of RAP: ``destructive``, ``readOnly``, ``longRunning``.
        timeout: Seconds that it may take, in place of ``timeouts.call``.
    """

    def __init__(
        self,
        function: Callable[P, R],
        name: str,
        description: str,
        annotations: dict[str, Any],
        timeout: float | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.description = description
        self.annotations = annotations
        self.timeout = timeout

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @functools.cached_property
    def signature(self) -> Any:
        """``infinity.functions.signature.Signature``; ``ConfigError`` if the function cannot be a tool."""
        from infinity.functions.signature import Signature

        return Signature(self.function, self.name, untyped=True)

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, from the signature's type hints (pydantic). Not to be changed."""
        schema: dict[str, Any] = self.signature.schema()
        return schema

    @property
    def long_running(self) -> bool:
        return bool(self.annotations.get("longRunning"))

    def work(self, arguments: Mapping[str, Any]) -> Callable[[], Any]:
        """The function with its arguments, which are checked when and where it runs.

        Args:
            arguments: As the model sent them, under the names of the parameters.

        Returns:
            A function without parameters, async if the tool is.
        """
        if is_async(self.function):

            async def run() -> Any:
                value: Any = self.function(**self.signature.check(arguments))  # type: ignore[call-arg]
                return await value

            return run
        return lambda: self.function(**self.signature.check(arguments))  # type: ignore[call-arg]


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str = "",
    destructive: bool = False,
    read_only: bool = False,
    long_running: bool = False,
    timeout: float | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    destructive: bool = False,
    read_only: bool = False,
    long_running: bool = False,
    timeout: float | None = None,
) -> Any:
    """Make a tool of a typed function; its docstring tells the model what it does.

    The function may be run again under the same call after a crash, so it should be safe to repeat.

    Args:
        function: Sync or async, with named and typed parameters.
        name: As the model sees it, 1 to 64 characters; by default the function's own.
        destructive: Ask the user before each call.
        read_only: Tell the model and policies that it changes nothing.
        long_running: It has no deadline.
        timeout: Seconds that it may take, in place of the runtime's ``timeouts.call``.

    Raises:
        ConfigError: if the function cannot be a tool: no docstring, no name, ``*args``, a generator, a
            class.
    """

    def make(function: Callable[..., Any]) -> Tool[Any, Any]:
        tool_name = name or str(getattr(function, "__name__", ""))
        described = _described(function, tool_name)
        if timeout is not None and timeout <= 0:
            raise ConfigError(f"tool {tool_name!r}: the timeout must be above zero seconds")
        annotations = {"destructive": destructive, "readOnly": read_only, "longRunning": long_running}
        on = {key: True for key, value in annotations.items() if value}
        return Tool(function, tool_name, described, on, timeout)

    return make if function is None else make(function)


ToolLike = Tool[..., Any] | Callable[..., Any]
"""A tool, or a function with a docstring, which becomes one."""


def as_tools(functions: Iterable[ToolLike]) -> tuple[Tool[..., Any], ...]:
    """An agent's tools, each checked as the model will get it; plain functions are made tools.

    Raises:
        ConfigError: says which cannot be one, and why.
    """
    made = tuple(each if isinstance(each, Tool) else tool()(each) for each in functions)
    names: dict[str, str] = {}
    taken = {each.name for each in BUILTINS} | {RESERVED}
    for each in made:
        name = fit(each.name)
        if name in taken:
            raise ConfigError(
                f"tool {each.name!r} has the name of a built-in tool; give it another with @tool(name=…)"
            )
        if name in names:
            raise ConfigError(
                f"two tools of one agent have the same name for the model, {names[name]!r} and {each.name!r}; give one of them another with @tool(name=…)"
            )
        names[name] = each.name
        try:
            ArgumentSchema(each.schema)
        except ToolsetError as error:
            raise ConfigError(f"tool {each.name!r}: its parameters have no JSON schema ({error})") from error
    return made


def _described(function: Callable[..., Any], name: str) -> str:
    """The description, of a function that can be a tool by its kind."""
    if isinstance(function, Tool):
        raise ConfigError(f"{name!r} is a tool already; use it as it is")
    if not callable(function):
        raise ConfigError(f"a tool is made of a function, not of a {type(function).__name__}")
    if isinstance(function, type):
        raise ConfigError(f"tool {name!r} is a class; write a function that uses it")
    if name == "<lambda>" or not 1 <= len(name) <= MAX_NAME or name.isspace():
        raise ConfigError(
            f"a tool's name has 1 to {MAX_NAME} characters and {name!r} is none; give it one with @tool(name=…), or write it with def"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(f"tool {name!r} has 'yield' in it; return the whole result, say a list")
    _check_parameters(function, name)
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    described = inspect.getdoc(plain)
    if not described or not described.strip():
        raise ConfigError(f"tool {name!r} has no docstring; write one, the model reads it")
    return described


def _check_parameters(function: Callable[..., Any], name: str) -> None:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"tool {name!r}: its parameters are not known ({error}); wrap it in a function of your own"
        ) from error
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(
                f"tool {name!r}: arguments must be named, so a function with *args, **kwargs or positional-only parameters ({parameter.name!r}) cannot be a tool"
            )
    first = parameters[0] if parameters else None
    # An untyped ``self``: the function was taken from the class, and nobody would give it an object.
    if first is not None and first.name in ("self", "cls") and first.annotation is first.empty:
        raise ConfigError(f"tool {name!r} is a method without its object; use tool(object.{name})")


class Functions:
    """Functions as a source of tools (``tools.catalog.Source``) and as the transport that runs them
    (``abc.Transport``).

    Args:
        tools: Of the agent.
        answer: Makes a result durable.
        settings: Limits and time-outs.
        sleep: Waits for so many seconds, between tries to record a result.

    Raises:
        ConfigError: as ``as_tools``.
    """

    def __init__(
        self,
        tools: Sequence[ToolLike],
        answer: Answer,
        settings: Settings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tools = {each.name: each for each in as_tools(tools)}
        self._answer = answer
        self._settings = settings or Settings()
        self._sleep = sleep
        self._runner = Runner()
        limits = self._settings.limits
        self._slots = Slots(limits.functions, limits.slow_functions, "this process")
        self._running: dict[str, asyncio.Task[Result]] = {}
        """By call. One that a thread runs stays here when nobody waits for it any more: asked for again, it
        is not begun twice."""
        self._results: OrderedDict[str, Result] = OrderedDict()
        """By call: what is not on record yet (R10)."""
        self._recorded: OrderedDict[str, None] = OrderedDict()
        """Calls whose result is on record, should somebody ask again before their row has gone."""
        self.since: dict[str, int] = {}
        """By call: when its function began, in ms since the epoch."""

    async def definitions(self) -> Definitions:
        made = [
            ToolDefinition(
                each.name,
                each.description,
                each.schema,
                each.annotations,
                None,
                TOOLSET,
                f"{SCHEME}{each.name}",
            )
            for each in self._tools.values()
        ]
        return Definitions(made, [])

    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        """Run one invocation to its end and make its result durable. The outbox row leaves only then (I5).

        Args:
            url: ``python:`` and the tool's name.
            body: The invocation, as for any tool server.
            key: The call's id; a repeat joins the run that is under way.

        Raises:
            asyncio.CancelledError: if the delivery is taken back. A coroutine is cancelled with it; a
                function in a thread runs on, and the next delivery gets its result.
        """
        invocation = msgspec.json.decode(body)
        call_id, thread = invocation["id"], invocation["group_id"]
        found = self._tools.get(url.removeprefix(SCHEME))
        if found is None:
            return Delivery(Verdict.REFUSED, "this agent has no such function any more")
        # A row may be delivered once more after its result was recorded; the function must not run again for
        # that.
        if call_id not in self._recorded:
            result = await self._result(found, call_id, invocation["arguments"])
            await self._record(thread, call_id, result)
        return Delivery(Verdict.DELIVERED)

    async def close(self) -> None:
        """Cancel what runs; a thread cannot be stopped, and what it returns is dropped."""
        for task in list(self._running.values()):
            task.cancel()

    async def _result(self, tool: Tool[..., Any], call_id: str, arguments: dict[str, Any]) -> Result:
        """Of the function's one run, no matter who asked for it first."""
        if (kept := self._results.get(call_id)) is not None:
            return kept
        task = self._running.get(call_id)
        if task is None:
            task = shared(self._run(tool, call_id, arguments), f"function {tool.name}")
            self._running[call_id] = task
            task.add_done_callback(functools.partial(self._ended, call_id))
        try:
            # Anyone who waits may be cancelled; the run itself goes on for the next one who asks.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if is_async(tool.function):
                task.cancel()
            raise

    async def _run(self, tool: Tool[..., Any], call_id: str, arguments: dict[str, Any]) -> Result:
        # A tool's own time wins even over ``longRunning``, which otherwise means no deadline.
        seconds = tool.timeout or (None if tool.long_running else self._settings.timeouts.call)
        # A coroutine takes no thread, so it takes no place either.
        slots = Slots(1, 1) if is_async(tool.function) else self._slots
        turn = Turn(slots, seconds, slow=tool.long_running)

        def finish(value: Any) -> str:
            return shortened(text_of(value), self._settings.limits.message_bytes // 2)

        work = tool.work(arguments)
        try:
            text = await self._runner.run(Work(tool.name, self._begun(call_id, work), finish, turn, seconds))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is its result
            log.warning("tool %s failed in call %s: %s", tool.name, call_id, type(error).__name__)
            # The model reads why, in a sentence; the log has the type only, because an error's text may hold
            # arguments (S9).
            text = error_text(tool.name, error)
        return Result(call_id=call_id, content=text_blocks(text))

    def _begun(self, call_id: str, work: Callable[[], Any]) -> Callable[[], Any]:
        if is_async(work):

            async def run() -> Any:
                self.since[call_id] = time.time_ns() // 1_000_000
                return await work()

            return run

        def called() -> Any:
            self.since[call_id] = time.time_ns() // 1_000_000
            return work()

        return called

    def _ended(self, call_id: str, task: asyncio.Task[Result]) -> None:
        self._running.pop(call_id, None)
        self.since.pop(call_id, None)
        if not task.cancelled() and task.exception() is None:
            _keep(self._results, call_id, task.result(), KEPT_RESULTS)

    async def _record(self, thread: str, call_id: str, result: Result) -> None:
        """The function has done what it does: whatever stands in the way of its result, only the recording is
        tried again (R10).
        """
        failures = 0
        while True:
            try:
                await self._answer(thread, call_id, result)
                break
            except (Exception, asyncio.CancelledError) as error:
                if not survivable(error):
                    raise
                failures += 1
                # Trying again would fail for ever: the model is told in place of the result, and the function
                # is not run again.
                if isinstance(error, _UNFIT_RESULT) and failures == 1:
                    result = Result(call_id=call_id, content=text_blocks(_unfit(error)))
                    _keep(self._results, call_id, result, KEPT_RESULTS)
                    continue
                wait = RECORDING.wait(failures - 1)
                log.warning(
                    "the result of call %s could not be recorded, next try in %.1f s: %s",
                    call_id,
                    wait,
                    error,
                )
            await self._sleep(wait)
        self._results.pop(call_id, None)
        _keep(self._recorded, call_id, None, KEPT_IDS)


_UNFIT_RESULT = (ValueError, TypeError, RecursionError, MemoryError, BadRequest, LimitReached)


def _unfit(error: BaseException) -> str:
    return f"Error: the function has run, but what it returned could not be kept ({type(error).__name__})"


def shortened(text: str, most: int) -> str:
    """Head and tail of a text that is too long to be kept.

    Args:
        text: Any.
        most: Characters that are kept of it, besides the note in the middle.
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _keep(kept: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
