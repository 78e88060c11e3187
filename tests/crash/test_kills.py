"""Many threads at once, and a daemon that is killed again and again at random moments.

What is checked is counted where the effects are: at the model server (what the model was told, and whether the API would have taken it)
and at the tool server (which invocation arrived); then against the history. ``INFINITY_KILLS``: how many; ``INFINITY_SEED``: another run.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.crash.daemon import PATIENCE, Forks
from tests.crash.history import History, check
from tests.crash.host import AGAIN, Host
from tests.crash.watch import turn_text

from infinity.models.heard import EVENT_TOOL, blocks
from infinity.models.script import Reply
from infinity.testing.tool_server import Invocation, answering

KILLS = int(os.environ.get("INFINITY_KILLS", "40"))
STOPS = max(5, KILLS // 8)
SEED = int(os.environ.get("INFINITY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
AT_ONCE = 24
"""Threads that are talked to at the same time."""
TEXTS = 6
"""What one thread is told before the next one takes its place."""
WINDOW = (0.05, 0.4)
"""Seconds that a daemon lives once it serves."""

_NUMBER = re.compile(r"<user-[0-9-]+>")


class Mind:
    """The model: does what the texts say that no turn has answered yet, and remembers which text it has read in which root thread."""

    def __init__(self) -> None:
        self.read: dict[str, set[str]] = defaultdict(set)

    def __call__(self, request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        if "You are now in the child thread" in str(messages[-1]["content"]):
            return Reply().call("close_thread", report="the child is done")
        text = _unanswered(messages)
        if "created for the event above" in text:
            return Reply().call("close_thread", report="the event is handled")
        named = re.search(r"Its id is (user-[0-9-]+)\.", str(messages[0]["content"]))
        assert named is not None, "a request without its root's seed"
        self.read[named[1]].update(_NUMBER.findall(text))
        return _do(re.findall(r"do: ([a-z ]+)\.", text), text)


def _do(wishes: list[str], text: str) -> Reply:
    answer = Reply().say("At once." if wishes else "I see.")
    for wish in wishes[-1].split() if wishes else ():
        match wish:
            case "spawn":
                answer = answer.call("spawn_thread", instructions="be done")
            case "sleep":
                answer = answer.call("sleep", seconds=0.1)
            case _:
                answer = answer.call(wish, said=text[-80:])
    return answer


def _unanswered(messages: list[dict[str, Any]]) -> str:
    """What was said since the model's last turn, events in between or not."""
    texts: list[str] = []
    for message in reversed(messages):
        if message["role"] == "user":
            texts += [block["text"] for block in reversed(blocks(message)) if block["type"] == "text"]
        elif any(block.get("name") != EVENT_TOOL for block in blocks(message)):
            break
    return "\n".join(reversed(texts))


class Workload:
    """Users who talk, each to one thread after the other, until the last kill is over."""

    def __init__(self, host: Host, chance: random.Random) -> None:
        self.host = host
        self.texts: dict[str, list[str]] = defaultdict(list)
        """What every thread was told and has accepted."""
        self.events: list[str] = []
        """Texts of the subscription events that were accepted."""
        self.over = False
        self._chance = chance

    async def run(self, endings: Sequence[signal.Signals]) -> None:
        """Until the daemon has ended in each of these ways, and everybody has finished what they were saying."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._user(number))
            for ending in endings:
                await self.host.running()
                victim = self.host.process
                await asyncio.sleep(self._chance.uniform(*WINDOW))  # its lifetime: what this test is about
                victim.signal(ending)
                await victim.ended()
            self.over = True

    async def _user(self, number: int) -> None:
        chance = random.Random(self._chance.random())
        made = 0
        while not self.over:
            thread = f"user-{number}-{made}"
            made += 1
            await self._talk(thread, chance)
            await self.host.forget(thread)

    async def _talk(self, thread: str, chance: random.Random) -> None:
        await self.host.create(thread)
        for index in range(TEXTS):
            number = f"<{thread}-{index}>"
            wishes = chance.choice(WISHES)
            text = f"{number} do: {wishes}." if wishes else f"{number} nothing to do"
            for _ in range(chance.choice((1, 1, 2))):  # as clients do that never heard the answer
                await self.host.say(thread, text)
            self.texts[thread].append(number)
            if wishes == "watch":
                await self._watched(thread, number)
            elif chance.random() < 0.7:
                await self._answered(thread, number)

    async def _answered(self, thread: str, number: str) -> None:
        """Wait until the text is in history and the agent has said something after it."""
        watch = self.host.watch(thread)
        heard = await watch.until(
            lambda seen: seen.kind == "entry" and number in str(seen.data["user"]), number
        )
        at = heard.position or 0
        await watch.until(
            lambda seen: (seen.position or 0) > at and turn_text(seen) != "", f"word after {number}"
        )

    async def _watched(self, thread: str, number: str) -> None:
        """Be the tool that this text subscribes to: a confirmation, an event for a child, one for the thread itself, the last."""
        tools = self.host.tools

        def found() -> list[str]:
            return [
                each.id
                for each in tools.invocations
                if each.operation == "watch" and number in each.arguments["said"] and each.group_id == thread
            ]

        await self.host.until(lambda: bool(found()), f"subscription for {number}")
        call = found()[0]
        assert await self.host.tell(lambda: tools.answer(call, "watching", subscription=True)) == 200
        await self._event(call, f"change {number}")
        await self._event(call, f"end {number}", associative=True, final=True)

    async def _event(self, call: str, text: str, **how: bool) -> None:
        id = re.sub("[^a-z0-9-]", "", text)
        assert await self.host.tell(lambda: self.host.tools.event(call, text, event_id=id, **how)) == 200
        self.events.append(text)


WISHES = ("", "a", "a b c", "a a", "watch", "spawn", "sleep", "sleep b", "spawn c")


@pytest.mark.slow
@pytest.mark.rap("RES-4", "SUB-2", "SUB-5", "SUB-6", "THR-1", "RUN-4", "SRV-6", "INV-8", "CB-3", "CB-4")
@pytest.mark.trap("L1", "L2", "L3", "L4", "L5", "L6", "L15", "R3", "R6")
async def test_nothing_is_lost_and_nothing_is_doubled_however_often_the_daemon_is_killed(
    tmp_path: Path, forks: Forks
) -> None:
    host = await _live(tmp_path / "home", forks, [signal.SIGKILL] * KILLS)
    assert host.deaths == [-signal.SIGKILL] * KILLS


@pytest.mark.slow
@pytest.mark.trap("L17", "L15")
async def test_nothing_is_lost_and_nothing_is_doubled_however_often_the_daemon_is_stopped(
    tmp_path: Path, forks: Forks
) -> None:
    host = await _live(tmp_path / "home", forks, [signal.SIGTERM] * STOPS)
    assert host.deaths == [0] * STOPS


async def _live(home: Path, forks: Forks, endings: Sequence[signal.Signals]) -> Host:
    """The whole workload, and everything that must hold after it."""
    print(f"INFINITY_SEED={SEED}")
    mind = Mind()
    async with Host(home, forks, mind) as host:
        host.endings = {-signal.SIGKILL, 0}
        host.tools.behaviours |= {name: answering(_effect, times=2) for name in ("a", "b", "c")}
        workload = Workload(host, random.Random(SEED))
        await host.keep()
        await workload.run(endings)
        await host.settled()
        await _rests(host)
        found = await check(host)
        print(
            f"{len(endings)} deaths, {len(found)} threads, {host.model.effects.completed} completions, {len(host.tools.counts)} calls"
        )
        _check_texts(mind, workload, found)
        _check_effects(host, found)
        _check_events(workload, found)
    return host


def _effect(invocation: Invocation) -> str:
    return f"effect of {invocation.id}"


async def _rests(host: Host) -> None:
    """Every thread is at its end: asleep without anything open, or closed (I7)."""
    restless = [thread["id"] for thread in await host.threads() if thread["status"] != "closed"]
    async with asyncio.timeout(PATIENCE):
        while restless:
            thread = await host.request("GET", f"/v1/threads/{restless[-1]}")
            if thread["explanation"]["state"] in ("idle", "closed"):
                restless.pop()
            else:
                await asyncio.sleep(AGAIN)
    await host.settled()


def _check_texts(mind: Mind, workload: Workload, found: list[History]) -> None:
    """Every accepted text was read by the model, in its thread, and is in that thread's history once, in order (I2, I3, THR-1)."""
    stored = {history.thread["id"]: history for history in found}
    for thread, numbers in workload.texts.items():
        entries = [entry for entry in stored[thread].entries if entry["kind"] == "user"]
        said = [number for entry in entries for number in _NUMBER.findall(str(entry["user"]))]
        assert said == numbers, f"{thread}: its history says {said}, accepted was {numbers}"
        assert mind.read[thread] == set(numbers), f"{thread}: the model has read {mind.read[thread]}"


def _check_effects(host: Host, found: list[History]) -> None:
    """Every invocation that arrived has its one result in the history of its thread, and in no other."""
    told = Counter(
        (history.thread["id"], id)
        for history in found
        for block in history.blocks("tool_result")
        for id in re.findall(r"effect of (call_[0-9a-f]+)", str(block["content"]))
    )
    arrived = {(each.group_id, each.id) for each in host.tools.invocations if each.operation != "watch"}
    assert told == Counter(arrived)


def _check_events(workload: Workload, found: list[History]) -> None:
    """Every event that was taken is told once: one in a child of its own, the other in the thread itself (R3, R6)."""
    told = Counter(
        text
        for history in found
        for block in history.blocks("tool_result")
        for text in re.findall(r"(?:change|end) <[a-z0-9-]+>", str(block["content"]))
    )
    assert told == Counter(workload.events)
