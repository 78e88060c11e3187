"""What handlers work with: a host, seen from its API. ``local/backend.py`` and ``cloud/function_url.py`` implement it; tests may bring their own.

Whatever differs between hosts in what a request does is a method here. Everything else is in the handlers, once.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import Any, Protocol

from infinity.abc import Accepted, Models, Store, ThreadRow, Tombstone
from infinity.errors import InfinityError
from infinity.explanation import Explanation
from infinity.message import Action, Block
from infinity.settings import Settings

from .responses import Deleted, Response, ToolServer

__all__ = ["Backend", "Part", "Runs"]


class Part(Flag):
    """Who serves a route: a daemon, the cloud's function for clients, its function for callbacks, a runtime embedded in another program, and a daemon that has its
    console enabled."""

    DAEMON = auto()
    API = auto()
    RECEIVER = auto()
    EMBEDDED = auto()
    CONSOLE = auto()


class Runs(Protocol):
    """The part of ``infinity.runtime.Runtime`` that requests call."""

    async def create(self, *, model: str | None = None, title: str = "", id: str | None = None) -> str: ...  # noqa: A002  what users write by name

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted: ...

    async def fork(
        self,
        thread: str,
        at: int,
        *,
        model: str | None = None,
        title: str = "",
        tools: str = "ask",
        id: str | None = None,  # noqa: A002  what users write by name
    ) -> str: ...

    async def control(
        self, thread: str, action: Action, argument: str | None = None, *, key: str | None = None
    ) -> Accepted: ...

    async def resume_all(self, problem: str | None = None) -> list[str]: ...

    async def delete(self, root: str) -> Tombstone: ...

    async def choose(
        self,
        thread: str,
        choice_id: str,
        selected: int | None,
        *,
        user_id: str | None = None,
        reason: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Accepted: ...

    async def accept_callback(self, thread: str, call_id: str, body: bytes) -> Accepted: ...

    async def refuse_callback(
        self, thread: str, call_id: str, kind: str, refused: InfinityError
    ) -> Accepted: ...

    def all_failing(self) -> dict[str, str]: ...

    def removing(self, root: str) -> str | None: ...

    def busy(self, thread: str) -> bool: ...

    def hurry(self, key: str) -> bool: ...

    @property
    def damage(self) -> dict[str, str]:
        """Threads of which damaged entries have been read, and what was said of them."""

    async def explain(self, thread: str) -> Explanation: ...

    async def reload_tools(self, thread: str) -> Any: ...

    @property
    def catalogs(self) -> Any: ...

    @property
    def models(self) -> Models: ...

    @property
    def settings(self) -> Settings: ...


class Backend(Protocol):
    """``part``: which routes it serves; ``version``: of the host; ``page_bytes``: after which a page of a listing ends early, where the size of responses is bounded."""

    @property
    def runtime(self) -> Runs: ...

    @property
    def store(self) -> Store: ...

    @property
    def part(self) -> Part: ...

    @property
    def version(self) -> str: ...

    @property
    def page_bytes(self) -> int | None: ...

    async def check(self) -> None:
        """Raises the error of a store that does not work."""

    async def explain(self, thread: str) -> Explanation: ...

    async def failing_from_the_start(self, thread: str) -> str | None:
        """Why the first slice of a thread that is not in the store yet fails."""

    async def out_of_service(self, row: ThreadRow) -> str | None:
        """Why nothing happens here in the thread's tree; ``None`` while it is in service."""

    async def delete(self, root: str) -> tuple[Deleted, bool]:
        """Delete a tree for everybody, and whether nothing is left of it already."""

    async def toolsets(self) -> list[ToolServer]:
        """The state of every configured tool server."""

    async def open_callback(self, token: str) -> tuple[str, str]:
        """Thread and call of a callback URL. ``BadRequest`` if it is not one of ours."""

    async def pass_on(self, thread: str, call_id: str, body: bytes) -> Response | None:
        """For a callback of a conversation that has moved: the response of its new home; ``None`` if it is not elsewhere."""

    def count_callback(self, outcome: str) -> None: ...
