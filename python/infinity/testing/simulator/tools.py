"""Tool servers of the simulation: they take invocations like real ones, and call back late, twice, out of order, with nonsense, or never."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from infinity._core import Call
from infinity.abc import Delivery, Verdict
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Loaded, Toolsets
from infinity.rap.manifest import Toolset, parse_manifest
from infinity.settings import Settings
from infinity.tools.functions import tool

__all__ = ["FUNCTIONS", "Runs", "SimulatedToolsets", "SimulatedTransport", "ToolServers"]

Json = dict[str, Any]

BASES = ("http://tools.test", "http://other.test")
_TOOLS = (("work", "slow", "ask", "sign_in"), ("watch", "look"))
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_PICTURES: tuple[Json, ...] = tuple(
    {"type": "image", "data": data, "mediaType": kind}
    for data, kind in (
        (_PNG, "image/png"),
        (_PNG, "image/jpeg"),
        (_PNG[:40], "image/png"),
        (_PNG[:60] + "!!!", "image/png"),
        ("AAAA", "image/webp"),
        (_PNG, "image/x-unheard-of"),
    )
)
"""One that is right, and such as no model API takes."""
_TRIES = 40
"""How often a server sends one callback; it gives up after about a day, long after the last fault."""


@tool
async def quick(n: int) -> str:
    """Answers at once."""
    return f"quick {n}"


@tool
async def fails(n: int) -> str:
    """Fails."""
    raise LookupError(f"no {n}")


@tool(timeout=30)
async def hangs(n: int) -> str:
    """Hangs."""
    await asyncio.sleep(1e9)
    return "never"


@tool
async def exits(n: int) -> str:
    """Ends the program."""
    raise SystemExit(n)


@tool
async def gives_up(n: int) -> str:
    """Waits for something that was cancelled."""
    raise asyncio.CancelledError


@tool(timeout=30)
async def swallows(n: int) -> str:
    """Goes on when it is cancelled."""
    while n > 0:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            n -= 1
    return "after all"


@tool
async def strange(n: int) -> Any:
    """Returns what no message can hold as it is."""
    return (float("nan"), {1: {2}}, "\ud800", "x" * 300_000, b"\xff", object(), None)[n % 7]


FUNCTIONS = (quick, fails, hangs, exits, gives_up, swallows, strange)


class Runs(Protocol):
    """The host as its tool servers see it."""

    async def call_back(self, token: str, body: bytes) -> int:
        """``POST /callback/{token}``: the HTTP status, 0 if the connection broke."""
        ...

    async def registered(self, call_id: str) -> tuple[Call, str] | None:
        """The call and its state, as the store has it at this moment."""
        ...

    def violated(self, what: str) -> None: ...

    @property
    def settings(self) -> Settings: ...


class ToolServers:
    """``seed``: what each call does follows from it and the call's id."""

    def __init__(self, seed: int, host: Runs) -> None:
        self._seed = seed
        self._host = host
        self.removed = False
        """The second server is not configured any more."""
        self.calls: list[tuple[str, str]] = []
        """Thread and id of every call that ever arrived, in order."""
        self.answers: dict[str, Json] = {}
        """To questions, by key, as they arrived."""
        self.accepted: list[tuple[str, str]] = []
        """Thread and id of every message that a callback became."""
        self.bodies: dict[str, bytes] = {}
        self.cancelled: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.healed = False
        """From then on every call is answered at once."""
        self._urls: dict[str, tuple[str, str]] = {}
        self._playing: set[asyncio.Task[None]] = set()

    def toolsets(self) -> list[Toolset]:
        bases = BASES[:1] if self.removed else BASES
        return [
            parse_manifest(_manifest(base, tools), base)
            for base, tools in zip(bases, _TOOLS[: len(bases)], strict=True)
        ]

    def servers(self) -> list[Server]:
        return [Server(base) for base in (BASES[:1] if self.removed else BASES)]

    # what arrives

    async def post(self, url: str, body: bytes, key: str) -> Delivery:
        sent = json.loads(body)
        if "operation" not in sent:
            if self.answers.setdefault(key, sent) != sent:
                self._host.violated(f"two answers to one question: {sent}, {self.answers[key]} (CHO-1)")
            return Delivery(Verdict.DELIVERED)
        thread, call_id = sent["group_id"], sent["id"]
        found = await self._host.registered(call_id)
        if found is None:
            self._host.violated(f"{call_id} left before it was on record (I5)")
        elif found[1] not in ("planned", "sent"):
            self._host.violated(f"{call_id} was sent although it is {found[1]} (I13)")
        if self.bodies.setdefault(call_id, body) != body:
            self._host.violated(
                f"{call_id} was sent with two bodies: {body!r}, {self.bodies[call_id]!r} (I5)"
            )
        if (thread, call_id) not in self.calls:
            if self.cancelled[call_id]:
                self._host.violated(f"{call_id} was cancelled before it came (CAN-1)")
            self.calls.append((thread, call_id))
            self._urls[call_id] = thread, sent["callback_url"].rpartition("/")[2]
            self._spawn(self._play(sent["operation"], thread, call_id))
        return Delivery(Verdict.DELIVERED)

    def notified(self, path: str, body: bytes) -> None:
        sent = json.loads(body)
        if path == "/cancel_tool_call":
            self.cancelled[sent["tool_call_id"]] += 1

    # what they do

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def _play(self, operation: str, thread: str, call_id: str) -> None:
        chance = random.Random(f"{self._seed} {call_id}")
        await self._pause(chance.choice((0.0, 0.0, 0.01, 0.3, 5.0, 400.0)))
        if chance.random() < 0.15:
            await self._nonsense(chance, call_id)
        match operation:
            case "ask":
                await self._ask(chance, call_id)
            case "sign_in":
                await self.send(call_id, self._body("oauth", call_id, auth_url="https://login.test/"))
                await self._pause(chance.choice((10.0, 4_000.0)))
            case "slow":
                await self._pause(chance.choice((60.0, 3_700.0, 90_000.0)))
            case "watch":
                await self._watched(chance, call_id)
                return
            case "look":
                view = self._body("view_update", call_id, view_type="board", content={"n": call_id})
                await self.send(
                    call_id, {name: view[name] for name in ("type", "group_id", "view_type", "content")}
                )
        if chance.random() < 0.08 and not self.healed:
            self.met["no result"] += 1
            return
        await self._result(chance, call_id)

    async def _pause(self, seconds: float) -> None:
        if not self.healed:
            await asyncio.sleep(seconds)

    async def _result(self, chance: random.Random, call_id: str, **more: Any) -> None:
        size = chance.choice((1, 1, 1, 4_000))
        body = self._body("tool_result", call_id, text=f"result of {call_id} " + "x" * size, **more)
        if chance.random() < 0.15:
            self.met["a picture"] += 1
            body["content"] = [chance.choice(_PICTURES), {"type": "text", "text": body.pop("text")}]
        if chance.random() < 0.2:
            self.met["twice at once"] += 1
            await asyncio.gather(self.send(call_id, body), self.send(call_id, body))
            return
        await self.send(call_id, body)
        if chance.random() < 0.1:
            self.met["repeated later"] += 1
            await self._pause(100.0)
            await self.send(call_id, body)

    async def _ask(self, chance: random.Random, call_id: str) -> None:
        question = self._body(
            "user_choice",
            call_id,
            prompt="Which?",
            choices=["x", "y"],
            default=0,
            response_url=f"{BASES[0]}/choice",
        )
        await self.send(call_id, question)
        await self._pause(chance.choice((1.0, 100.0, 700_000.0)))

    async def _watched(self, chance: random.Random, call_id: str) -> None:
        events = [self._event(call_id, number) for number in range(1, chance.randint(1, 4))]
        early = chance.random() < 0.3
        if early and events:
            self.met["early event"] += 1
            self._spawn(self.send(call_id, events.pop(0)))
        await self._result(chance, call_id, subscription=chance.random() < 0.85)
        chance.shuffle(events)
        for event in events:
            await self._pause(chance.choice((0.0, 1.0, 2_000.0)))
            await self.send(call_id, event)
            if chance.random() < 0.2:
                await self.send(call_id, event)
        if chance.random() < 0.5:
            await self.send(call_id, {**self._event(call_id, 99), "final": True})

    def _event(self, call_id: str, number: int) -> Json:
        body = self._body("subscription_event", call_id, text=f"event {number}", event_id=f"e{number}")
        body["tool_call_id"] = body.pop("id")
        body["associative"] = number % 2 == 0
        return body

    async def _nonsense(self, chance: random.Random, call_id: str) -> None:
        """What a broken or hostile server sends; none of it may take effect, or end anything but this call."""
        kind = chance.choice(("forged", "of another call", "not JSON", "too large", "late for another"))
        self.met[kind] += 1
        body = json.dumps(self._body("tool_result", call_id, text="forged")).encode()
        _, token = self._urls[call_id]
        match kind:
            case "forged":
                await self._host.call_back(token[:-2] + "xx", body)
            case "of another call":
                await self._host.call_back(token, body.replace(call_id.encode(), b"call_0"))
            case "not JSON":
                await self._host.call_back(token, b"\xff\x00 not JSON")
            case "too large":
                kind = chance.choice(
                    ("view_update", "tool_result", "subscription_event", "user_choice", "oauth")
                )
                large = self._body(kind, call_id, text="x" * (self._host.settings.limits.callback_bytes + 1))
                await self._host.call_back(token, json.dumps(large).encode())
            case _:
                _, other = self.calls[chance.randrange(len(self.calls))]
                await self.send(other, {**self._body("tool_result", other, text=f"result of {other} again")})

    def _body(self, kind: str, call_id: str, **more: Any) -> Json:
        return {"type": kind, "group_id": self._urls[call_id][0], "id": call_id, **more}

    async def send(self, call_id: str, body: Json) -> int:
        """Until the runtime has said something that ends it, as every server does (SRV-3)."""
        encoded, (_, token) = json.dumps(body).encode(), self._urls[call_id]
        for attempt in range(_TRIES):
            status = await self._host.call_back(token, encoded)
            if status and status < 500:
                return status
            await asyncio.sleep(min(2.0**attempt, 3_600.0))
        return 0


def _manifest(base: str, names: tuple[str, ...]) -> bytes:
    tools = [{"name": name, "description": "A tool.", "inputSchema": {"type": "object"}} for name in names]
    document = {
        "name": base[7:].partition(".")[0],
        "description": "Tools.",
        "endpoint": f"{base}/invoke",
        "tools": tools,
    }
    return json.dumps(document).encode()


class SimulatedToolsets(Toolsets):
    """Discovery without a network."""

    def __init__(self, tools: ToolServers, around: Callable[..., Awaitable[Any]]) -> None:
        super().__init__(tools.servers())
        self._tools = tools
        self._around = around

    async def load(self) -> Loaded:
        async def act() -> Loaded:
            toolsets = tuple(self._tools.toolsets())
            return Loaded(toolsets, (), frozenset(each.base_url for each in toolsets))

        loaded: Loaded = await self._around("toolsets.load", act)
        return loaded


class SimulatedTransport(HttpTransport):
    """Requests to tool servers without a network."""

    def __init__(self, tools: ToolServers, around: Callable[..., Awaitable[Any]]) -> None:
        super().__init__()
        self._tools = tools
        self._around = around

    async def post(self, url: str, body: bytes, *, key: str, reason: bool = False) -> Delivery:
        delivery: Delivery = await self._around("transport.post", lambda: self._tools.post(url, body, key))
        return delivery

    async def notify(self, base_urls: Any, path: str, body: bytes) -> dict[str, Delivery]:
        async def act() -> dict[str, Delivery]:
            self._tools.notified(path, body)
            return {}

        told: dict[str, Delivery] = await self._around("transport.notify", act)
        return told
