"""Tools as the engine sees them: what is offered to a thread tree, and the built-ins that answer in place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from infinity._core import Call, Thread, display
from infinity.ids import Ids
from infinity.settings import Limits


class BuiltinContext(Protocol):
    """What a built-in may touch: the thread of the running slice, nothing outside of it (I6)."""

    @property
    def thread(self) -> Thread: ...

    @property
    def now(self) -> int: ...

    @property
    def ids(self) -> Ids: ...

    @property
    def limits(self) -> Limits: ...

    async def spawn(self, call: Call, instructions: str) -> str:
        """Fork a child that runs the instructions; its id. ``LimitReached`` says what was hit."""
        ...

    async def is_open_child(self, thread: str) -> bool: ...

    def expect_report(self, child: str) -> None:
        """The child was given something to do."""
        ...

    def report(self, text: str, *, key: str) -> None:
        """Tell the parent thread; not for a root."""
        ...

    def close(self, report: str | None) -> None:
        """Close the thread at the end of this turn, with a last report for its parent (L12)."""
        ...

    def notify_cancelled(self, call_id: str) -> None:
        """Tell the tool servers (CAN-1), after the commit."""
        ...


class BuiltinError(Exception):
    """The model has called a built-in wrongly; the text says what to do instead."""


class Builtin(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def run(self) -> Callable[[BuiltinContext, Call, dict[str, Any]], Awaitable[str | None]]:
        """The result's text; ``None`` leaves the call open. Raises ``BuiltinError``, or ``LimitReached``."""
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool that a thread tree may call. Exactly one of ``builtin`` and ``endpoint`` is set."""

    name: str
    """As the model knows it."""
    operation: str
    """As its server knows it."""
    toolset: str = ""
    endpoint: str = ""
    annotations: dict[str, Any] = field(default_factory=dict)
    builtin: Builtin | None = None
    checker: Checker | None = None
    renamed: Renamed | None = None
    """Set if the model knows the tool's arguments by other names than its server."""
    display_script: str | None = None

    def problems(self, arguments: dict[str, Any]) -> list[str]:
        """What is wrong with the arguments (INV-2); empty when nothing is."""
        return self.checker.problems(arguments) if self.checker else []

    def real(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The model's arguments under the names that the tool's server gave them."""
        return arguments if self.renamed is None else self.renamed.real(arguments)

    def display(self, arguments: bytes) -> str:
        """The call as a person sees it (DISC-8); ``name(args)`` where the toolset's script gives nothing."""
        try:
            shown = display(self.display_script, arguments) if self.display_script else None
        except Exception:  # noqa: BLE001  a stranger's script never fails the slice that shows a call (DISC-8)
            shown = None
        return f"{self.name}({arguments.decode(errors='replace')})" if shown is None else shown


class Checker(Protocol):
    def problems(self, arguments: Any) -> list[str]: ...


class Renamed(Protocol):
    def real(self, arguments: dict[str, Any]) -> dict[str, Any]: ...


class Catalog(Protocol):
    """What one thread tree is offered. The same for all its threads and slices, so that they share the prompt cache."""

    @property
    def tools(self) -> bytes:
        """The request's ``tools``: a JSON array."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What is not offered and why (DISC-3, DISC-4)."""
        ...

    def find(self, name: str) -> Offer | None: ...

    def names(self) -> list[str]: ...


class Catalogs(Protocol):
    async def of(self, root: str) -> Catalog:
        """The catalog of a tree: made once per root thread, then kept (DISC-5)."""
        ...


class Wire(Protocol):
    """The protocol's outgoing bodies; the host decides the addresses."""

    def invocation(self, thread: Thread, call: Call, operation: str) -> bytes: ...

    def rehomed(self, body: bytes, thread: str, call_id: str) -> bytes | None:
        """The body of an invocation with a callback URL of this host; ``None`` if it has one."""
        ...

    def choice(self, call_id: str, selected: int) -> bytes: ...

    async def notify_cancelled(self, thread: str, call_id: str) -> None:
        """To every configured server, concurrently, once, never raising (CAN-1)."""
        ...

    async def notify_closed(self, thread: str) -> None:
        """THR-2, likewise."""
        ...
