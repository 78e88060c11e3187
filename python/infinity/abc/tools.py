"""Tools as the engine sees them: what is offered to a thread tree, and the built-ins that answer in place.

``infinity.tools`` and ``infinity.rap`` implement these contracts; the engine knows of neither.
"""

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
    def now(self) -> int:
        """Ms since the epoch; one moment for the whole slice."""
        ...

    @property
    def ids(self) -> Ids:
        """Where the ids of children and messages come from; counted in the simulator."""
        ...

    @property
    def limits(self) -> Limits: ...

    async def spawn(self, call: Call, instructions: str) -> str:
        """Fork a child thread that runs the instructions. It exists once the slice has committed (L13).

        Args:
            call: the call that asks for it; its result comes when the child reports.
            instructions: what the child is to do, as the model wrote it.

        Returns:
            The id of the child.

        Raises:
            LimitReached: depth, children or threads of the tree; the text says which.
        """
        ...

    async def is_open_child(self, thread: str) -> bool:
        """Whether this is a child of the slice's thread that is not closed.

        Args:
            thread: an id as the model gave it; anything else than such a child is False.
        """
        ...

    def expect_report(self, child: str) -> None:
        """The child was given something to do, so that the thread waits for its report (I7).

        Args:
            child: the id of an open child.
        """
        ...

    def report(self, text: str, *, key: str) -> None:
        """Tell the parent thread something with the slice's commit. Not for a root thread.

        Args:
            text: what the parent's model reads.
            key: makes the id of the message; the same key is told once.
        """
        ...

    def close(self, report: str | None) -> None:
        """Close the thread at the end of this turn.

        The last report is part of the same commit, so that it cannot be lost (L12).

        Args:
            report: for the parent; ``None`` if there is nothing to say.
        """
        ...

    def notify_cancelled(self, call_id: str) -> None:
        """Have the tool servers told that a call was cancelled (CAN-1), after the commit.

        Args:
            call_id: the call, whose end is part of the slice's commit.
        """
        ...


class BuiltinError(Exception):
    """The model has called a built-in wrongly; the text says what to do instead."""


class Builtin(Protocol):
    """A tool of the runtime itself. It runs inside the slice and answers before the commit; it does no
    input or output of its own (I5, I6).
    """

    @property
    def name(self) -> str:
        """As the model knows it; reserved, so that no server can offer a tool of this name (DISC-4)."""
        ...

    @property
    def run(self) -> Callable[[BuiltinContext, Call, dict[str, Any]], Awaitable[str | None]]:
        """The function of the tool, given the context, the call and its checked arguments.

        It returns the text of the result, or ``None`` if the call stays open. It raises
        ``BuiltinError`` or ``LimitReached``, whose text the model reads.
        """
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool that a thread tree may call. Exactly one of ``builtin`` and ``endpoint`` is set."""

    name: str
    """As the model knows it."""
    operation: str
    """As its server knows it."""
    toolset: str = ""
    """The name of the toolset that offers it; empty for a built-in."""
    endpoint: str = ""
    """Where its calls are sent; empty for a built-in."""
    annotations: dict[str, Any] = field(default_factory=dict)
    """As the manifest has them: ``readOnly``, ``idempotent``, ``longRunning``, ``requiresAuth``,
    ``destructive``.
    """
    builtin: Builtin | None = None
    checker: Checker | None = None
    """Checks arguments against the tool's schema; ``None`` accepts any."""
    renamed: Renamed | None = None
    """Set if the model knows the tool's arguments by other names than its server."""
    display_script: str | None = None
    """The toolset's script that shows a call to people (DISC-8)."""

    def problems(self, arguments: dict[str, Any]) -> list[str]:
        """What is wrong with a call's arguments (INV-2).

        Args:
            arguments: as the model sent them, under the model's names.

        Returns:
            Sentences for the model; empty when nothing is wrong.
        """
        return self.checker.problems(arguments) if self.checker else []

    def real(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The model's arguments under the names that the tool's server gave them.

        Args:
            arguments: as the model sent them.
        """
        return arguments if self.renamed is None else self.renamed.real(arguments)

    def display(self, arguments: bytes) -> str:
        """The call as a person sees it (DISC-8).

        Args:
            arguments: one JSON object, as it is stored with the call.

        Returns:
            What the toolset's script makes of them; ``name(arguments)`` where it makes nothing, or
            fails.
        """
        try:
            shown = display(self.display_script, arguments) if self.display_script else None
        except Exception:  # noqa: BLE001  a stranger's script never fails the slice that shows a call (DISC-8)
            shown = None
        return f"{self.name}({arguments.decode(errors='replace')})" if shown is None else shown


class Checker(Protocol):
    """The compiled schema of one tool."""

    def problems(self, arguments: Any) -> list[str]:
        """What is wrong with the arguments.

        Args:
            arguments: a decoded JSON value.

        Returns:
            A bounded number of sentences for the model; empty when nothing is wrong. It never raises
            (B10).
        """
        ...


class Renamed(Protocol):
    """Names of arguments that some provider's API does not take, and those that stand for them."""

    def real(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The same arguments under the names of the tool's own schema, at every depth.

        Args:
            arguments: as the model sent them.
        """
        ...


class Catalog(Protocol):
    """What one thread tree is offered.

    The same bytes for all threads and slices of the tree, so that they share the prompt cache (G4,
    DISC-5).
    """

    @property
    def tools(self) -> bytes:
        """The request's ``tools``: UTF-8 JSON of an array."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What is not offered and why (DISC-3, DISC-4)."""
        ...

    def find(self, name: str) -> Offer | None:
        """The offer behind a name, ``None`` if the tree is not offered it.

        Args:
            name: as the model called it.
        """
        ...

    def names(self) -> list[str]:
        """The names of everything that is offered, for an error that lists them."""
        ...


class Catalogs(Protocol):
    """The catalogs of all trees of a host."""

    async def of(self, root: str) -> Catalog:
        """The catalog of a tree: made once per root thread, then kept (DISC-5).

        Args:
            root: the id of the root thread.

        Raises:
            StoreError: the catalog, or the tree's record of it, cannot be read or written.
        """
        ...


class Wire(Protocol):
    """The protocol's outgoing bodies; the host decides the addresses (docs/protocol.md)."""

    def invocation(self, thread: Thread, call: Call, operation: str) -> bytes:
        """The body that invokes a tool (INV-3).

        Args:
            thread: whose call it is; its id and ancestors go with the body.
            call: planned in this slice.
            operation: the tool as its server knows it.

        Returns:
            UTF-8 JSON, stored in the outbox exactly as it will be sent.
        """
        ...

    def rehomed(self, body: bytes, thread: str, call_id: str) -> bytes | None:
        """The body of an invocation that another host made, with a callback URL of this one.

        Args:
            body: as it was stored.
            thread: the id of the thread that now lives here.
            call_id: the call that it invokes.

        Returns:
            The new body; ``None`` if its URL is of this host already.
        """
        ...

    def choice(self, call_id: str, selected: int) -> bytes:
        """The body that answers a tool's question (CHO-1).

        Args:
            call_id: the call that asked.
            selected: the index of the choice.
        """
        ...

    async def notify_cancelled(self, thread: str, call_id: str) -> None:
        """Tell every configured server, concurrently and once, that a call was cancelled (CAN-1).

        It waits for none of them longer than a bounded time and never raises.

        Args:
            thread: the id of the call's thread.
            call_id: the call.
        """
        ...

    async def notify_closed(self, thread: str) -> None:
        """Tell every configured server, concurrently and once, that a thread was closed (THR-2). It never
        raises.

        Args:
            thread: the id of the thread.
        """
        ...
