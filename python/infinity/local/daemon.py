"""The daemon: one home, one journal, one runtime, one port. It sleeps on one descriptor until something is to do (I9)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from infinity._core import HeldLoop, Mailboxes, Message, StopGuard, Wake, __version__
from infinity.abc import Observer, Store
from infinity.callback_keys import callback_keys
from infinity.config.reading import read_config
from infinity.config.schema import Config
from infinity.errors import InfinityError
from infinity.models.planning import examine
from infinity.models.registry import Models
from infinity.rap.capability import Capabilities
from infinity.runtime import Runtime
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup
from infinity.supervision import shared

from .api.app import make_app
from .api.backend import Address, Backend
from .api.guard import is_loopback
from .api.metrics import Metrics
from .clock import SystemClock
from .connections import Connections
from .database import open_journal
from .home import DaemonState, Home, HomeLock
from .listener import listen
from .mailboxes import LocalMailbox
from .mcp_servers import bridge_problems, bridge_tokens, tool_servers
from .moving.moves import Moves
from .observing import MeteredFeed
from .toolsets import LocalToolsets, LocalTransport, ServerSet
from .trust import Trust, find_project_file

__all__ = ["Daemon", "Plan", "plan"]

logger = logging.getLogger("infinity.daemon")

GRACE = 5.0
"""Seconds that running slices get to commit when the daemon stops (L17)."""
UNHEARD = 10.0
"""Seconds that a signal may wait for an event loop that something holds; then the process is ended as by SIGKILL, which loses nothing."""
HELD = 5.0
"""Seconds after which it is written down whose slice holds the event loop: less than ``UNHEARD``."""
UNFINISHED = 60.0
"""Seconds that a stop may take. It is bounded by itself; this is for what nobody foresaw."""
COLLECT_AFTER = (10_000, 20, 20)
"""Objects between garbage collections, and generations between larger ones. A slice leaves few cycles behind."""
LARGE_BLOCK = 128 << 10
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``."""
HANG_UP = 2.0
"""Seconds that open connections get after that."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a daemon is to be: its home and configuration, and what its user should know before it starts."""

    home: Home
    config: Config
    notices: tuple[str, ...] = ()


def plan(home: Home, environment: Mapping[str, str], directory: Path | None = None) -> Plan:
    """Read the configuration; of the project in ``directory`` only if the user trusts it (S5). Changes nothing."""
    file = find_project_file(directory, home) if directory is not None else None
    notices: list[str] = []
    if file is not None and not Trust(home).holds(file):
        changed = " any more, because it has changed" if Trust(home).knows(file) else ""
        notices.append(
            f"{file.path} is not used: you have not said that you trust it{changed}. Read it, then run: infinity trust {file.path}"
        )
        file = None
    config = read_config(home.config, environment, file)
    if not is_loopback(config.daemon.host):
        notices.append(
            f"[daemon] host {config.daemon.host} can be reached from other machines, and nothing is encrypted: put a proxy with TLS in front of it and set public_url"
        )
    return Plan(home, config, tuple(notices))


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
    """``orphaned`` gets the messages of those who did not wait for them; ``ownership`` ends with the store."""

    orphaned: Callable[[Sequence[Message]], None]

    @property
    def ownership(self) -> Ownership | None: ...


class Daemon:
    """Parts and their order. ``start`` to ``stop`` once; ``run`` does both around a signal.

    ``observe`` puts an observer in front of the feed: tracing, crash gates. ``open_store`` opens a store elsewhere, in place of the home's
    journal; others may come to own it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        observe: Callable[[Observer], Observer] | None = None,
        open_store: Callable[[], Awaitable[HostedStore]] | None = None,
    ) -> None:
        self.home = plan.home
        self.config = plan.config
        self.notices = list(plan.notices)
        self.metrics = Metrics()
        self.runtime: Runtime
        """Once it is started, as ``servers``."""
        self.servers: ServerSet
        self.moves: Moves
        self.connections: Connections
        self._observe = observe
        self._open_elsewhere = open_store
        self._undo = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self._guard: StopGuard | None = None
        self._lost: InfinityError | None = None
        """Why the store is somebody else's by now."""

    async def start(self) -> DaemonState:
        """Everything recorded goes on at once (L15). Whatever fails leaves nothing behind; the error says what to do."""
        try:
            return await self._start()
        except BaseException:
            await self._undo.aclose()
            raise

    async def stop(self) -> None:
        """Stop taking, let slices commit, close. Bounded (L17)."""
        await self._undo.aclose()

    async def run(self, ready: Callable[[DaemonState, list[str]], None]) -> None:
        """Until SIGTERM or SIGINT; a second one does not wait for slices.

        Raises:
            StoreLocked: another daemon has taken the store over. This one has stopped.
        """
        loop = asyncio.get_running_loop()
        signals = [signal.SIGTERM, signal.SIGINT]
        for number in signals:
            loop.add_signal_handler(number, self._signalled, number)
        # Behind the loop's own handlers, which it calls first.
        self._guard = StopGuard([int(number) for number in signals], UNHEARD, UNFINISHED)
        try:
            _give_memory_back()
            state = await self._start_unless_stopped()
            if state is not None:
                _settle_memory()
                ready(state, self.notices)
            await self._stopping.wait()
            logger.info("stopping")
            await self.stop()
            logger.info("stopped")
            if self._lost is not None:
                raise self._lost
        finally:
            self._guard.finished()
            for number in signals:
                loop.remove_signal_handler(number)

    async def _start_unless_stopped(self) -> DaemonState | None:
        """A start may have to wait for another daemon's end; a signal ends the waiting."""
        starting, stopping = shared(self.start(), "the start"), shared(self._stopping.wait(), "a signal")
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if starting.done():
            return await starting
        starting.cancel()
        await asyncio.wait({starting})
        return None

    def _signalled(self, number: int) -> None:
        if self._stopping.is_set():
            # Whoever asks twice does not want to wait. Everything accepted is on disk.
            os._exit(128 + number)
        if self._guard is not None:
            self._guard.heard()
        self._stopping.set()

    async def _start(self) -> DaemonState:
        self.home.prepare()
        lock = self.home.lock()
        self._undo.callback(lock.release)
        listener = await self._listen()
        store, wakeup = await self._open_store()
        mailbox = LocalMailbox(self._mailboxes(wakeup), wakeup, store.inbox)
        self._undo.push_async_callback(mailbox.close)
        store.orphaned = mailbox.put
        self.runtime, backend = await self._assemble(store, mailbox, wakeup, self._address(listener))
        runner = await self._serve(backend)
        self._undo.push_async_callback(self._stop_runtime)
        if store.ownership is not None:
            store.ownership.watch(doubted=self.runtime.hold, certain=self.runtime.go_on, lost=self._lose)
        await self.runtime.start(self.home.suspect())
        self.home.clear_suspect()
        self.notices += [
            f"thread {thread} is held back: its slice held the daemon until its process was ended. To try again: infinity resume {thread}"
            for thread in self.runtime.held_back
        ]
        # Only now: a message from outside must not overtake those that were queued before (THR-1).
        assert runner.server is not None
        self.connections = Connections(listener, runner.server)
        self.connections.start()
        self._undo.callback(self.connections.stop)
        return self._announce(lock, backend.address)

    async def _stop_runtime(self) -> None:
        await self.runtime.stop(GRACE if self._lost is None else 0)

    def _lose(self, error: InfinityError) -> None:
        """Another daemon sends from now on, so this one does not (R12)."""
        logger.error("%s", error)
        self._lost = error
        self.runtime.halt()
        self._stopping.set()

    async def _listen(self) -> socket.socket:
        listener = await listen(self.config.daemon.host, self.config.daemon.port)
        self._undo.callback(listener.close)
        return listener

    async def _open_store(self) -> tuple[HostedStore, Wakeup]:
        wake = Wake()
        store: HostedStore
        if self._open_elsewhere is not None:
            wakeup, store = Wakeup(wake), await self._open_elsewhere()
        else:
            journal = open_journal(self.home.database, wake)
            wakeup = Wakeup(wake)
            store = JournalStore(journal, wakeup)
        self._undo.callback(wakeup.stop)
        self._undo.push_async_callback(store.close)
        wakeup.start()
        return store, wakeup

    def _mailboxes(self, wakeup: Wakeup) -> Mailboxes:
        return Mailboxes(wakeup.wake, capacity=self.config.settings().limits.queued_messages)

    def _address(self, listener: socket.socket) -> Address:
        daemon = self.config.daemon
        port = int(listener.getsockname()[1])
        name = f"[{daemon.host}]" if ":" in daemon.host else daemon.host
        public_url = daemon.public_url or f"http://{_reachable(name)}:{port}"
        return Address(daemon.host, port, public_url, tuple(host.lower() for host in daemon.hosts))

    async def _assemble(
        self, store: HostedStore, mailbox: LocalMailbox, wakeup: Wakeup, address: Address
    ) -> tuple[Runtime, Backend]:
        clock = SystemClock(wakeup)
        settings = self.config.settings()
        models = Models(self.config.models)
        self._undo.push_async_callback(models.close)
        if models.notice:
            self.notices.append(models.notice)
        self.notices += examine(models, settings, named=False)
        tokens = bridge_tokens(self.config, self.home.make_token())
        servers = self.servers = await ServerSet.prepare(
            tool_servers(self.config, tokens),
            store,
            self.home.path,
            first_port=address.port + 1,
            tokens=tokens,
            problems=bridge_problems(self.config),
        )
        self._undo.push_async_callback(servers.stop)
        toolsets = await LocalToolsets.prepare(servers, store)
        capabilities = Capabilities(await callback_keys(store, clock.now()), address.public_url)
        feed = MeteredFeed(store, self.metrics)
        watch = HeldLoop(str(self.home.held), HELD)
        self._undo.callback(watch.close)
        runtime = Runtime(
            store=store,
            mailbox=mailbox,
            models=models,
            transport=LocalTransport(servers),
            toolsets=toolsets,
            capabilities=capabilities,
            clock=clock,
            feed=feed,
            settings=settings,
            observer=self._observe(feed) if self._observe is not None else None,
            sole_writer=self._open_elsewhere is None,
            watch=watch,
        )
        moves = self.moves = Moves(runtime, servers, clock, self.home.path)
        self._undo.push_async_callback(moves.close)
        await moves.recover()
        servers.resume()
        backend = Backend(
            runtime=runtime,
            store=store,
            feed=feed,
            capabilities=capabilities,
            toolsets=toolsets.describe,
            token=self.home.make_token(),
            address=address,
            home=self.home.path,
            max_body=settings.limits.message_bytes,
            max_callback=settings.limits.callback_bytes,
            max_streams=settings.limits.event_streams,
            version=__version__,
            metrics=self.metrics,
            models=models,
            moves=moves,
        )
        return runtime, backend

    async def _serve(self, backend: Backend) -> web.AppRunner:
        # A body that says it is compressed is refused, not unpacked.
        runner = web.AppRunner(
            make_app(backend),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=HANG_UP,
            auto_decompress=False,
        )
        await runner.setup()
        self._undo.push_async_callback(runner.cleanup)
        return runner

    def _announce(self, lock: HomeLock, address: Address) -> DaemonState:
        name = f"[{address.host}]" if ":" in address.host else address.host
        state = lock.announce(f"http://{_reachable(name)}:{address.port}", __version__)
        logger.info("listening at %s, home %s", state.address, self.home.path)
        for notice in self.notices:
            logger.warning("%s", notice)
        return state


def _give_memory_back() -> None:
    """Large blocks come from the system and go back to it when they are freed, however many there were at once (G6).

    By default glibc learns from the first large block that is freed to keep such blocks for good.
    """
    try:
        import ctypes

        settle = ctypes.CDLL(None).mallopt
    except (AttributeError, ImportError, OSError):
        return  # Another C library, which has its own ways.
    settle(_MMAP_THRESHOLD, LARGE_BLOCK)
    settle(_TRIM_THRESHOLD, LARGE_BLOCK * 8)


def _settle_memory() -> None:
    """What a start has made stays for good: the collector need not walk it again and again (2 to 3 % of the CPU under load)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _reachable(host: str) -> str:
    """An address that this machine can call when the daemon listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 recognised, not bound
