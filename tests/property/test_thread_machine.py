"""Random interleavings of everything that can happen to threads; after every step the invariants hold.

Real journal, mailboxes and engine; a model that does anything, and refuses what the real API would refuse (I4). Tool servers are played by the
machine, which hands in what they would call back. ``INFINITY_SEEDS``: how many runs.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from tests.patience import PATIENCE
from tests.property.played import TROUBLES, AnyModel, Json, PlayedWorld

from infinity.errors import AlreadyAnswered, BadRequest
from infinity.message import Action
from infinity.testing.simulator.account import Account


class ThreadMachine(RuleBasedStateMachine):
    threads = Bundle("threads")

    @initialize(target=threads, seed=st.integers(0, 2**32), count=st.integers(1, 2))
    def begin(self, seed: int, count: int) -> Any:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.run(self._open(seed))
        made = self.made = [self.run(self.world.runtime.create()) for _ in range(count)]
        for thread in made:
            self._take(thread, self.run(self.world.runtime.send(thread, "begin", key="begin")))
        self._maybe_settle(True)
        return multiple(*made)

    async def _open(self, seed: int) -> None:
        self.world = PlayedWorld(Path(self.folder.name) / "infinity.db")
        self.calls = self.world.calls
        self.subscribed: list[tuple[str, str]] = []
        """Calls whose result said so, whether it was in time or not."""
        self.world.model = AnyModel(seed, self.world)
        self.account = Account(self.world)
        await self.world.start()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def _take(self, thread: str, accepted: Any) -> None:
        if accepted.message is not None:
            self.account.accepted(thread, accepted.message.id)

    # what can happen

    @rule(thread=threads, key=st.integers(0, 5), settle=st.booleans())
    def user_speaks(self, thread: str, key: int, settle: bool) -> None:
        """Few keys, so that many are sent again."""
        self._take(thread, self.run(self.world.runtime.send(thread, f"text {key}", key=f"k{key}")))
        self._maybe_settle(settle)

    @rule(thread=threads, keys=st.lists(st.integers(0, 5), min_size=2, max_size=4), settle=st.booleans())
    def user_speaks_in_a_burst(self, thread: str, keys: list[int], settle: bool) -> None:
        """At once, so that one slice gets several."""

        async def burst() -> list[Any]:
            sends = [self.world.runtime.send(thread, f"text {key}", key=f"k{key}") for key in keys]
            return list(await asyncio.gather(*sends))

        for accepted in self.run(burst()):
            self._take(thread, accepted)
        self._maybe_settle(settle)

    @rule(pick=st.integers(0, 1000), subscription=st.booleans(), settle=st.booleans())
    def result(self, pick: int, subscription: bool, settle: bool) -> None:
        """Early, late, duplicated, reordered: any call that was ever sent."""
        if not self.calls:
            return
        thread, call_id = self.calls[pick % len(self.calls)]
        body = {
            "type": "tool_result",
            "group_id": thread,
            "id": call_id,
            "text": f"result of {call_id}",
            "subscription": subscription,
        }
        self._call_back(thread, call_id, body)
        if subscription:
            self.subscribed.append((thread, call_id))
        self._maybe_settle(settle)

    @rule(
        pick=st.integers(0, 1000),
        associative=st.booleans(),
        final=st.booleans(),
        event=st.integers(0, 8),
        settle=st.booleans(),
    )
    def event(self, pick: int, associative: bool, final: bool, event: int, settle: bool) -> None:
        """Mostly of what is subscribed; without that, of any call."""
        sources = self.subscribed if self.subscribed and pick % 5 else self.calls
        if not sources:
            return
        thread, call_id = sources[pick % len(sources)]
        body = {
            "type": "subscription_event",
            "group_id": thread,
            "tool_call_id": call_id,
            "text": f"event {event}",
            "associative": associative,
            "final": final,
            "event_id": f"e{event}",
        }
        self._call_back(thread, call_id, body)
        self._maybe_settle(settle)

    @rule(pick=st.integers(0, 1000), event=st.integers(0, 8), settle=st.booleans())
    def an_event_before_its_confirmation(self, pick: int, event: int, settle: bool) -> None:
        waiting = self._open_calls()
        if waiting:
            thread, call_id = waiting[pick % len(waiting)]
            body = {
                "type": "subscription_event",
                "group_id": thread,
                "tool_call_id": call_id,
                "text": f"event {event}",
                "event_id": f"e{event}",
            }
            self._call_back(thread, call_id, body)
            self._maybe_settle(settle)

    @rule(
        pick=st.integers(0, 1000),
        kind=st.sampled_from(["choice", "choice", "oauth"]),
        late=st.booleans(),
        settle=st.booleans(),
    )
    def a_tool_asks(self, pick: int, kind: str, late: bool, settle: bool) -> None:
        """Of an open call; or of any that ever left."""
        calls = self.calls if late else self._open_calls()
        if not calls:
            return
        thread, call_id = calls[pick % len(calls)]
        body: Json = {
            "type": "oauth",
            "group_id": thread,
            "id": call_id,
            "auth_url": "https://login.example/",
        }
        if kind == "choice":
            body = {
                "type": "user_choice",
                "group_id": thread,
                "id": call_id,
                "prompt": f"Which, {pick}?",
                "choices": ["x", "y"],
                "default": pick % 2,
                "response_url": "http://127.0.0.1:1/choice",
            }
        self._call_back(thread, call_id, body)
        self._maybe_settle(settle)

    @rule(pick=st.integers(0, 1000), selected=st.sampled_from([0, 1, None]), settle=st.booleans())
    def the_user_answers(self, pick: int, selected: int | None, settle: bool) -> None:
        self._answer(pick, selected)
        self._maybe_settle(settle)

    @rule(pick=st.integers(0, 1000), settle=st.booleans())
    def the_user_answers_twice(self, pick: int, settle: bool) -> None:
        """At once, or after the first answer was taken: it never leaves twice (``played.py``)."""
        self._answer(pick, 0)
        self._maybe_settle(settle)
        self._answer(pick, 1)
        self._maybe_settle(settle)

    def _answer(self, pick: int, selected: int | None) -> None:
        asked = [row for row in self.run(self.world.store.prompts()) if row.kind == "choice"]
        if asked:
            row = asked[pick % len(asked)]
            try:
                self.run(self.world.runtime.choose(row.thread, row.id, selected))
            except AlreadyAnswered:
                pass
            except BadRequest as error:
                if "no prompt" not in str(error):  # It was closed since it was read.
                    raise

    def _open_calls(self) -> list[tuple[str, str]]:
        rows = self.run(self.world.store.threads(limit=1000))
        still = {call.id for row in rows for call, _ in self.run(self.world.store.calls(row.id))}
        return [(thread, call_id) for thread, call_id in self.calls if call_id in still]

    @rule(trouble=st.sampled_from(sorted(TROUBLES)), times=st.integers(1, 9))
    def the_model_fails(self, trouble: str, times: int) -> None:
        """Anyone who asks next, in this way."""
        self.world.model.troubles.extend([trouble] * times)

    @rule(times=st.integers(1, 3))
    def the_disk_is_full_for_a_while(self, times: int) -> None:
        """Commits fail, and records of attempts: turns are kept, and nothing is bought meanwhile (I12)."""
        self.world.unsteady.full = times

    @rule(
        thread=threads,
        action=st.sampled_from([Action.INTERRUPT, Action.STOP, Action.RESUME, Action.COMPACT]),
        settle=st.booleans(),
    )
    def control(self, thread: str, action: Action, settle: bool) -> None:
        if action is Action.RESUME:
            self.world.purchases.resumed(thread)
        self._take(thread, self.run(self.world.runtime.control(thread, action)))
        self._maybe_settle(settle)

    @rule(seconds=st.sampled_from([1, 61, 4000, 700_000]))
    def time_passes(self, seconds: int) -> None:
        """Until the next tries of a model; the deadlines of calls; the limits of questions."""
        self.run(self.advance(seconds))
        self._maybe_settle(True)

    @rule()
    def restart(self) -> None:
        self.run(self.world.restart())

    @rule()
    def crash(self) -> None:
        self.run(self.world.crash())

    @rule(times=st.integers(1, 3))
    def loads_fail_for_a_while(self, times: int) -> None:
        """I8: what cannot be read is an error that keeps the message; a restart has every thread read again."""
        self.run(self.world.restart())
        self.world.unsteady.failures = times

    @rule(thread=threads, settle=st.booleans())
    def a_move_is_begun_and_taken_back(self, thread: str, settle: bool) -> None:
        self.run(self.world.runtime.retire(thread, "it is being moved"))
        self.run(self.world.runtime.unretire(thread))
        self._maybe_settle(settle)

    @rule(thread=threads, pick=st.integers(0, 1000), settle=st.booleans())
    def a_child_is_closed(self, thread: str, pick: int, settle: bool) -> None:
        children = [row.id for row in self.run(self.world.store.threads(parent=thread, limit=1000))]
        if children:
            self.run(self.world.runtime.control(children[pick % len(children)], Action.CLOSE))
        self._maybe_settle(settle)

    @rule(pick=st.integers(0, 1000), settle=st.booleans())
    def the_user_ends_a_subscription(self, pick: int, settle: bool) -> None:
        if self.calls:
            thread, call_id = self.calls[pick % len(self.calls)]
            self.run(self.world.runtime.control(thread, Action.UNSUBSCRIBE, call_id))
        self._maybe_settle(settle)

    async def advance(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    def _call_back(self, thread: str, call_id: str, body: Json) -> None:
        try:
            accepted = self.run(
                self.world.runtime.accept_callback(thread, call_id, msgspec.json.encode(body))
            )
        except BadRequest as error:
            raise AssertionError(f"a well-formed callback was refused: {error}") from error
        self._take(thread, accepted)

    def _maybe_settle(self, settle: bool) -> None:
        if settle:
            self.run(self._settle())
            self.run(self.account.nobody_waits_for_nothing())
        else:
            self.run(asyncio.sleep(0))

    async def _settle(self) -> None:
        """Until nothing runs, nothing is queued and nothing is being delivered. Waits of failed tries pass at once."""
        runtime = self.world.runtime
        async with asyncio.timeout(PATIENCE):
            while runtime.running or len(runtime.outbox) or await self._something_is_due():
                if self.world.clock.sleeping():
                    self.world.clock.advance(1)
                await asyncio.sleep(0.0002)

    async def until_a_turn_is_bought(self, *, or_rest: bool = False) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.world.purchases.bought:
                if or_rest and not self.world.runtime.running and not await self._something_is_due():
                    return
                await asyncio.sleep(0)

    async def _something_is_due(self) -> bool:
        timer = await self.world.store.next_timer()
        return bool(await self.world.store.inbox(0)) or (
            timer is not None and timer <= self.world.clock.now()
        )

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "account"):
            self.run(self.account.check())

    def teardown(self) -> None:
        if hasattr(self, "account"):
            self.run(self._settle())
            self.run(self.account.nobody_waits_for_nothing())
            self.everything_holds()
            self.run(self.world.close())
            self.loop.close()
            self.folder.cleanup()


ThreadMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("INFINITY_SEEDS", "25")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
test_threads_keep_their_invariants_in_any_order_of_events = ThreadMachine.TestCase
