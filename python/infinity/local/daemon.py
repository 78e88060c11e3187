"""The daemon: one home, one journal, one runtime, one port. It sleeps on one descriptor until something is to do (I9)."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infinity._core import HeldLoop, StopGuard, __version__
from infinity.abc import Observer
from infinity.api.backend import Part
from infinity.config.reading import read_config
from infinity.config.schema import Config
from infinity.console import console
from infinity.errors import InfinityError
from infinity.models.planning import examine
from infinity.models.registry import Models
from infinity.runtime import Runtime
from infinity.supervision import shared

from .addresses import is_loopback
from .all_events import read_rows
from .app import make_app
from .assembly import GRACE, Assembly, HostedStore, journal_at, url_of
from .backend import Address, DaemonBackend
from .clock import SystemClock, now
from .connections import Connections
from .console.access import ConsoleAccess, login_name
from .console.codes import Codes
from .console.sessions import Sessions
from .home import DaemonState, Home, HomeLock
from .listener import listen
from .mcp_servers import bridge_problems, bridge_tokens, tool_servers
from .metrics import Metrics
from .moving.moves import Moves
from .observing import MeteredFeed
from .toolsets import LocalToolsets, LocalTransport, ServerSet
from .trust import Trust, find_project_file

__all__ = ["Daemon", "Plan", "plan"]

logger = logging.getLogger("infinity.daemon")

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


class Daemon:
    """Parts and their order. ``start`` to ``stop`` once; ``run`` does both around a signal.

    ``observe`` puts an observer in front of the feed: tracing, crash gates. ``open_store`` opens a store elsewhere, in place of the home's
    journal; others may come to own it. ``now``: ms since the epoch, for what signs in to the console.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        observe: Callable[[Observer], Observer] | None = None,
        open_store: Callable[[], Awaitable[HostedStore]] | None = None,
        now: Callable[[], int] = now,
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
        self.now = now
        self._observe = observe
        self._open_elsewhere = open_store
        self._assembly = Assembly(self.config.settings())
        self._undo = self._assembly.undo
        self._stopping = asyncio.Event()
        self._guard: StopGuard | None = None
        self._lost: InfinityError | None = None
        """Why the store is somebody else's by now."""

    async def start(self) -> DaemonState:
        """Everything recorded goes on at once (L15). Whatever fails leaves nothing behind; the error says what to do."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop taking, let slices commit, close. Bounded (L17)."""
        await self._assembly.close(GRACE if self._lost is None else 0)

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
            # Anyone who asks twice does not want to wait. Everything accepted is on disk.
            os._exit(128 + number)
        if self._guard is not None:
            self._guard.heard()
        self._stopping.set()

    async def _start(self) -> DaemonState:
        self.home.prepare()
        lock = self.home.lock()
        self._undo.callback(lock.release)
        listener = await self._listen()
        elsewhere = self._open_elsewhere
        await self._assembly.open(
            journal_at(self.home.database) if elsewhere is None else lambda _: elsewhere()
        )
        self._assembly.store.events_kept = int(self.config.daemon.events_kept * 86_400_000)
        self.runtime, backend = await self._assemble(self._address(listener))
        ownership = self._assembly.store.ownership
        if ownership is not None:
            ownership.watch(doubted=self.runtime.hold, certain=self.runtime.go_on, lost=self._lose)
        connections = await self._assembly.start(
            self.runtime, app=make_app(backend), listener=listener, suspect=self.home.suspect()
        )
        assert connections is not None
        self.connections = connections
        self.home.clear_suspect()
        self.notices += [
            f"thread {thread} is held back: its slice held the daemon until its process was ended. To try again: infinity resume {thread}"
            for thread in self.runtime.held_back
        ]
        return self._announce(lock, backend)

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

    def _address(self, listener: socket.socket) -> Address:
        daemon = self.config.daemon
        port = int(listener.getsockname()[1])
        public_url = daemon.public_url or url_of(daemon.host, port)
        return Address(daemon.host, port, public_url, tuple(host.lower() for host in daemon.hosts))

    async def _assemble(self, address: Address) -> tuple[Runtime, DaemonBackend]:
        store, settings = self._assembly.store, self._assembly.settings
        clock = SystemClock(self._assembly.wakeup)
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
        feed = MeteredFeed(store, self.metrics)
        watch = HeldLoop(str(self.home.held), HELD)
        self._undo.callback(watch.close)
        runtime = await self._assembly.runtime(
            Runtime,
            url=address.public_url,
            models=models,
            transport=LocalTransport(servers),
            toolsets=toolsets,
            clock=clock,
            feed=feed,
            observer=self._observe(feed) if self._observe is not None else None,
            sole_writer=self._open_elsewhere is None,
            watch=watch,
        )
        moves = self.moves = Moves(runtime, servers, clock, self.home.path)
        self._undo.push_async_callback(moves.close)
        await moves.recover()
        servers.resume()
        access = await self._console(address)
        backend = DaemonBackend(
            runtime=runtime,
            store=store,
            feed=feed,
            all_events=feed.all_events,
            capabilities=runtime.capabilities,
            token=self.home.make_token(),
            address=address,
            home=self.home.path,
            servers=toolsets.describe,
            part=Part.DAEMON if access is None else Part.DAEMON | Part.CONSOLE,
            version=__version__,
            metrics=self.metrics,
            moves=moves,
            console=access,
        )
        feed.rows.read = partial(read_rows, backend)
        return runtime, backend

    async def _console(self, address: Address) -> ConsoleAccess | None:
        """``None`` where it is not enabled."""
        if not self.config.console.enabled:
            return None
        # Read now: an upgrade of the package must not change pages under a daemon that runs.
        console()
        sessions = await Sessions.load(self.home.make_token(), self._assembly.store, self.now)
        return ConsoleAccess(address, sessions, Codes(self.now), self.config.console.user or login_name())

    def _announce(self, lock: HomeLock, backend: DaemonBackend) -> DaemonState:
        address, console = backend.address, backend.console
        state = lock.announce(
            url_of(address.host, address.port),
            __version__,
            (console.url if console is not None else None) or "",
        )
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
