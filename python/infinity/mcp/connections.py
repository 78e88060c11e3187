"""The sessions of one bridge: one for everybody, or one per user where users grant access (S11).

``bridge`` and ``catalogue`` ask it for a connection. A call of one user must never go through the session
of another, and a session that nobody uses is closed when there are too many (G2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from mcp.client.extension import ClientExtension

from infinity.rap.server import Call
from infinity.supervision import spawn

from .authorization import Authorization, Unhurried
from .connection import Connection
from .ledger import Ledger
from .specification import ServerSpecification
from .tasks import Tasks
from .web import WebServer

MOST_KEPT = 32
"""Sessions that stay open while nobody uses them."""
MOST_TRIED = 5
"""Users whose access is tried for a list of tools; each may have been taken back meanwhile."""


class Connections:
    """The sessions of one bridge.

    ``authorization`` is there for a server that is reached by URL, unless its operator has settled the
    matter with an ``Authorization`` header.

    Args:
        specification: How the server is reached.
        ledger: Where grants and tasks are kept.
        stopping: Set when the bridge stops, and not its calls.
        changed: Called when the server says that its list of tools did.
    """

    def __init__(
        self,
        specification: ServerSpecification,
        ledger: Ledger,
        stopping: asyncio.Event,
        changed: Callable[[], None],
    ) -> None:
        self.authorization = _authorization(specification, ledger)
        self._specification = specification
        self._ledger = ledger
        self._stopping = stopping
        self._changed = changed
        self._made: dict[str, Connection] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.shared = self._of_user("")

    async def of(self, call: Call) -> Connection:
        """The connection that a call belongs to: its user's own, as soon as anybody has granted access (S11)."""
        if self.authorization is None or not (self.shared.access_needed or await self._ledger.users()):
            return self.shared
        return self._of_user(f"user {call.user_id}" if call.user_id is not None else "")

    async def for_lists(self) -> list[Connection]:
        """The connections that the list of tools may be fetched with: of those who have granted access, the
        earliest first.

        The tools are taken to be the same for all users.
        """
        users = await self._ledger.users() if self.authorization is not None else []
        return [self._of_user(user) for user in users[:MOST_TRIED]] or [self.shared]

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self._made.values()), *self._leaving)

    def _of_user(self, user: str) -> Connection:
        # Taken out and put in again, so that the order of the table is the order of use.
        found = self._made.pop(user, None)
        if found is None:
            web = partial(self._web, user) if self._specification.url is not None else None
            found = Connection(self._specification, self._extensions, self._changed, web)
        self._made[user] = found  # the latest is last
        self._let_go()
        return found

    def _let_go(self) -> None:
        """Of those that nobody uses, the longest unused first; a grant outlasts its session (G2)."""
        too_many = max(0, len(self._made) - MOST_KEPT)
        for user in [user for user, each in self._made.items() if user and each.idle][:too_many]:
            task = spawn(self._made.pop(user).stop(), f"leave {self._specification.name}")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _extensions(self) -> Sequence[ClientExtension]:
        return (Tasks(self._ledger, self._stopping),)

    def _web(self, user: str, unhurried: Unhurried) -> WebServer:
        specification = self._specification
        assert specification.url is not None
        provider = self.authorization.provider(user, unhurried) if self.authorization is not None else None
        return WebServer(specification.url, specification.headers, provider)


def _authorization(specification: ServerSpecification, ledger: Ledger) -> Authorization | None:
    settled = any(name.lower() == "authorization" for name in specification.headers)
    return Authorization(specification.url, ledger) if specification.url and not settled else None
