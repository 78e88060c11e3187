"""A host on this machine, put together: store, mailbox, clock, callback keys, runtime, HTTP; opened in one order and closed in the reverse one.

The daemon, a program with the runtime inside (``embedded``), the test kit and the simulator all go through here, so that a journal can go from
one to the other: the keys that sign callback URLs come from the store (``callback_keys``), no matter who opens it. The order carries guarantees:

* The store is told of a wake-up before the mailbox, so that what it finished is visible to those that wait for messages.
* The runtime has read what was queued before the first connection is accepted: nothing from outside overtakes it (THR-1).
* Connections end first, then the runtime, then what it works with, and the store behind everything that writes to it.

Nothing else may construct a ``LocalMailbox`` or a ``Runtime`` of a local host. A host that has more parts registers in ``undo`` how each of them ends.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from infinity._core import Mailboxes, Message, Wake
from infinity.abc import Clock, Mailbox, Store
from infinity.callback_keys import callback_keys
from infinity.errors import InfinityError
from infinity.feed import Feed
from infinity.rap.capability import Capabilities
from infinity.runtime import Runtime
from infinity.settings import Settings
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup

from .clock import SystemClock
from .database import open_journal
from .mailboxes import LocalMailbox

if TYPE_CHECKING:
    from aiohttp import web

    from .connections import Connections

__all__ = ["GRACE", "HANG_UP", "Assembly", "HostedStore", "OpenStore", "Ownership", "journal_at", "url_of"]

GRACE = 5.0
"""Seconds that running slices get to commit when the host stops (L17)."""
HANG_UP = 2.0
"""Seconds that open connections get after that."""

CONTROLS = 100
"""Places of a thread's channel behind those of ``limits.queued_messages``, so that an interrupt is read together with what it is to end."""

R = TypeVar("R", bound=Runtime)


class Ownership(Protocol):
    """Of a store that other machines reach as well (R12)."""

    def watch(
        self,
        *,
        doubted: Callable[[], None],
        certain: Callable[[], None],
        lost: Callable[[InfinityError], None],
    ) -> None: ...


class HostedStore(Store, Protocol):
    """``orphaned`` gets the messages of those who did not wait for them; ``ownership`` ends with the store; ``events_kept``: for how many milliseconds the log
    of commits keeps its rows, ``None`` where there is no log."""

    events_kept: int | None
    orphaned: Callable[[Sequence[Message]], None]

    @property
    def ownership(self) -> Ownership | None: ...


OpenStore = Callable[[Wakeup], Awaitable[HostedStore]]


def journal_at(path: Path | str) -> OpenStore:
    """Opens the journal of this file, or makes it."""

    async def open_store(wakeup: Wakeup) -> HostedStore:
        return JournalStore(open_journal(Path(path), wakeup.wake), wakeup)

    return open_store


def url_of(host: str, port: int) -> str:
    """Where a program on this machine reaches a server that listens there, on all addresses or on one."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 recognised, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


class Assembly:
    """``open``, ``runtime``, ``start``, each once; then ``close``, which undoes whatever was reached. A block of ``async with`` closes it.

    Between ``open`` and ``runtime`` a host may put something around ``store`` and ``mailbox``.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.undo = AsyncExitStack()
        self.wakeup: Wakeup
        self.store: HostedStore
        self.mailbox: Mailbox
        self._grace = GRACE

    async def open(self, open_store: OpenStore, wakeup: Wakeup | None = None) -> None:
        """Open the store and put its mailbox in front of it."""
        self.wakeup = wakeup or Wakeup(Wake())
        self.undo.callback(self.wakeup.stop)
        self.store = await open_store(self.wakeup)
        self.undo.push_async_callback(self.store.close)
        self.wakeup.start()
        capacity = self.settings.limits.queued_messages + CONTROLS
        boxes = Mailboxes(self.wakeup.wake, capacity=capacity)
        self.mailbox = mailbox = LocalMailbox(boxes, self.wakeup, self.store.inbox)
        self.undo.push_async_callback(mailbox.close)
        self.store.orphaned = mailbox.put

    async def runtime(
        self, make: Callable[..., R], *, url: str, clock: Clock | None = None, **parts: Any
    ) -> R:
        """The runtime on these parts; it does nothing yet. ``url``: where tool servers reach this host; ``parts``: the other arguments of ``Runtime``."""
        clock = clock or SystemClock(self.wakeup)
        parts.setdefault("feed", Feed(self.store))
        return make(
            store=self.store,
            mailbox=self.mailbox,
            capabilities=Capabilities(await callback_keys(self.store, clock.now()), url),
            clock=clock,
            settings=self.settings,
            **parts,
        )

    async def start(
        self,
        runtime: Runtime,
        *,
        app: web.Application | None = None,
        listener: socket.socket | None = None,
        suspect: str | None = None,
    ) -> Connections | None:
        """Let the runtime go on where the last process ended, then accept connections for ``app`` on ``listener``. ``suspect``: see ``Runtime.start``."""
        serve = await self._prepare(app, listener) if app is not None and listener is not None else None
        self.undo.push_async_callback(lambda: runtime.stop(self._grace))
        await runtime.start(suspect)
        if serve is None:
            return None
        serve.start()
        self.undo.callback(serve.stop)
        return serve

    async def _prepare(self, app: web.Application, listener: socket.socket) -> Connections:
        from aiohttp import web

        from .connections import Connections

        # A body that says it is compressed is refused, not unpacked.
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=HANG_UP, auto_decompress=False
        )
        await runner.setup()
        self.undo.push_async_callback(runner.cleanup)
        assert runner.server is not None
        return Connections(listener, runner.server)

    async def close(self, grace: float = GRACE) -> None:
        """Stop in order. ``grace``: seconds that running slices get to commit; what is left goes on at the next start."""
        self._grace = grace
        await self.undo.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
