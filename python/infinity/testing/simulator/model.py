"""A model that does anything a model may do, and fails in any way; it refuses what the real API would refuse."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from infinity.abc import ModelRequest, Part, Text, Turn, Usage
from infinity.errors import (
    ContextTooLong,
    InvalidModelRequest,
    ModelAuthentication,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)
from infinity.testing.messages_rules import check
from infinity.testing.replies import Json, OneModel, Reply, call, say, texts

__all__ = ["RUNNING", "TROUBLES", "TROUBLE_WORDS", "AnyModel", "Judge", "arguments_of", "hanging"]

RUNNING: ContextVar[str] = ContextVar("RUNNING", default="")
"""The thread whose slice asks."""
WINDOW = 12_000
"""Tokens. Small, so that conversations are compacted."""
_CHARACTERS_PER_TOKEN = 4


TROUBLE_WORDS = ("a bug of the provider", "'usage'", "CancelledError")


def _broken(error: BaseException) -> Reply:
    async def stream(_: Json) -> AsyncIterator[Part]:
        yield Text("some words, and then")
        raise error

    return stream


async def hanging(_: Json) -> AsyncIterator[Part]:
    """What was said counts as a turn if somebody interrupts it."""
    yield Text("some words, and then nothing")
    await asyncio.sleep(86_400)


TROUBLES: dict[str, Callable[[], Reply]] = {
    "throttled": lambda: RateLimited("slow down", retry_after=5),
    "wait for hours": lambda: Overloaded("busy", retry_after=1e12),
    "overloaded": lambda: Overloaded("busy"),
    "away": lambda: ModelUnavailable("gone"),
    "an expired key": lambda: ModelAuthentication("the key has expired", status=401),
    "a removed model": lambda: InvalidModelRequest("there is no such model", status=404),
    "not valid": lambda: InvalidModelRequest("this is not valid", status=400),
    "refused": lambda: ModelRefused("no"),
    "too long": lambda: ContextTooLong("the context is too long"),
    "a bug": lambda: ZeroDivisionError("a bug of the provider"),
    "a broken stream": lambda: _broken(ModelUnavailable("it broke off")),
    "a bug in a stream": lambda: _broken(KeyError("usage")),
    "cancelled inside": lambda: _broken(asyncio.CancelledError()),
    "it hangs": lambda: hanging,
    "nothing": lambda: Turn([]),
    "another round": lambda: call(("current_time", {})),
}
"""By name, how a completion may fail, or go on within its slice. A request that the rules refuse is not among them: it is a violation (I4)."""


class Judge(Protocol):
    """Who keeps account of completions."""

    def asked(self, reply: Reply) -> None: ...

    def bought(self, usage: Usage) -> None: ...

    def attempted_for(self, tokens: int) -> None:
        """A completion of this request will not come to its end."""
        ...

    def violated(self, what: str) -> None: ...


class AnyModel(OneModel):
    """``abc.Model`` and ``abc.Models``. What it answers follows from ``seed``, the thread and how often that has asked, so that it is the same in every run."""

    def __init__(self, seed: int, judge: Judge) -> None:
        self.seed = seed
        self.requests = 0
        self.troubles: deque[str] = deque()
        self.met: Counter[str] = Counter()
        self.wise = False
        """From then on it answers in words, to everything."""
        self._judge = judge
        self._asked: Counter[str] = Counter()
        self.info = replace(
            OneModel.info, context_window=WINDOW, output_limit=1_024, price=(3.0, 15.0, 0.3, 3.75)
        )

    async def reply_to(self, request: ModelRequest, body: Json) -> Reply:
        if problems := check(body):
            self._judge.violated(f"the API would refuse a request of {RUNNING.get()}: {problems} (I4)")
        self.requests += 1
        size = (len(request.messages) + len(request.tools) + len(request.system)) // _CHARACTERS_PER_TOKEN
        reply = self._reply(body, size)
        self._judge.asked(reply)
        if isinstance(reply, Turn):
            return replace(reply, usage=Usage(size, 5))
        self._judge.attempted_for(size)
        return reply

    def said(self, turn: Turn) -> None:
        self._judge.bought(turn.usage)

    def _reply(self, body: Json, size: int) -> Reply:
        if size > WINDOW:
            self.met["too long"] += 1
            return ContextTooLong(f"the context has {size} tokens, more than {WINDOW}")
        if self.troubles:
            trouble = self.troubles.popleft()
            self.met[trouble] += 1
            return TROUBLES[trouble]()
        return self._turn(body)

    def _turn(self, body: Json) -> Reply:
        thread = RUNNING.get()
        self._asked[thread] += 1
        last = texts(body["messages"][-1])
        if "Summarise the conversation" in last:
            return say("a summary")
        if self.wise:
            return say(f"wise reply {self.requests}")
        chance = random.Random(f"{self.seed} {thread} {self._asked[thread]}")
        child = "child thread" in str(body["messages"])
        return _anything(chance, body["tools"], child=child, number=self.requests)


_FAMILY = ("spawn_thread", "report_to_parent", "close_thread", "sleep", "sleep_until_event_or_input")
"""Built-in tools that are called in their own way."""


def _anything(chance: random.Random, tools: list[Json], *, child: bool, number: int) -> Turn:
    what = chance.random()
    offered = {tool["name"] for tool in tools}
    if what < 0.38:
        return say(f"reply {number} " + "and so on " * chance.choice((1, 1, 1, 300)))
    if what < 0.74:
        wanted = chance.choices(
            [each for each in tools if each["name"] not in _FAMILY], k=chance.randint(1, 4)
        )
        calls = [(each["name"], arguments_of(each["input_schema"], chance)) for each in wanted]
        if chance.random() < 0.1:
            calls.append(("no_such_tool", {}))
        return call(*calls, text=chance.choice(("", "calling")))
    if what < 0.80 and "spawn_thread" in offered:
        return call(("spawn_thread", {"instructions": "do a part"}))
    if what < 0.85 and "report_to_parent" in offered:
        return call(("report_to_parent", {"report": "a report"}))
    if what < 0.90:
        return call(("sleep", {"seconds": chance.choice((0, 60, 86_400))}))
    if what < 0.93:
        return call(("sleep_until_event_or_input", {}))
    if what < 0.95 and child:
        return call(("close_thread", {}))
    return Turn([]) if what < 0.97 else say("nothing more")


def arguments_of(schema: Json, chance: random.Random) -> Any:
    """Arguments that a schema of an everyday kind takes; now and then some that it does not."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            required, properties = schema.get("required", []), schema.get("properties", {})
            wanted = [name for name in properties if name in required or chance.random() < 0.5]
            if chance.random() < 0.05:
                wanted = wanted[1:]
            return {name: arguments_of(properties[name], chance) for name in wanted}
        case "array":
            return [arguments_of(schema.get("items", {}), chance) for _ in range(chance.randrange(3))]
        case "integer":
            return chance.choice((0, 1, 2, 7, 1_000_000))
        case "number":
            return chance.choice((0.0, 0.5, -3.25))
        case "boolean":
            return chance.random() < 0.5
    return chance.choice(("", "a", "some words", "\u00e9\u4e2d\U0001f600"))
