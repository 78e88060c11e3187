"""Runs of scripts, and what holds at their end; the search for the shortest script that still fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from infinity._core import entry_json, header_json
from infinity.agent import Agent
from infinity.errors import InfinityError, StoreError
from infinity.message import KEEP_CALLS, Action
from infinity.runtime import Runtime

from .account import Account
from .faults import INJECTED, OUTAGE, Fault
from .host import Gone, SimulatedHost
from .loop import SimulatedLoop, Stalled
from .model import TROUBLE_WORDS
from .steps import Script, Step, script_of

__all__ = ["Failure", "Report", "run", "shorten", "simulate"]

DAY = 86_400.0
REST = 40
"""Days after which whatever can end has ended."""
_FOR_EVER = "sleep_until_event_or_input"
"""The tool by which an agent waits without an end."""
_BUSY, _PACE = 5_000, 0.2
"""Uses of the contracts that may come in any time, and how many more in each second on average. Who looks once a second all day is found."""
_TRIES = 60
"""How often a client asks again, a second apart."""


class Failure(AssertionError):
    """A run in which something did not hold. ``script`` repeats it: ``run(script)``."""

    def __init__(self, script: Script, what: str) -> None:
        super().__init__(what)
        self.script = script
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what}\n\nfrom infinity.testing.simulator import Script, Step, run\n\nrun({self.script})"
        )


@dataclass
class Report:
    """What happened in runs that held. ``digest``: the same for the same script, always."""

    runs: int = 0
    slices: int = 0
    requests: int = 0
    lives: int = 0
    days: float = 0.0
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    digest: str = ""

    def add(self, other: Report) -> None:
        self.runs += other.runs
        self.slices += other.slices
        self.requests += other.requests
        self.lives += other.lives
        self.days += other.days
        self.faults.update(other.faults)
        self.digest = other.digest


class _Run:
    def __init__(self, script: Script, host: SimulatedHost) -> None:
        self._script = script
        self.host = host
        self._account = Account(host, (*INJECTED, *TROUBLE_WORDS), host.faults.late)
        self._roots: list[str] = []
        self._made = 0
        self._deleting = False
        self._said = 0

    async def play(self) -> None:
        await self.host.start()
        for step in self._script.steps:
            await self._step(step)
            await self._pass(step.then)
            await self.host.revive()
            await self._examine()
        await self._heal()
        await self._end()

    async def _pass(self, seconds: float) -> None:
        """What waits costs nothing: anyone who looks again and again meanwhile is found."""
        before = self.host.faults.used
        await asyncio.sleep(seconds)
        used = self.host.faults.used - before
        assert used <= _BUSY + _PACE * seconds, (
            f"the contracts were used {used} times in {seconds:.0f} seconds"
        )

    async def _examine(self, *, anew: bool = False) -> None:
        self.host.faults.silent = True
        try:
            for thread, message_id in self.host.store.accepted:
                self._account.accepted(thread, message_id)
            await self._drop_what_was_deleted()
            await self._account.check(anew=anew)
        finally:
            self.host.faults.silent = False

    async def _drop_what_was_deleted(self) -> None:
        if not self._deleting:
            return
        for thread in self._account.threads():
            if await self.host.store.tombstone(thread) is not None:
                self._account.forget(thread)
                self._roots = [root for root in self._roots if root != thread]

    # steps

    async def _step(self, step: Step) -> None:
        what, _, at = step.what.partition(" ")
        if what == "fault":
            self.host.faults.plan(Fault(at, str(step.how), step.on, step.times))
            return
        await getattr(self, f"_{step.what.replace(' ', '_')}")(step)

    async def _nothing_is_written(self, step: Step) -> None:
        for at in OUTAGE:
            self.host.faults.plan(Fault(at, str(step.how), step.on, step.times))

    async def _bad_day(self, step: Step) -> None:
        """The store is full, and the model fails when it has been asked once."""
        await self._nothing_is_written(step._replace(how="StoreError"))
        self.host.model.troubles.extend(["another round", str(step.how)])

    async def _create(self, _: Step) -> None:
        self._made += 1
        thread = f"thread-{self._made}"
        if await self._ask(lambda runtime: runtime.create(id=thread)) is not None:
            self._roots.append(thread)
            await self._ask(lambda runtime: runtime.send(thread, "begin", key="begin"))

    async def _say(self, step: Step) -> None:
        thread = self._root(step)
        await self._ask(lambda runtime: runtime.send(thread, f"text {step.how}", key=f"k{step.how}"))

    async def _burst(self, step: Step) -> None:
        thread, first = self._root(step), int(step.how)
        keys = [first + number for number in range(step.times)]
        await asyncio.gather(
            *(
                self._ask(lambda runtime, key=key: runtime.send(thread, f"text {key}", key=f"k{key}"))  # type: ignore[misc]
                for key in keys
            )
        )

    async def _answer(self, step: Step) -> None:
        asked = [row for row in await self.host.store.prompts() if row.kind in ("choice", "consent")]
        if asked:
            row = asked[step.on % len(asked)]
            selected = None if step.how == -1 else int(step.how)
            await self._ask(lambda runtime: runtime.choose(row.thread, row.id, selected))

    async def _look(self, step: Step) -> None:
        await self._ask(partial(self._look_at, self._root(step)))

    async def _look_at(self, thread: str, runtime: Runtime) -> None:
        """What a client shows: why the thread waits, and its stream."""
        await runtime.explain(thread)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0), aclosing(runtime.watch(thread, -1)) as events:
                async for _ in events:
                    pass

    async def _control(self, step: Step) -> None:
        rows = await self.host.store.threads(limit=1_000)
        thread = rows[step.on % len(rows)].id if rows else self._root(step)
        action = Action(str(step.how))
        if action is Action.RESUME:
            self.host.purchases.resumed(thread)
        await self._ask(lambda runtime: runtime.control(thread, action))

    async def _close_a_child(self, step: Step) -> None:
        children = [row.id for row in await self.host.store.threads(limit=1_000) if row.parent]
        if children:
            await self._ask(lambda runtime: runtime.control(children[step.on % len(children)], Action.CLOSE))

    async def _unsubscribe(self, step: Step) -> None:
        if self.host.calls:
            thread, call_id = self.host.calls[step.on % len(self.host.calls)]
            await self._ask(lambda runtime: runtime.control(thread, Action.UNSUBSCRIBE, call_id))

    async def _cancel_a_call(self, step: Step) -> None:
        """Of those that left, or are only planned, or have ended since."""
        rows = await self.host.store.threads(limit=1_000)
        planned = [(row.id, call.id) for row in rows for call, _ in await self.host.store.calls(row.id)]
        if found := planned or self.host.calls:
            thread, call_id = found[step.on % len(found)]
            await self._ask(lambda runtime: runtime.control(thread, Action.CANCEL, call_id))

    async def _end_the_answer(self, step: Step) -> None:
        thread = self._root(step)
        await self._ask(lambda runtime: runtime.control(thread, Action.INTERRUPT, KEEP_CALLS))

    async def _title(self, step: Step) -> None:
        thread = self._root(step)
        await self._ask(lambda runtime: runtime.control(thread, Action.TITLE, f"title {step.how}"))

    async def _trouble(self, step: Step) -> None:
        self.host.model.troubles.extend([str(step.how)] * step.times)

    async def _kill(self, _: Step) -> None:
        self.host.kill()

    async def _restart(self, _: Step) -> None:
        await self.host.restart()

    async def _servers_change(self, _: Step) -> None:
        tools = self.host.tools

        def change() -> None:
            tools.removed = not tools.removed

        await self.host.restart(change)

    async def _clock(self, step: Step) -> None:
        self.host.clock.step(float(step.how))

    async def _retire(self, step: Step) -> None:
        thread, lives = self._root(step), self.host.lives
        if await self._ask(lambda runtime: runtime.retire(thread, "it is being moved")) is not None:
            await self._ask(lambda runtime: runtime.unretire(thread))
        if self.host.lives != lives:
            # A process that ends while a tree is out of service says nothing of what that had bought before.
            for row in await self.host.store.threads(root=thread, limit=1_000):
                self.host.purchases.forgiven(row.id)

    async def _delete(self, step: Step) -> None:
        self._deleting = True
        thread = self._root(step)
        await self._ask(lambda runtime: runtime.delete(thread))

    def _root(self, step: Step) -> str:
        return self._roots[step.on % len(self._roots)] if self._roots else "thread-1"

    async def _ask(self, ask: Callable[[Runtime], Awaitable[Any]]) -> Any:
        """As a client does: again after an answer that nothing happened, or none. What was refused is ``None``."""
        for _ in range(_TRIES):
            try:
                answer = await self.host.request(ask)
            except Gone:
                await self.host.revive()
            except StoreError:
                await asyncio.sleep(1.0)
            except InfinityError:
                return None
            except Exception:  # noqa: BLE001  the door answers 500, and the client comes again
                await asyncio.sleep(1.0)
            else:
                return answer if answer is not None else True
        raise AssertionError("a client asked for a minute and was never answered")

    # the end

    async def _heal(self) -> None:
        """Nothing fails any more, and everybody answers: whatever can end ends."""
        host = self.host
        host.faults.clear()
        host.model.troubles.clear()
        host.model.wise = host.tools.healed = True
        await host.revive()
        for _ in range(REST * 4):
            await self._pass(DAY / 4)
            await host.revive()  # A fault that had begun may end it yet.
            if not await self._left():
                break
        left = await self._left()
        assert not left, f"{REST} days after the last fault this is left: {left} (I7)"

    async def _left(self) -> list[str]:
        host, found = self.host, []
        found += [f"{thread} is at work" for thread in host.runtime.running]
        found += [
            f"{thread} fails: {failing.problem}" for thread, failing in host.runtime.slices.failing.items()
        ]
        found += [f"{message.thread} has {message.id} queued" for message in await host.store.inbox(0)]
        found += [f"{row.key} has not left" for row in await host.store.outbox()]
        now = host.clock.now()
        found += [f"{timer.id} is due" for timer in await host.store.timers() if timer.due_at <= now]
        for row in await host.store.threads(limit=1_000):
            calls = [call for call, _ in await host.store.calls(row.id)]
            ends = [call for call in calls if not call.subscription and call.tool != _FOR_EVER]
            found += [f"{row.id} waits for {call.id} ({call.tool})" for call in ends]
        return found

    async def _end(self) -> None:
        await self._examine()
        self.host.faults.silent = True
        await self._account.nobody_waits_for_nothing()
        for thread in self._roots:
            await self._still_answers(thread)
        await self._account.parents_have_heard()
        await self._account.no_child_outlives_its_parent()
        await self._examine(anew=True)
        await self._money()

    async def _still_answers(self, thread: str) -> None:
        """I11: whatever has happened, somebody who speaks is answered, after a resume at the latest."""
        before = await self._turns(thread)
        for way in ("say", "resume", "resume and say"):
            row = await self.host.store.thread(thread)
            if row is None or row.status == "closed":
                return
            if "resume" in way:
                self.host.purchases.resumed(thread)
                await self._ask(lambda runtime: runtime.control(thread, Action.RESUME))
            if "say" in way:
                self._said += 1
                key = f"last-{self._said}"
                await self._ask(partial(self._speak, thread, key))
            await asyncio.sleep(DAY)
            if await self._turns(thread) > before:
                return
        explanation = await self.host.runtime.explain(thread)
        raise AssertionError(f"{thread} does not answer any more: {explanation} (I11)")

    async def _speak(self, thread: str, key: str, runtime: Runtime) -> Any:
        return await runtime.send(thread, "are you there?", key=key)

    async def _turns(self, thread: str) -> int:
        rows = await self.host.store.feed(thread, limit=100_000)
        entries = [msgspec.json.decode(entry_json(row.record)) for row in rows if row.record is not None]
        return sum(entry["kind"] == "turn" for entry in entries)

    async def _money(self) -> None:
        """I12: what was bought counts against the budgets; only what a process bought that was killed is not known."""
        if self._deleting:
            return  # What a deleted conversation has spent is deleted with it.
        counted = 0
        for thread in self._roots:
            counted += (await self.host.store.spent(thread))[0]
        most = self.host.tokens + self.host.attempted
        assert counted <= most, f"{counted} tokens are on record, at most {most} were bought (I12)"
        if self.host.lives == 1:
            assert counted >= self.host.tokens, f"{counted} of {self.host.tokens} tokens are on record (I12)"

    async def report(self) -> Report:
        host = self.host
        digest = hashlib.sha256()
        for row in sorted(await host.store.threads(limit=1_000)):
            digest.update(msgspec.json.encode([row.id, row.status, row.version]) + header_json(row.header))
            for position, record in await host.store.entries(row.id, limit=100_000):
                digest.update(b"%d" % position + record)
        digest.update(b"%d %d" % (host.model.requests, host.slices))
        faults: Counter[tuple[str, str]] = Counter(host.faults.met)
        faults.update({("model.stream", kind): count for kind, count in host.model.met.items()})
        faults.update({("callback", kind): count for kind, count in host.tools.met.items()})
        days = host.loop.elapsed / DAY
        return Report(1, host.slices, host.model.requests, host.lives, days, faults, digest.hexdigest())


def run(script: Script, agent: Agent | None = None) -> Report:
    """Play a script and look whether everything held.

    Raises:
        Failure: something did not hold.
    """
    folder = Path(tempfile.mkdtemp(dir=_memory(), prefix="infinity-simulator-"))
    loop = SimulatedLoop()
    random.seed(script.seed)
    logging.disable(logging.CRITICAL)
    try:
        host = SimulatedHost(folder, script.seed, loop, agent)
        played = _Run(script, host)
        try:
            loop.run_until_complete(played.play())
            return loop.run_until_complete(played.report())
        except (AssertionError, Stalled) as error:
            raise Failure(script, "; ".join(host.violations) or str(error) or repr(error)) from error
        except SystemExit as error:
            raise Failure(script, "something that ran in it has ended the process (B6)") from error
        finally:
            _take_down(loop, host)
    finally:
        logging.disable(logging.NOTSET)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def _take_down(loop: SimulatedLoop, host: SimulatedHost) -> None:
    host.kill()
    for _ in range(20):
        left = asyncio.all_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    host.store.release()


def _memory() -> str | None:
    """A file system in memory, where there is one: nothing of a run is worth a disk's time."""
    memory = Path("/dev/shm")  # noqa: S108  a directory of its own is made there
    return str(memory) if memory.is_dir() else None


def shorten(script: Script, agent: Agent | None = None) -> Failure | None:
    """The failure of the shortest script that can be found by leaving steps out; ``None`` if the script does not fail."""
    worst = _failure(script, agent)
    if worst is None:
        return None
    size = max(1, len(script.steps) // 2)
    while True:
        shorter = _shorter(worst, size, agent)
        if shorter is not None:
            worst = shorter
        elif size == 1:
            return worst
        else:
            size //= 2


def _shorter(failure: Failure, size: int, agent: Agent | None) -> Failure | None:
    steps = failure.script.steps
    for begin in range(0, len(steps), size):
        left = steps[:begin] + steps[begin + size :]
        if left and (found := _failure(Script(failure.script.seed, left), agent)) is not None:
            return found
    return None


def _failure(script: Script, agent: Agent | None) -> Failure | None:
    try:
        run(script, agent)
    except Failure as failure:
        return failure
    return None


def simulate(seeds: range, agent: Agent | None = None, *, short: bool = True) -> Report:
    """Run the scripts of these seeds against an agent, or against the simulator's own. ``short``: look for the shortest script that fails.

    The agent's functions should be asynchronous: a thread has an order of its own, so a run with functions in threads may differ from the next.

    Raises:
        Failure: something did not hold for one of the seeds.
    """
    total = Report()
    for seed in seeds:
        script = script_of(seed)
        try:
            total.add(run(script, agent))
        except Failure as failure:
            raise ((shorten(script, agent) if short else None) or failure) from None
    return total
