"""What a user may live through, from the first word to the last. Each ends the same way however often the daemon dies on the way.

A script answers by what it reads alone, so it says the same again when it is asked again. Anyone who acts from outside waits for what it
reacts to, and does not give up when nobody answers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infinity.models.prompt_view import PromptView
from infinity.models.script import Reply, Script
from infinity.testing.model_server import Respond
from infinity.testing.tool_server import answering, failing

from .clients import Clients
from .watch import Watch

ROOT = "thread-under-test"

_SLICES = frozenset({"accepted", "loaded", "prepared", "completed", "dispatched", "committed", "yielded"})
_CALLS = _SLICES | {"sending", "posted", "sent"}
_NOTICES = _SLICES | {"sending", "sent"}
_TIMERS = _SLICES | {"fired"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """``steps``: the gates that it passes. ``model``: a script, or what makes a model for one run. ``timeouts``: of the configuration, in seconds."""

    name: str
    model: Script | type[_Overloaded]
    drive: Callable[[Clients, Watch], Awaitable[None]]
    steps: frozenset[str]
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def respond(self) -> Script | Respond:
        return self.model if isinstance(self.model, Script) else self.model()


async def _one_call(host: Clients, root: Watch) -> None:
    host.tools.behaviours["a"] = answering("what a found")
    await host.say(ROOT, "begin")
    await root.said("all done")


ONE_CALL = Scenario(
    "one call",
    Script().when("begin").say("Looking.").call("a", n=1).when_result("a", "what a found").say("all done"),
    _one_call,
    _CALLS,
)


async def _three_calls(host: Clients, root: Watch) -> None:
    host.tools.behaviours |= {"a": answering("from a"), "b": failing(503), "c": answering("from c")}
    await host.say(ROOT, "begin")
    await host.tools.until(lambda: _invoked(host, "b"), "call of b")
    host.tools.behaviours["b"] = answering("from b")
    await root.said("all done")


THREE_CALLS = Scenario(
    "three calls, one refused at first",
    Script()
    .when("begin")
    .call("a", n=1)
    .call("b", n=2)
    .call("c", n=3)
    .when_prompt(lambda prompt: {result.text for result in prompt.results} == {"from a", "from b", "from c"})
    .say("all done"),
    _three_calls,
    _CALLS,
)


async def _child(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    await root.said("all done")
    child = host.watch((await root.noted("child")).data["id"])
    await child.noted("status", status="closed")
    await host.tools.until(lambda: _noticed(host, "/close_thread"), "notice that the child has closed")


CHILD = Scenario(
    "a child that reports and closes",
    Script()
    .when_result("spawn_thread", "You are now in the child thread")
    .call("report_to_parent", report="half way")
    .when_result("report_to_parent")
    .call("close_thread", report="found it")
    .when("begin")
    .call("spawn_thread", instructions="find it")
    .when_result("spawn_thread")
    .say("started")
    .when_event("spawn_thread", "found it")
    .say("all done"),
    _child,
    _NOTICES,
)


async def _subscription(host: Clients, root: Watch) -> None:
    tools = host.tools
    await host.say(ROOT, "begin")
    call = (await tools.invoked()).id
    assert await host.tell(lambda: tools.answer(call, "watching x", subscription=True)) == 200
    await root.said("I watch")
    assert await host.tell(lambda: tools.event(call, "change 1", event_id="e1")) == 200
    await root.said("noted")
    assert await host.tell(lambda: tools.event(call, "change 2", event_id="e2", associative=True)) == 200
    await root.said("seen")
    last = await host.tell(lambda: tools.event(call, "the last", event_id="e3", associative=True, final=True))
    assert last == 200
    await root.said("all done")
    # Only now is the subscription surely gone: until the commit, an event is rightly queued behind the last one.
    await host.settled()
    assert await host.tell(lambda: tools.event(call, "too late", event_id="e4")) == 409


SUBSCRIPTION = Scenario(
    "a subscription",
    Script()
    .when("created for the event above")
    .call("close_thread", report="handled change 1")
    .when("begin")
    .call("watch", path="x")
    .when_result("watch")
    .say("I watch")
    .when_event("watch", "handled change 1")
    .say("noted")
    .when_event("watch", "change 2")
    .say("seen")
    .when_event("watch", "the last")
    .say("all done"),
    _subscription,
    _CALLS,
)


async def _early(host: Clients, root: Watch) -> None:
    """Two events that nobody has subscribed to yet: one call turns out to be a subscription, the other one is none (SUB-9)."""
    tools = host.tools
    await host.say(ROOT, "begin")
    await tools.until(lambda: _invoked(host, "watch") and _invoked(host, "a"), "both calls")
    watched, other = (
        next(each.id for each in tools.invocations if each.operation == name) for name in ("watch", "a")
    )
    for number in (1, 2):
        text, id = f"change {number}", f"e{number}"
        assert await host.tell(partial(tools.event, watched, text, event_id=id, associative=True)) == 200
        await host.settled()  # each by itself, so that it leaves the inbox and waits beside its call
    assert await host.tell(lambda: tools.event(other, "of nothing", event_id="e3")) == 200
    await host.settled()
    assert await host.tell(lambda: tools.answer(other, "no subscription")) == 200
    await root.noted("call_ended", id=other)
    assert await host.tell(lambda: tools.answer(watched, "watching x", subscription=True)) == 200
    await root.said("all done")
    await host.settled()
    assert "of nothing" not in str([event.data for event in root.events])


EARLY = Scenario(
    "events before their confirmation",
    Script()
    .when_event("watch", "change 2")
    .say("all done")
    .when_event("watch", "change 1")
    .say("noted")
    .when("begin")
    .call("watch", path="x")
    .call("a", n=1)
    .when_result("watch")
    .say("I watch"),
    _early,
    _CALLS,
)


async def _talk(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    call = (await host.tools.invoked()).id
    await host.say(ROOT, "are you there?")
    await root.said("still here")
    assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
    await root.said("all done")


TALK = Scenario(
    "talk while a tool runs",
    Script()
    .when("are you there?")
    .say("still here")
    .when("begin")
    .call("a", n=1)
    .when_event("a", "what a found")
    .say("all done"),
    _talk,
    _CALLS,
)


async def _sleep(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    await root.said("all done")


SLEEP = Scenario(
    "sleep",
    Script().when("begin").call("sleep", seconds=0.2).when_result("sleep", "slept").say("all done"),
    _sleep,
    _TIMERS,
)


async def _interrupt(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    call = (await host.tools.invoked()).id
    # Its acknowledgement is recorded as well; an end in between is not a step of this scenario.
    await host.settled()
    await host.request("POST", f"/v1/threads/{ROOT}/interrupt", key="interrupt-1")
    await root.noted("call_ended", id=call, state="cancelled")
    await host.tools.until(lambda: _noticed(host, "/cancel_tool_call"), "notice of the cancelled call")
    assert await host.tell(lambda: host.tools.answer(call, "too late")) == 200
    await host.say(ROOT, "go on")
    await root.said("all done")


INTERRUPT = Scenario(
    "interrupt", Script().when("go on").say("all done").when("begin").call("a", n=1), _interrupt, _CALLS
)


async def _choice(host: Clients, root: Watch) -> None:
    tools = host.tools
    await host.say(ROOT, "begin")
    call = (await tools.invoked()).id
    assert await host.tell(lambda: tools.choice(call, "Which?", ["red", "blue"])) == 200
    prompt = (await root.noted("prompt", prompt_kind="choice")).data["id"]
    # A repeat may find the prompt closed by the try whose answer was lost.
    path = f"/v1/threads/{ROOT}/choices/{prompt}"
    await host.request("POST", path, {"selected": 1}, closed=(400, 404, 409))
    await tools.until(lambda: bool(tools.choices), "choice")
    assert await host.tell(lambda: tools.answer(call, "painted blue")) == 200
    await root.said("all done")
    await host.settled()
    assert {(choice["id"], choice["selected"]) for choice in tools.choices} == {(call, 1)}


CHOICE = Scenario(
    "a choice",
    Script().when("begin").call("a", n=1).when_result("a", "painted blue").say("all done"),
    _choice,
    _CALLS,
)


_SHORT: Mapping[str, float] = {"prompt": 0.05}
"""A limit that has passed by the time that a daemon is up again, wherever its forerunner died."""


async def _unanswered(host: Clients, root: Watch) -> None:
    tools = host.tools
    await host.say(ROOT, "begin")
    call = (await tools.invoked()).id
    assert await host.tell(lambda: tools.choice(call, "Which?", ["red", "blue"], default=1)) == 200
    await root.noted("prompt_closed", selected=1, unanswered=True)
    await tools.until(lambda: bool(tools.choices), "the default")
    assert await host.tell(lambda: tools.answer(call, "painted blue")) == 200
    await root.said("all done")
    await host.settled()
    assert {(choice["id"], choice["selected"]) for choice in tools.choices} == {(call, 1)}
    await _nothing_is_left(host)


UNANSWERED = Scenario(
    "a question that nobody answers",
    Script().when("begin").call("a", n=1).when_result("a", "painted blue").say("all done"),
    _unanswered,
    _CALLS | {"fired"},
    _SHORT,
)


async def _no_sign_in(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    call = (await host.tools.invoked()).id
    assert await host.tell(lambda: host.tools.oauth(call)) == 200
    await root.said("all done")
    await root.noted("call_ended", id=call, state="failed")
    await host.tools.until(lambda: _noticed(host, "/cancel_tool_call"), "notice of the call that has failed")
    await host.settled()
    await _nothing_is_left(host)


NO_SIGN_IN = Scenario(
    "a sign-in that nobody makes",
    Script().when("begin").call("a", n=1).when_result("a", "nobody did").say("all done"),
    _no_sign_in,
    _CALLS | {"fired"},
    _SHORT,
)


async def _nothing_is_left(host: Clients) -> None:
    """Nobody is asked any more, and the thread waits for nothing (I13)."""
    assert (await host.request("GET", f"/v1/prompts?thread={ROOT}"))["prompts"] == []
    explanation = (await host.request("GET", f"/v1/threads/{ROOT}"))["explanation"]
    assert (explanation["state"], explanation["reasons"]) == ("idle", [])


async def _consent(host: Clients, root: Watch) -> None:
    host.tools.behaviours["destroy"] = answering("it is gone")
    await host.say(ROOT, "begin")
    prompt = (await root.noted("prompt", prompt_kind="consent")).data["id"]
    await host.settled()
    assert not host.tools.invocations, "it left before anybody allowed it"
    await host.request(
        "POST", f"/v1/threads/{ROOT}/choices/{prompt}", {"selected": 0}, closed=(400, 404, 409)
    )
    await root.said("all done")


CONSENT = Scenario(
    "consent",
    Script().when("begin").call("destroy", what="x").when_result("destroy", "it is gone").say("all done"),
    _consent,
    _CALLS,
)


async def _stop(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    call = (await host.tools.invoked()).id
    # Its acknowledgement is recorded as well; an end in between is not a step of this scenario.
    await host.settled()
    await host.request("POST", f"/v1/threads/{ROOT}/stop", key="stop-1")
    await root.noted("status", status="stopped")
    assert await host.tell(lambda: host.tools.answer(call, "what a found")) == 200
    await root.noted("call_ended", id=call, state="answered")
    await host.settled()
    assert root.turns() == 1, "a stopped thread asked the model"
    await host.request("POST", f"/v1/threads/{ROOT}/resume", key="resume-1")
    await root.said("all done")


STOP = Scenario(
    "stop and resume",
    Script().when("begin").call("a", n=1).when_result("a", "what a found").say("all done"),
    _stop,
    _CALLS,
)


async def _close(host: Clients, root: Watch) -> None:
    tools = host.tools
    await host.say(ROOT, "begin")
    await tools.until(lambda: _invoked(host, "a") and _invoked(host, "b"), "calls of both threads")
    child = host.watch((await root.noted("child")).data["id"])
    await host.request("POST", f"/v1/threads/{ROOT}/close", key="close-1")
    await root.noted("status", status="closed")
    await child.noted("status", status="closed")
    await tools.until(lambda: _told(host, "/cancel_tool_call") == 2, "notice of both cancelled calls")
    await tools.until(lambda: _told(host, "/close_thread") == 2, "notice that both threads have closed")
    for call in list(tools.counts):
        assert await host.tell(partial(tools.answer, call, "too late")) == 200


CLOSE = Scenario(
    "close while calls and a child are open",
    Script()
    .when_result("spawn_thread", "You are now in the child thread")
    .call("b", n=2)
    .when("begin")
    .call("a", n=1)
    .call("spawn_thread", instructions="wait"),
    _close,
    _CALLS,
)


async def _parent(host: Clients, root: Watch) -> None:
    await host.say(ROOT, "begin")
    child = host.watch((await root.noted("child")).data["id"])
    await child.said("ready")
    await host.say(ROOT, "tell it")
    await root.said("all done")
    await child.noted("status", status="closed")
    await host.tools.until(lambda: _noticed(host, "/close_thread"), "notice that the child has closed")


def _tell_the_child(prompt: PromptView) -> Reply:
    child = re.findall(r"thread_[0-9a-f]{30}", str(prompt.messages))[0]
    return Reply().call("send_message_to_child", thread_id=child, message="go")


PARENT = Scenario(
    "a message to a child",
    Script()
    .when_event("spawn_thread", "Message from the parent")
    .call("close_thread", report="heard")
    .when_result("spawn_thread", "You are now in the child thread")
    .say("ready")
    .call("sleep_until_event_or_input")
    .when("begin")
    .call("spawn_thread", instructions="wait for word")
    .when_result("spawn_thread")
    .say("started")
    .when("tell it")
    .answer(_tell_the_child)
    .when_result("send_message_to_child")
    .say("told")
    .when_event("spawn_thread", "heard")
    .say("all done"),
    _parent,
    _NOTICES,
)


class _Overloaded:
    """A model that has no time for the first few requests, anyone who asks."""

    def __init__(self) -> None:
        self._left = 3

    def __call__(self, request: dict[str, Any]) -> Reply:
        self._left -= 1
        return Reply().fail(529, retry_after=0.1) if self._left >= 0 else Reply().say("all done")


OVERLOADED = Scenario("an overloaded model", _Overloaded, _sleep, _TIMERS)


async def _compaction(host: Clients, root: Watch) -> None:
    for number in range(7):
        await host.say(ROOT, f"word {number}")
        await root.said(f"heard {number}")
    await host.request("POST", f"/v1/threads/{ROOT}/compact", key="compact-1")
    await root.noted("compaction", state="applied")
    await host.settled()
    await host.say(ROOT, "begin")
    await root.said("all done")
    read = str(host.model.bodies[-1]["messages"])
    assert "what it came to" in read
    assert "word 0" not in read


COMPACTION = Scenario(
    "compaction",
    Script()
    .when("Summarise the conversation")
    .say("what it came to")
    .when("word")
    .say(lambda prompt: f"heard {prompt.text[-1]}")
    .when("begin")
    .say("all done"),
    _compaction,
    _SLICES,
)

SCENARIOS = (
    ONE_CALL,
    THREE_CALLS,
    CHILD,
    SUBSCRIPTION,
    EARLY,
    TALK,
    SLEEP,
    INTERRUPT,
    CHOICE,
    UNANSWERED,
    NO_SIGN_IN,
    CONSENT,
    STOP,
    CLOSE,
    PARENT,
    OVERLOADED,
    COMPACTION,
)


def _invoked(host: Clients, tool: str) -> bool:
    return any(invocation.operation == tool for invocation in host.tools.invocations)


def _noticed(host: Clients, path: str) -> bool:
    return _told(host, path) > 0


def _told(host: Clients, path: str) -> int:
    """How many threads or calls a notice named; the same notice may come again after a crash."""
    return len({tuple(sorted(body.items())) for at, body in host.tools.notices if at == path})
