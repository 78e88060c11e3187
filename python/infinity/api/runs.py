"""The part of ``infinity.runtime.Runtime`` that requests call."""

from __future__ import annotations

from typing import Any, Protocol

from infinity.abc import Accepted, Tombstone
from infinity.errors import InfinityError
from infinity.message import Action, Block
from infinity.settings import Settings

__all__ = ["Runs"]


class Runs(Protocol):
    async def create(self, *, model: str | None = None, title: str = "", id: str | None = None) -> str: ...

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted: ...

    async def control(
        self, thread: str, action: Action, argument: str | None = None, *, key: str | None = None
    ) -> Accepted: ...

    async def resume_all(self, problem: str | None = None) -> list[str]: ...

    async def delete(self, root: str) -> Tombstone: ...

    async def choose(
        self, thread: str, choice_id: str, selected: int | None, *, user_id: str | None = None
    ) -> Accepted: ...

    async def accept_callback(self, thread: str, call_id: str, body: bytes) -> Accepted: ...

    async def refuse_callback(
        self, thread: str, call_id: str, kind: str, refused: InfinityError
    ) -> Accepted: ...

    def failing(self, thread: str) -> str | None: ...

    def all_failing(self) -> dict[str, str]: ...

    def removing(self, root: str) -> str | None: ...

    def busy(self, thread: str) -> bool: ...

    @property
    def damage(self) -> dict[str, str]:
        """Threads of which damaged entries have been read, and what was said of them."""

    async def explain(self, thread: str) -> Any: ...

    async def reload_tools(self, thread: str) -> Any: ...

    @property
    def catalogs(self) -> Any: ...

    @property
    def settings(self) -> Settings: ...
