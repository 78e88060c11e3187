"""A simulated host: the engine, the real journal and mailboxes, and everything around them under one virtual clock. It can be killed at any moment."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from infinity._core import Wake
from infinity.agent import Agent
from infinity.api.callbacks import Arrived, receive
from infinity.api.errors import status_of
from infinity.api.requests import too_large
from infinity.errors import BadRequest, InfinityError
from infinity.feed import Feed
from infinity.ids import CountedIds
from infinity.local.assembly import Assembly
from infinity.rap.callback_type import PREFIX
from infinity.runtime import Runtime
from infinity.settings import Limits, Retries, Settings
from infinity.stores.sqlite.wakeup import Wakeup

from .clock import SimulatedClock
from .faults import CONTRACTS, Faults
from .loop import OWNER, SimulatedLoop
from .model import AnyModel
from .pumped import PumpedStore, PumpedWakeup
from .tools import FUNCTIONS, SimulatedToolsets, SimulatedTransport, ToolServers
from .witness import Witness

__all__ = ["Gone", "SimulatedHost"]

T = TypeVar("T")

_LARGEST = 100_000
"""Bytes of a callback. Small, so that a larger one costs little."""
_AGENT = Agent(
    tools=FUNCTIONS,
    limits=Limits(rounds=8, queued_messages=1_000, tree_tokens=200_000, callback_bytes=_LARGEST),
    retries=Retries(completion=2, slices=2),
)
_FILES = ("", "-wal", ".mark")
_STARTS = 50
"""How often a supervisor starts a host that cannot be started, a second apart."""


class Gone(Exception):
    """The process ended while it was asked something: its client hears nothing."""


class _Process:
    """One life of the host."""

    def __init__(self) -> None:
        self.dead = False
        self.ended = asyncio.Event()


class SimulatedHost(Witness):
    def __init__(
        self,
        folder: Path,
        seed: int,
        loop: SimulatedLoop,
        agent: Agent | None = None,
    ) -> None:
        super().__init__()
        self._folder = folder
        self.loop = loop
        self.settings: Settings = (agent or _AGENT).settings
        self.functions = (agent or _AGENT).tools
        self.clock = SimulatedClock(loop)
        self.ids = CountedIds()
        self.tools = ToolServers(seed, self)
        self.model = AnyModel(seed, self)
        self.faults = Faults(self.kill)
        self.lives = 0
        self.store: PumpedStore
        self._process = _Process()
        self._supervisor = asyncio.Lock()

    # what the account reads

    @property
    def calls(self) -> list[tuple[str, str]]:
        return self.tools.calls

    # life

    async def start(self) -> None:
        """As a supervisor does it: again, until it works."""
        for _ in range(_STARTS):
            process = self._process = _Process()
            await self._open(process)
            work = self._in(process, lambda: self._assembly.start(self.runtime))
            try:
                await self._until(process, work)
            except Gone:
                pass
            except Exception:  # noqa: BLE001  it ends with an error, and is started again
                self.kill()
            else:
                return
            await self._bury(process)
            await asyncio.sleep(1.0)
        raise AssertionError("the host cannot be started any more")

    async def stop(self) -> None:
        """In order, as SIGTERM does."""
        process = self._process
        work = self._in(process, self._assembly.close)
        try:
            await self._until(process, work)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001  a process ends, whatever its last words are
            self.violated(f"a stop failed: {type(error).__name__}: {error}")
        process.dead = True
        await self._bury(process)

    def kill(self) -> None:
        """As SIGKILL does: from this moment on it does nothing any more."""
        self._process.dead = True
        self._process.ended.set()

    @property
    def dead(self) -> bool:
        return self._process.dead

    async def revive(self) -> None:
        """Start it again if it was killed."""
        async with self._supervisor:
            if self.dead:
                await self._bury(self._process)
                await self.start()

    async def restart(self, between: Callable[[], None] = lambda: None) -> None:
        """Stop it in order and start it again."""
        async with self._supervisor:
            await self.stop()
            between()
            await self.start()

    async def _open(self, process: _Process) -> None:
        self.lives += 1
        self.clock.forget()
        assembly = self._assembly = Assembly(self.settings)

        def guarded(target: Any, name: str) -> Any:
            return _Guarded(target, name, self, process)

        async def open_store(wakeup: Wakeup) -> Any:
            self.store = PumpedStore(self._folder / f"{self.lives}.db", wakeup, self.committed)
            return guarded(self.store, "store")

        await assembly.open(open_store, PumpedWakeup(Wake()))
        assembly.mailbox = guarded(assembly.mailbox, "mailbox")
        around = guarded(None, "").around
        feed = Feed(assembly.store)
        self.faults.silent = True  # The simulated process begins with its runtime.
        self.runtime = await assembly.runtime(
            Runtime,
            url="http://127.0.0.1:7345",
            models=self.model,
            transport=SimulatedTransport(self.tools, around),
            toolsets=SimulatedToolsets(self.tools, around),
            clock=guarded(self.clock, "clock"),
            ids=self.ids,
            feed=feed,
            functions=self.functions,
            observer=guarded(feed, "observer"),
        )
        self.faults.silent = False
        assembly.undo.push_async_callback(self._stopped, process)
        self.watch_slices()
        self._watch_functions()

    async def _stopped(self, process: _Process) -> None:
        """The runtime has stopped, and the store is open."""
        if not process.dead:
            await self.ended(self.store, counted=False)

    async def _bury(self, process: _Process) -> None:
        """Take away what is left of a dead process; nothing of it reaches anything."""
        for _ in range(20):
            left = self.loop.tasks_of(process)
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        self.purchases.all_lost()
        if self.store.is_open:
            await self.ended(self.store, counted=True)
        self.clock.forget()
        self._inherit()

    def _inherit(self) -> None:
        """The next life gets the files as they are now; then the core may close its own."""
        here, next_one = self.store.path, self._folder / f"{self.lives + 1}.db"
        for suffix in _FILES:
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{here}{suffix}", f"{next_one}{suffix}")
        self.store.release()
        for left in here.parent.glob(f"{here.name}*"):
            left.unlink()

    # what is asked of it

    async def request(self, ask: Callable[[Runtime], Awaitable[T]]) -> T:
        """Ask the present process, once. ``Gone``: it ended meanwhile, or nobody listens."""
        process, runtime = self._process, self.runtime
        if process.dead:
            raise Gone
        return await self._until(process, self._in(process, lambda: ask(runtime)))

    async def call_back(self, token: str, body: bytes) -> int:
        async def door(runtime: Runtime) -> int:
            try:
                thread, call_id = runtime.capabilities.open(token)
            except BadRequest:
                return 401
            limit = self.settings.limits.callback_bytes
            arrived = Arrived(thread, call_id, body)
            if len(body) > limit:
                refused = too_large(limit, "CB-6", "limits.callback_bytes")
                arrived = Arrived(thread, call_id, body[:PREFIX], refused)
            try:
                _, answer = await receive(runtime, arrived)
            except InfinityError as error:
                return status_of(error) or 500
            except Exception:  # noqa: BLE001  the door answers 500, and the sender comes again
                return 500
            return answer.status

        try:
            return await self.request(door)
        except Gone:
            return 0

    async def registered(self, call_id: str) -> Any:
        return await self.store.find_call(call_id)

    def _in(self, process: _Process, begin: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        async def run() -> T:
            return await begin()

        token = OWNER.set(process)
        try:
            return self.loop.create_task(run())
        finally:
            OWNER.reset(token)

    async def _until(self, process: _Process, work: asyncio.Task[T]) -> T:
        ended = self.loop.create_task(process.ended.wait())
        await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not work.done() or process.dead:
            work.cancel()
            raise Gone
        return work.result()

    # eyes

    def _watch_functions(self) -> None:
        """A process begins the function of a call once (I5); again only if its tree was out of service meanwhile."""
        functions, runtime, begun = self.runtime._functions, self.runtime, Counter[str]()
        genuine, retire = functions._run, runtime.retire

        async def watched(tool: Any, call_id: str, arguments: Any) -> Any:
            begun[call_id] += 1
            if begun[call_id] > 1:
                self.violated(f"the function of {call_id} was begun {begun[call_id]} times (I5)")
            return await genuine(tool, call_id, arguments)

        async def retired(*given: Any, **how: Any) -> Any:
            try:
                return await retire(*given, **how)
            finally:
                begun.clear()

        functions._run = watched  # type: ignore[method-assign]
        runtime.retire = retired  # type: ignore[method-assign]


class _Guarded:
    """One contract of a process: it fails as planned, and does nothing any more once the process is dead."""

    def __init__(self, target: Any, name: str, host: SimulatedHost, process: _Process) -> None:
        self._target = target
        self._name = name
        self._host = host
        self._process = process

    @property
    def orphaned(self) -> Any:
        return self._target.orphaned

    @orphaned.setter
    def orphaned(self, put: Any) -> None:
        self._target.orphaned = put

    async def around(self, at: str, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._alive()
        try:
            return await self._host.faults.around(at, act)
        finally:
            await self._alive()

    async def _alive(self) -> None:
        if self._process.dead:
            await asyncio.get_running_loop().create_future()

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._target, method)
        at = f"{self._name}.{method}"
        if not callable(found):
            return found
        made: Any
        if asyncio.iscoroutinefunction(found):

            async def made(*given: Any, **how: Any) -> Any:
                return await self.around(at, lambda: found(*given, **how))

        else:

            def made(*given: Any, **how: Any) -> Any:
                if self._process.dead:
                    return _nothing(method)
                if at not in CONTRACTS:
                    return found(*given, **how)
                return self._host.faults.at(at, lambda: found(*given, **how))

        self.__dict__[method] = made
        return made


def _nothing(method: str) -> Any:
    return {"queued": 0, "more": [], "now": 0}.get(method)
