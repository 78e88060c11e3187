"""Many threads at once, for as long as a host is killed again and again; and what must be true afterwards.

What is checked is counted where the effects are: at the model server (what the model was told, and whether the API would have taken it)
and at the tool server (which invocation arrived); then against the history.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from infinity.models.prompt_view import EVENT_TOOL, blocks
from infinity.models.script import Reply
from infinity.stamps import is_stamp
from infinity.testing.tool_server import Invocation, answering

from .clients import AGAIN, Clients
from .daemon import PATIENCE
from .history import History, check
from .watch import turn_text

WISHES = ("", "a", "a b c", "a a", "watch", "spawn", "sleep", "sleep b", "spawn c")
TEXTS = 6
"""What one thread is told before the next one takes its place."""

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
        numbers = _NUMBER.findall(text)
        self.read[self.root(messages, numbers)].update(numbers)
        wishes = re.findall(r"do: ([a-z ]+)\.", text)
        answer = Reply().say("At once." if wishes else "I see.")
        for wish in wishes[-1].split() if wishes else ():
            answer = self.do(wish, answer, text)
        return answer

    def root(self, messages: list[dict[str, Any]], numbers: list[str]) -> str:
        """The thread whose texts these are."""
        named = re.search(r"Its id is (user-[0-9-]+)\.", str(messages[0]["content"]))
        assert named is not None, "a request without its root's seed"
        return named[1]

    def do(self, wish: str, answer: Reply, text: str) -> Reply:
        match wish:
            case "spawn":
                return answer.call("spawn_thread", instructions="be done")
            case "sleep":
                return answer.call("sleep", seconds=0.1)
            case _:
                return answer.call(wish, said=text[-80:])


def _unanswered(messages: list[dict[str, Any]]) -> str:
    """What was said since the model's last turn, events in between or not."""
    texts: list[str] = []
    for message in reversed(messages):
        if message["role"] == "user":
            texts += [
                block["text"]
                for block in reversed(blocks(message))
                if block["type"] == "text" and not is_stamp(block)
            ]
        elif any(block.get("name") != EVENT_TOOL for block in blocks(message)):
            break
    return "\n".join(reversed(texts))


class Workload:
    """Users who talk, each to one thread after the other, until the last kill is over."""

    wishes = WISHES
    silent = frozenset({"watch"})
    """Tools whose results are none of ``effect``."""

    def __init__(self, host: Clients, chance: random.Random, texts: int = TEXTS) -> None:
        self.host = host
        self.length = texts
        self.texts: dict[str, list[str]] = defaultdict(list)
        """What every thread was told and has accepted."""
        self.events: list[str] = []
        """Texts of the subscription events that were accepted."""
        self.over = False
        self._chance = chance
        host.tools.behaviours |= {name: answering(effect, times=2) for name in ("a", "b", "c")}

    async def run(self, at_once: int, kills: Iterable[Callable[[], Awaitable[None]]]) -> None:
        """So many users, until each of these has killed a part of the host, and everybody has finished what they were saying."""
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(self._user(number))
            for kill in kills:
                await kill()
            self.over = True

    async def check(self, mind: Mind) -> list[History]:
        """Everything that must hold when the last kill is over."""
        host = self.host
        await host.settled()
        await _rests(host)
        found = await check(host)
        print(
            f"{len(host.deaths)} deaths, {len(found)} threads, {host.model.effects.completed} completions, {len(host.tools.counts)} calls"
        )
        _check_texts(mind, self, found)
        _check_effects(host, found, self.silent)
        _check_events(self, found)
        return found

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
        for index in range(self.length):
            number = f"<{thread}-{index}>"
            wishes = self.choose(chance, last=index == self.length - 1)
            await self.before(thread, wishes)
            text = f"{number} do: {wishes}." if wishes else f"{number} nothing to do"
            for _ in range(chance.choice((1, 1, 2))):  # as clients do that never heard the answer
                await self.host.say(thread, text)
            self.texts[thread].append(number)
            await self.after(thread, number, wishes, chance)

    def choose(self, chance: random.Random, *, last: bool) -> str:
        """What a text wishes; ``last``: it is the last of its thread."""
        return chance.choice(self.wishes)

    async def before(self, thread: str, wishes: str) -> None:
        """What must be before the thread is told so."""

    async def after(self, thread: str, number: str, wishes: str, chance: random.Random) -> None:
        """What the user, and the tool, does once the thread was told so."""
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

        call = await self.invoked("watch", thread, number)
        assert await self.host.tell(lambda: tools.answer(call, "watching", subscription=True)) == 200
        await self._event(call, f"change {number}")
        await self._event(call, f"end {number}", associative=True, final=True)

    async def invoked(self, tool: str, thread: str, number: str) -> str:
        """The call of this tool that the text asked for, once it has arrived."""

        def found() -> list[str]:
            return [
                each.id
                for each in self.host.tools.invocations
                if each.operation == tool and number in each.arguments["said"] and each.group_id == thread
            ]

        await self.host.until(lambda: bool(found()), f"call of {tool} for {number}")
        return found()[0]

    async def _event(self, call: str, text: str, **how: bool) -> None:
        id = re.sub("[^a-z0-9-]", "", text)
        assert await self.host.tell(lambda: self.host.tools.event(call, text, event_id=id, **how)) == 200
        self.events.append(text)


def effect(invocation: Invocation) -> str:
    return f"effect of {invocation.id}"


async def _rests(host: Clients) -> None:
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


def _check_effects(host: Clients, found: list[History], silent: Collection[str]) -> None:
    """Every invocation that arrived has its one result in the history of its thread, and in no other."""
    told = Counter(
        (history.thread["id"], id)
        for history in found
        for block in history.blocks("tool_result")
        for id in re.findall(r"effect of (call_[0-9a-f]+)", str(block["content"]))
    )
    arrived = {(each.group_id, each.id) for each in host.tools.invocations if each.operation not in silent}
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
