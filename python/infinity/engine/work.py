"""The running slice: what the steps share, and what built-ins may touch (``abc.BuiltinContext``)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from infinity._core import Call, Delta, Message, Thread
from infinity.abc import Catalog, Model, ModelInfo, Offer, Origin, Problem, Usage
from infinity.engine import family, prompts, questions
from infinity.engine.memo import glance, inherit, recall, remember
from infinity.engine.optional import left_out
from infinity.engine.prompts import Sending
from infinity.engine.services import Services
from infinity.errors import LimitReached
from infinity.escaping import escape
from infinity.ids import Ids
from infinity.message import Action, Block, Control, Kind, Report, Timer, TimerPurpose, encode, text_blocks
from infinity.settings import Limits
from infinity.stamps import stamp

encode_json = msgspec.json.encode
decode_json = msgspec.json.decode

SLEEPER = "sleep_until_event_or_input"
DEADLINE_EXACT_MS = 1_000
"""A call that leaves this soon after its plan keeps the deadline of the plan."""


FULL_ROWS, FULL_BYTES = 1_000, 4 << 20
"""What a slice changes, about, when it leaves the rest to another one. Stores bound a transaction (Aurora DSQL: 3,000 rows, 10 MiB), and
one more step may change as much again."""


@dataclass(slots=True)
class Slice:
    """One slice of one thread. Everything it does to the world gathers in ``thread`` until the commit."""

    services: Services
    thread: Thread
    started_at: int
    catalog: Catalog | None = None
    model: ModelInfo | None = None
    """The model that answers in this slice, once it was resolved."""
    provider: Model | None = None
    """Its provider."""
    stand_in: str | None = None
    """The name of the model that is asked in place of the thread's own (``engine/stand_ins.py``)."""
    rounds: int = 0
    """Completions in a row; those of slices that this one goes on for count too."""
    turns: int = 0
    """That were completed in this slice."""
    bought: bool = False
    """A turn was bought that is not committed yet."""
    spent_tokens: int = 0
    spent_microdollars: int = 0
    """By the completions of this slice, which are not committed yet."""
    wasted: int = 0
    """Tokens that the last failed attempt used."""
    receives: int = 1
    """How often the host has received the messages: a crash counts as an attempt (I12)."""
    spoken: bool = False
    """Something entered history for the model to answer."""
    asked_by_a_person: bool = False
    """By text, by resuming, or by choosing another model."""
    woken: bool = False
    """By the timer of a cause outside the thread."""
    probing: bool = False
    """This slice tries whether that cause has passed: once."""
    delta: Delta | None = None
    """The change, once a commit of it was tried: a later try commits the very same."""
    signal: Action | None = None
    """``interrupt`` or ``stop`` was asked for while it runs."""
    out_of_time: bool = False
    """The host's time is nearly over, or the slice has done as much as one commit takes: no further completion."""
    cut: bool = False
    """A completion was ended because of that."""
    held_until: int | None = None
    """It waits because of ``limits.requests_per_minute``, until then (ms since the epoch)."""
    waiting: asyncio.Task[Any] | None = None
    """For the model; what an interrupt ends."""
    timings: dict[str, int] = field(default_factory=dict)
    sending: dict[str, Sending] = field(default_factory=dict)
    """How far calls have come whose deadline is in the batch."""
    released: set[str] = field(default_factory=set)
    """Calls that this slice lets go; until its commit nothing of them has left."""
    living_children: int = 0
    living_in_tree: int = 0
    """Below the root of the thread's tree."""
    counted: bool = False
    """Whether both have those of the store; else they have this slice's only."""
    spawned: set[str] = field(default_factory=set)
    came_at: int = 0
    """When the message that is being folded in was accepted, in ms since the epoch; 0: not on record."""
    last_words: str = ""
    """The text of the last turn of this slice."""
    closing: tuple[str | None] | None = None
    """Set by ``close_thread``: the last report."""
    left: list[Message] = field(default_factory=list)
    """Messages for which this commit has no room: another slice folds them in, and goes on from there."""

    @property
    def now(self) -> int:
        return self.services.clock.now()

    @property
    def ids(self) -> Ids:
        return self.services.ids

    @property
    def limits(self) -> Limits:
        return self.services.settings.limits

    @property
    def ready(self) -> bool:
        """The model has something to answer, and may."""
        ended = self.signal is not None or self.out_of_time or self.left
        if ended or not self.thread.pending or self.thread.status in ("stopped", "closed"):
            return False
        memo = glance(self.thread)
        if memo.ending is not None and memo.ending.closing:
            return False
        # What is no input asks no model that said wait, and none whose context is being compacted (R8).
        return memo.retry is None and (not memo.blocked or self.spoken or self.asked_by_a_person)

    @property
    def asks(self) -> str:
        """The name of the model that is asked."""
        return self.stand_in or self.thread.model

    @property
    def full(self) -> bool:
        """It has changed about as much as one commit takes."""
        rows, size = self.thread.staged()
        return rows >= FULL_ROWS or size >= FULL_BYTES

    def wake_again(self) -> None:
        """Another slice follows this one's commit, whatever else comes."""
        id = f"on.{self.thread.id}.{self.thread.version + 1}"
        self.thread.send(self.thread.id, id, Kind.CONTROL, encode(Control(action=Action.START)))

    def interrupt(self, action: Action) -> None:
        """From outside, while the slice runs: end the stream now."""
        self.signal = action
        if self.waiting is not None:
            self.waiting.cancel()

    def expire(self) -> None:
        """From outside, while the slice runs: end the stream now; what it said is taken back and asked for again."""
        self.out_of_time = True
        if self.waiting is not None:
            self.waiting.cancel()

    def mark(self, step: str, since: int) -> None:
        self.timings[step] = self.timings.get(step, 0) + self.now - since

    def note(self, kind: str, /, **data: Any) -> None:
        """One row of the durable event stream."""
        self.thread.note(kind, encode_json({"at": self.now, **data}))

    def problem(self, code: str, text: str) -> None:
        """Something the user should know of; stays on the thread until the next completion that works (L18)."""
        self.thread.set_problem(str(Problem(code, text)))
        self.note("problem", code=code, text=text)

    def discard(self, message: Message, reason: str) -> None:
        """End a message that changes nothing, on the record (I2)."""
        self.thread.consume(message, reason)
        self.note("discard", id=message.id, kind=message.kind, reason=reason)

    def price(self, usage: Usage) -> tuple[int, int]:
        """Tokens, and what they cost in microdollars: prices are in dollars per million tokens, so in microdollars per token."""
        tokens = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        prices = self.model.price if self.model is not None else None
        return sum(tokens), round(
            sum(count * price for count, price in zip(tokens, prices or (0, 0, 0, 0), strict=True))
        )

    def spend(self, usage: Usage) -> int:
        """What a completion cost, in microdollars; it counts against the budgets until the commit takes it over."""
        tokens, cost = self.price(usage)
        self.spent_tokens += tokens
        self.spent_microdollars += cost
        return cost

    def live(self, kind: str, data: dict[str, Any]) -> None:
        """Show something to whoever watches; nobody's watching fails a slice."""
        thread = self.thread.id
        try:
            self.services.observer.live(thread, kind, data)
        except Exception as error:  # noqa: BLE001 any failure, of whatever class, ends here
            left_out("a live event", thread, error)

    def stamped(self, content: list[Block]) -> list[Block]:
        """With the time at which it came in a block of its own (M6)."""
        zone = self.services.settings.timezone
        return [stamp(self.came_at or self.now, zone), *content] if zone else content

    # calls

    def answer(
        self,
        call: Call,
        content: list[Block],
        *,
        state: str = "answered",
        subscription: bool = False,
        error: bool = False,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """End an open call with a result: in its turn, or as an event if the turn went on without it (L4)."""
        if call.detached:
            self.detach_all()
            self.thread.set_actor(call.user_id)
        content = content or text_blocks("")
        self.thread.answer(
            call.id,
            encode_json(self.stamped(content) if call.detached else content),
            now=self.now,
            event_id=self.ids.mint("event"),
            state=state,
            subscription=subscription,
            error=error,
            meta=encode_json({"call_id": call.id, "tool": call.tool, **(meta or {})}),
        )
        self.forget_reminders(call)
        self.note("call_ended", id=call.id, state=state)
        if subscription:
            self.note("subscription", id=call.id, active=True)

    def fail(self, call: Call, text: str) -> None:
        self.answer(call, text_blocks(text), state="failed", error=True)

    def forget_reminders(self, call: Call) -> None:
        """What is known here of an ended call; the core takes back what it knows by itself (I13)."""
        self.thread.cancel_timer(f"deadline.{call.id}")
        self.thread.cancel_timer(f"sleep.{call.id}")
        for asked in questions.forget(self.thread, call):
            self.note("prompt_closed", id=f"{asked}.{call.id}", selected=None)
        for kind in ("choice", "oauth", "consent"):
            self.thread.close_prompt(f"{kind}.{call.id}")

    def forget_subscription(self, call_id: str) -> None:
        """What is known here of a subscription that ends."""
        seen = glance(self.thread)
        if call_id in seen.sequences or call_id in seen.refused:
            memo = recall(self.thread)
            memo.sequences.pop(call_id, None)
            memo.refused.pop(call_id, None)
            remember(self.thread, memo)

    def cancel(self, call: Call, text: str) -> None:
        """Cancel an open call: if it has not left, it never will; if it has, its server is told (CAN-1)."""
        left = self.has_left(call)
        if call.detached:
            self.thread.cancel_detached(call.id)
            self.forget_reminders(call)
            self.note("call_ended", id=call.id, state="cancelled")
        else:
            self.answer(call, text_blocks(text), state="cancelled")
        if call.toolset and left:
            self.notify_cancelled(call.id)

    def has_left(self, call: Call) -> bool:
        """Whether its server may have heard of it: not while the user is asked, and not before the commit that lets it go."""
        asked = glance(self.thread).prompts.get(call.id)
        return asked != "consent" and call.id not in self.released

    def notify_cancelled(self, call_id: str) -> None:
        self.forget_subscription(call_id)
        self.thread.plan_outbox(f"cancel.{call_id}", "cancel", "", b"{}", call_id)

    def detach_all(self) -> None:
        """Make room for something else: attached calls get a placeholder and go on (L4); sleepers are woken."""
        attached = self.thread.attached()
        waiting = glance(self.thread).prompts if attached else {}
        for call in attached:
            if call.tool == SLEEPER:
                self.answer(call, text_blocks(prompts.SLEEP_INTERRUPTED))
            else:
                text = prompts.still_running(call.tool, waiting.get(call.id))
                self.thread.detach(call.id, encode_json(text_blocks(text)), now=self.now)

    def open_prompt(self, kind: str, call: Call, prompt: dict[str, Any]) -> None:
        """A question to the user, pending until it is answered or the call ends (OAU-1, CHO-1)."""
        id = f"{kind}.{call.id}"
        prompt = {"call_id": call.id, "tool": call.tool, "asked_at": self.now, **_spelled_out(prompt)}
        self.thread.open_prompt(id, kind, encode_json(prompt))
        if kind == "consent":
            memo = recall(self.thread)
            memo.prompts[call.id] = kind
            remember(self.thread, memo)
        else:
            questions.ask(self, kind, call, prompt)
        # The stream is kept for good, so the addresses stay out of it (OAU-1); clients read the prompt itself.
        shown = {key: value for key, value in prompt.items() if not key.endswith("_url")}
        self.note("prompt", id=id, prompt_kind=kind, **shown)

    def wake_sleepers(self, text: str) -> None:
        for call in self.thread.attached():
            if call.tool == SLEEPER:
                self.answer(call, text_blocks(text))

    def release(self, call: Call) -> None:
        """A remote call may leave: its invocation is recorded and goes out after the commit (I5, INV-8)."""
        offer = self.offer(call.tool)
        if offer is None:
            self.fail(call, prompts.unknown_tool(call.tool, self.catalog.names() if self.catalog else []))
            return
        self.released.add(call.id)
        body = self.services.wire.invocation(self.thread, call, offer.operation)
        self.thread.plan_outbox(f"invoke.{call.id}", "invoke", offer.endpoint, body, call.id)
        if call.deadline is not None:
            reminder = Timer(purpose=TimerPurpose.DEADLINE, call_id=call.id)
            # From now on, not from the plan: the user may have taken days to allow the call. Mostly no time has passed, and nothing is to be remembered.
            due_at = self.now + int(self.services.settings.timeouts.call * 1000)
            if due_at - call.deadline < DEADLINE_EXACT_MS:
                due_at = call.deadline
            else:
                memo = recall(self.thread)
                memo.deadlines[call.id] = due_at
                remember(self.thread, memo)
            self.thread.set_timer(f"deadline.{call.id}", due_at, Kind.TIMER, encode(reminder))

    def offer(self, tool: str) -> Offer | None:
        return self.catalog.find(tool) if self.catalog is not None else None

    # threads

    def child_id(self, cause: str) -> str:
        """Derived from what causes the child, so that a repeat cannot make a second one (R6)."""
        digest = hashlib.sha256(f"{self.thread.id}\0{cause}".encode()).hexdigest()
        return f"thread_{digest[:30]}"

    def fork(self, child: str, origin: Origin, **how: Any) -> Thread:
        """A child thread, started with this commit (L13)."""
        placeholder = text_blocks(prompts.inherited_call(self.thread.id))
        made = self.thread.fork(
            child, now=self.now, origin=encode_json(origin), placeholder=encode_json(placeholder), **how
        )
        inherit(self.thread, made)
        self.spawned.add(child)
        self.thread.send(child, f"start.{child}", Kind.CONTROL, encode(Control(action=Action.START)))
        return made

    def fork_for(self, child: str, call: Call, **how: Any) -> Thread:
        """A child that reports as an event of this call; raises ``LimitReached``."""
        depth, children, limits = len(self.thread.ancestors) + 1, self.living_children, self.limits
        if depth > self.limits.depth:
            raise LimitReached(f"threads may be nested {self.limits.depth} deep (limits.depth)")
        if children >= self.limits.children:
            raise LimitReached(
                f"a thread may have {self.limits.children} children that are not closed (limits.children)"
            )
        if self.living_in_tree >= limits.tree_threads:
            raise LimitReached(
                f"a conversation may have {limits.tree_threads} threads below its root that are not closed (limits.tree_threads)"
            )
        origin = Origin(call.tool, call.id, decode_json(call.arguments))
        made = self.fork(child, origin, **how)
        self.living_children += 1
        self.living_in_tree += 1
        self.note("child", id=child, call_id=call.id)
        return made

    async def count_children(self) -> None:
        """Those that live, by a query: a number that only grows would count the closed ones, too (G8)."""
        if not self.counted:
            store = self.services.store
            children, tree = await asyncio.gather(
                store.open_children(self.thread.id), store.living(self.thread.root)
            )
            self.living_children += children
            self.living_in_tree += tree
            self.counted = True

    async def spawn(self, call: Call, instructions: str) -> str:
        await self.count_children()
        child = self.child_id(call.id)
        seed = text_blocks(prompts.spawned_seed(child, self.thread.id, instructions))
        family.assign(self.fork_for(child, call, seed_call=call.id, seed=encode_json(seed)))
        self.expect_report(child)
        return child

    def expect_report(self, child: str) -> None:
        family.await_report(self.thread, child)

    async def is_open_child(self, thread: str) -> bool:
        if thread in self.spawned:
            return True
        row = await self.services.store.thread(thread)
        return row is not None and row.parent == self.thread.id and row.status != "closed"

    def close(self, report: str | None) -> None:
        self.closing = (report,)

    def finish_closing(self, report: str | None) -> None:
        """The thread ends with this commit, its report in the same one (L12). Its calls and subscriptions have ended."""
        if self.thread.parent is not None and (report or Origin.of(self.thread).spawned):
            self.report(report or "(closed without a report)", key=f"closed.{self.thread.id}", closed=True)
        if (retry := glance(self.thread).retry) is not None:
            self.thread.cancel_timer(retry)
        self.thread.close()
        self.thread.plan_outbox(f"close.{self.thread.id}", "close", "", b"{}")
        self.note("status", status="closed")

    def report(self, text: str, *, key: str, closed: bool = False, by_runtime: bool = False) -> None:
        """To the parent, as an event of the call that made this thread. ``by_runtime``: in the child's place (THR-5)."""
        assert self.thread.parent is not None
        origin = Origin.of(self.thread)
        body = Report(
            child=self.thread.id,
            call_id=origin.call_id,
            tool=origin.tool,
            arguments=origin.arguments,
            text=text,
            user_id=self.thread.actor,
            closed=closed,
            by_runtime=by_runtime,
        )
        self.thread.send(self.thread.parent, key, Kind.REPORT, encode(body))
        if not by_runtime:
            family.settled(self.thread)


def _spelled_out(prompt: dict[str, Any]) -> dict[str, Any]:
    """A question with what cannot be seen in its words escaped, for every client that shows it (S12)."""
    if "prompt" not in prompt:
        return prompt
    asked = "\n".join(map(escape, prompt["prompt"].split("\n")))
    return {**prompt, "prompt": asked, "choices": [escape(choice) for choice in prompt["choices"]]}
