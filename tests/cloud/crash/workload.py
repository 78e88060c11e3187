"""What the users of this host do beside what ``tests.crash.workload`` has: questions, consent, interrupts, waits of both kinds, large results, compaction."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from functools import partial
from typing import Any

from tests.crash import clients
from tests.crash.history import History
from tests.crash.workload import WISHES, Mind, Workload, effect

from infinity.cloud.hints import FAILING_SECONDS
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply
from infinity.testing.tool_server import Invocation, answering

from .host import CloudHost
from .scenarios import LARGE

__all__ = ["LIMITS", "TIMEOUTS", "TOOLS", "CloudMind", "CloudWorkload", "seed_of"]

SEED = int(os.environ.get("INFINITY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
"""Of the first run; the next one has the next."""
TOOLS = ("a", "b", "c", "watch", "ask", "hold", "big")
LIMITS = "[limits]\ncompact_above = 0.0018\n"
"""Of the model's window: little more than the prompt, so that every thread is compacted once it has said something."""
TIMEOUTS = {"call": 864_000.0}
"""Nobody waits that long, however often the clock is put forward."""
SLOW = 0.2
"""Seconds in which an interrupt may meet a completion."""
SELDOM = 0.1
"""Seconds between two looks; each of them is something that happens."""
_ALONE = frozenset({"hold", "slow"})
"""Their threads are interrupted, and have nothing else open then."""


def seed_of(run: int, name: str) -> int:
    """Of this run of several, with how to have the very same again on the terminal."""
    seed = SEED + run
    kills = os.environ.get("INFINITY_KILLS", "")
    print(f"again with: INFINITY_SEED={seed} INFINITY_KILLS={kills} pytest '{name}[0]'")
    return seed


class CloudMind(Mind):
    """``doze``: seconds of a wait that is too long for the delay queue."""

    def __init__(self, doze: float) -> None:
        super().__init__()
        self.doze = doze

    def __call__(self, request: dict[str, Any]) -> Reply:
        if "Summarise the conversation up to here" in read_prompt(request).text:
            return Reply().say("what it came to")
        return super().__call__(request)

    def root(self, messages: list[dict[str, Any]], numbers: list[str]) -> str:
        """A summary may have taken the place of what says it."""
        if "what it came to" not in str(messages[0]["content"]):
            return super().root(messages, numbers)
        return numbers[0].strip("<>").rpartition("-")[0] if numbers else ""

    def do(self, wish: str, answer: Reply, text: str) -> Reply:
        match wish:
            case "doze":
                return answer.call("sleep", seconds=self.doze)
            case "slow":
                over = asyncio.Event()
                asyncio.get_running_loop().call_later(SLOW, over.set)
                return answer.pause(over).say("At last.")
            case _:
                return super().do(wish, answer, text)


class CloudWorkload(Workload):
    wishes = (*WISHES, "ask", "destroy", "hold", "slow", "doze", "doze", "big", "spawn ask")
    silent = frozenset({"watch", "hold"})

    def __init__(self, host: CloudHost, mind: CloudMind, chance: random.Random, texts: int) -> None:
        super().__init__(host, chance, texts)
        self.host: CloudHost = host
        self.mind = mind
        self.selected: dict[str, int] = {}
        """What was answered to each call that asked."""
        self.interrupts = 0
        host.tools.behaviours |= {"destroy": answering(effect, times=2), "big": answering(_large)}

    def choose(self, chance: random.Random, *, last: bool) -> str:
        """Nobody waits for a thread that waits for so long."""
        return chance.choice([each for each in self.wishes if last or each != "doze"])

    async def before(self, thread: str, wishes: str) -> None:
        if wishes in _ALONE:
            await self._rested(thread)

    async def after(self, thread: str, number: str, wishes: str, chance: random.Random) -> None:
        if "ask" in wishes:
            await self._asked(thread, number, chance.randrange(2))
        elif wishes == "destroy":
            await self._allowed(thread, number)
        elif wishes == "hold":
            await self._held(thread, number)
        elif wishes == "slow":
            await self.host.until(lambda: number in self.mind.read[thread], f"completion for {number}")
            await self._interrupt(thread, number)
        else:
            await super().after(thread, number, wishes, chance)

    async def _asked(self, thread: str, number: str, selected: int) -> None:
        """A tool asks, the user answers, and then the tool does: the answer has arrived, the same one however often."""
        tools = self.host.tools
        call = await self.invoked("ask", thread, number)
        ask = partial(tools.choice, call, f"Which, {number}?", ["red", "blue"])
        assert await self.host.tell(ask) == 200
        await self._answer(thread, number, selected)
        await self.host.until(
            lambda: any(each["id"] == call for each in tools.choices), f"choice of {number}"
        )
        self.selected[call] = selected
        assert await self.host.tell(lambda: tools.answer(call, effect(tools.invocation(call)))) == 200

    async def _allowed(self, thread: str, number: str) -> None:
        await self._answer(thread, number, 0)
        await self.invoked("destroy", thread, number)

    async def _answer(self, thread: str, number: str, selected: int) -> None:
        asked = await self.host.watch(thread).until(
            lambda seen: seen.position is not None and seen.kind == "prompt" and number in str(seen.data),
            f"prompt of {number}",
        )
        path = f"/v1/threads/{thread}/choices/{asked.data['id']}"
        # A repeat may find the prompt closed by the try whose answer was lost.
        await self.host.request("POST", path, {"selected": selected}, closed=(400, 404, 409))

    async def _held(self, thread: str, number: str) -> None:
        """A tool that never answers, until somebody does not want to wait any more; then it does."""
        call = await self.invoked("hold", thread, number)
        await self._interrupt(thread, number)
        await self.host.watch(thread).noted("call_ended", id=call, state="cancelled")
        assert await self.host.tell(lambda: self.host.tools.answer(call, "too late")) == 200

    async def _interrupt(self, thread: str, number: str) -> None:
        key = f"interrupt-{number.strip('<>')}"
        await self.host.request("POST", f"/v1/threads/{thread}/interrupt", key=key)
        self.interrupts += 1

    async def _rested(self, thread: str) -> None:
        """Nothing accepted is left in the queue, where no answer about the thread can see it, and nothing is open."""
        async with asyncio.timeout(clients.PATIENCE):
            while self.host.stage.queued(thread) or not _idle(await self._state(thread)):
                await asyncio.sleep(SELDOM)

    async def _state(self, thread: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.host.request("GET", f"/v1/threads/{thread}"))["explanation"]
        return found

    # the end

    async def check(self, mind: Mind) -> list[History]:
        # Why a slice failed may be said for an hour after the thread has recovered, if DynamoDB did not hear of that.
        # Real processes have another clock, and a table that answers.
        if not self.host.patient:
            self.host.stage.clock.leap(FAILING_SECONDS)
        found = await super().check(mind)
        await self._check_rest(found)
        self._check_choices()
        compacted = sum(entry["kind"] == "summary" for history in found for entry in history.entries)
        counts = self.host.tools.counts
        print(
            f"{len(counts)} calls in {counts.total()} requests under one id each, {len(self.selected)} choices, {self.interrupts} interrupts,"
            f" {compacted} compactions, {self.host.aws.counts['scheduler.CreateSchedule']} schedules; lost 0, doubled 0"
        )
        return found

    async def _check_rest(self, found: list[History]) -> None:
        """Nothing keeps any thread, and no reason is left for which something would (I7)."""
        for history in found:
            if history.thread["status"] != "closed":
                state = await self._state(history.thread["id"])
                assert (state["state"], state["reasons"]) == ("idle", []), history.thread["id"]
            assert history.thread["problem"] is None, history.thread

    def _check_choices(self) -> None:
        """Each call that asked was told what was selected, and nothing else."""
        told: dict[str, set[int]] = defaultdict(set)
        for each in self.host.tools.choices:
            told[each["id"]].add(each["selected"])
        assert told == {call: {selected} for call, selected in self.selected.items()}


def _idle(explained: dict[str, Any]) -> bool:
    """Why a slice failed may be said for an hour after the thread has recovered; what has failed indeed is in the queue still."""
    kinds = {reason["kind"] for reason in explained["reasons"]}
    return explained["state"] == "idle" or kinds == {"failing"}


def _large(invocation: Invocation) -> str:
    return f"{effect(invocation)}: {LARGE}"
