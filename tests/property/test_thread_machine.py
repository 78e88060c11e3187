"""Random interleavings of everything that can happen to threads; after every step the invariants hold.

Real journal, mailboxes and engine; a model that does anything, and refuses what the real API would refuse (I4). Tool servers are played by the
machine, which hands in what they would call back.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from tests.slice.world import Replies, Reply, World, call, say, texts

from infinity.abc import Turn, Usage
from infinity.errors import BadRequest, ModelUnavailable, Overloaded
from infinity.message import Action
from infinity.tools.catalog import Definitions, ToolDefinition

Json = dict[str, Any]


class AnyModel(Replies):
    """Does anything a model may do, as the seed has it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _reply(self, body: Json) -> Reply:
        last = texts(body["messages"][-1])
        if "Summarise the conversation" in last:
            return self._random.choice([say("a summary"), say("a summary"), Turn([])])
        names = [tool["name"] for tool in body["tools"]]
        choice = self._random.random()
        if choice < 0.45:
            return say(f"reply {len(self.requests)}")
        if choice < 0.75:
            wanted = self._random.choices(
                ("slow", "slow", "watch", "nothing_like_it"), k=self._random.randint(1, 3)
            )
            return call(*((name, {}) for name in wanted), text=self._random.choice(("", "calling")))
        if choice < 0.80:
            return call(
                ("spawn_thread", {"instructions": "do a part"}), *[("slow", {})] * self._random.randint(0, 1)
            )
        if choice < 0.84:
            return call(("report_to_parent", {"report": "a report"}))
        if choice < 0.87:
            return call(("sleep", {"seconds": self._random.choice((0, 60))}))
        if choice < 0.90:
            return call(("sleep_until_event_or_input", {}))
        if choice < 0.92 and "thread_ancestors" not in names:
            return (
                call(("close_thread", {})) if "child thread" in str(body["messages"]) else say("not closing")
            )
        if choice < 0.95:
            return Turn([])
        return self._random.choice(
            [Overloaded("busy"), ModelUnavailable("gone"), Turn([], usage=Usage(10, 0))]
        )


class SlowTools:
    """Two tools whose server never calls back by itself."""

    async def definitions(self) -> Definitions:
        made = [
            ToolDefinition(
                name, "A tool.", {"type": "object"}, {}, None, "played", "http://127.0.0.1:1/invoke"
            )
            for name in ("slow", "watch")
        ]
        return Definitions(made, [])


class Taking:
    """``abc.Transport``: takes every invocation and remembers it."""

    def __init__(self, calls: list[tuple[str, str]]) -> None:
        self.calls = calls

    async def post(self, url: str, body: bytes, *, key: str) -> Any:
        from infinity.abc import Delivery, Verdict

        sent = msgspec.json.decode(body)
        if "operation" in sent and (sent["group_id"], sent["id"]) not in self.calls:
            self.calls.append((sent["group_id"], sent["id"]))
        return Delivery(Verdict.DELIVERED)

    async def notify(self, base_urls: Any, path: str, body: bytes) -> Json:
        return {}

    async def close(self) -> None:
        return


class ThreadMachine(RuleBasedStateMachine):
    threads = Bundle("threads")

    @initialize(target=threads, seed=st.integers(0, 2**32), count=st.integers(1, 2))
    def begin(self, seed: int, count: int) -> Any:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.calls: list[tuple[str, str]] = []
        self.accepted: dict[str, set[str]] = {}
        self.entries: dict[str, list[tuple[int, bytes]]] = {}
        self.run(self._open(seed))
        made = [self.run(self.world.runtime.create()) for _ in range(count)]
        return multiple(*made)

    async def _open(self, seed: int) -> None:
        self.world = _MachineWorld(Path(self.folder.name) / "infinity.db", self.calls)
        self.world.model = AnyModel(seed)
        await self.world.start()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def _take(self, thread: str, accepted: Any) -> None:
        if accepted.message is not None:
            self.accepted.setdefault(thread, set()).add(accepted.message.id)

    # what can happen

    @rule(thread=threads, key=st.integers(0, 5), settle=st.booleans())
    def user_speaks(self, thread: str, key: int, settle: bool) -> None:
        """Few keys, so that many are sent again."""
        self._take(thread, self.run(self.world.runtime.send(thread, f"text {key}", key=f"k{key}")))
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
        self._maybe_settle(settle)

    @rule(
        pick=st.integers(0, 1000),
        associative=st.booleans(),
        final=st.booleans(),
        event=st.integers(0, 8),
        settle=st.booleans(),
    )
    def event(self, pick: int, associative: bool, final: bool, event: int, settle: bool) -> None:
        if not self.calls:
            return
        thread, call_id = self.calls[pick % len(self.calls)]
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

    @rule(pick=st.integers(0, 1000), settle=st.booleans())
    def choice(self, pick: int, settle: bool) -> None:
        if not self.calls:
            return
        thread, call_id = self.calls[pick % len(self.calls)]
        body = {
            "type": "oauth",
            "group_id": thread,
            "id": call_id,
            "auth_url": "https://login.example/",
        }
        self._call_back(thread, call_id, body)
        self._maybe_settle(settle)

    @rule(
        thread=threads,
        action=st.sampled_from([Action.INTERRUPT, Action.STOP, Action.RESUME, Action.COMPACT]),
        settle=st.booleans(),
    )
    def control(self, thread: str, action: Action, settle: bool) -> None:
        self._take(thread, self.run(self.world.runtime.control(thread, action)))
        self._maybe_settle(settle)

    @rule(seconds=st.sampled_from([1, 61, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.run(self._advance(seconds))
        self._maybe_settle(True)

    @rule()
    def restart(self) -> None:
        self.run(self.world.restart())

    async def _advance(self, seconds: int) -> None:
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
        else:
            self.run(asyncio.sleep(0))

    async def _settle(self) -> None:
        """Until nothing runs, nothing is queued and nothing is being delivered. Waits of failed tries pass at once."""
        runtime = self.world.runtime
        async with asyncio.timeout(30):
            while runtime.running or len(runtime.outbox) or await self.world.store.inbox(0):
                if self.world.clock.sleeping():
                    self.world.clock.advance(1)
                await asyncio.sleep(0.0002)

    # what must hold

    @invariant()
    def no_slice_fails(self) -> None:
        """I4: the model refuses invalid requests by an assertion, which would be here."""
        if hasattr(self, "world"):
            assert self.world.runtime.loop.failing == {}

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """I2, I3: every accepted message is in history, discarded on record, or queued; and never twice."""
        if hasattr(self, "world"):
            self.run(self._account())

    async def _account(self) -> None:
        queued = {(message.thread, message.id) for message in await self.world.store.inbox(0)}
        for thread, ids in self.accepted.items():
            entries = await self.world.store.entries(thread, limit=100_000)
            self._unchanged(thread, entries)
            history = [msgspec.json.decode(_json(record)) for _, record in entries]
            told = [entry["meta"].get("message_id") for entry in history]
            discarded = {id for id, _, _ in await self.world.store.discards(thread)}
            for id in ids:
                assert told.count(id) <= 1, f"{id} is in history twice"
            calls = {call_id for _, call_id in self.calls}
            for id in ids & calls:
                assert (
                    sum("result of" in str(entry["user"]) and id in str(entry["user"]) for entry in history)
                    <= 1
                )
            texts_in = {id for id in ids if id.startswith("message.")}
            for id in texts_in:
                assert id in told or id in discarded or (thread, id) in queued, f"{id} is lost"

    def _unchanged(self, thread: str, entries: list[tuple[int, bytes]]) -> None:
        """I10: entries are appended, never rewritten."""
        before = self.entries.get(thread, [])
        assert entries[: len(before)] == before
        self.entries[thread] = entries

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self._settle())
            self.run(self._nobody_waits_for_nothing())
            self.no_slice_fails()
            self.nothing_is_lost_or_doubled()
            self.run(self.world.close())
            self.loop.close()
            self.folder.cleanup()

    async def _nobody_waits_for_nothing(self) -> None:
        """I7: at rest, every thread that is not closed has a reason to wake, or is idle."""
        for row in await self.world.store.threads(limit=1000):
            explanation = await self.world.runtime.explain(row.id)
            if explanation.state == "waiting":
                assert explanation.reasons, f"{row.id} waits for nothing"
            header = msgspec.json.decode(_header(row.header))
            if header["pending"] and row.status not in ("stopped", "closed"):
                reasons = {reason.kind for reason in explanation.reasons}
                compacting = b"blocked" in msgspec.json.encode(header["memo"])
                assert reasons & {"timer", "call"} or compacting, (
                    f"{row.id} should speak and nothing wakes it"
                )


class _MachineWorld(World):
    """Tools are played, so nothing leaves the process."""

    def __init__(self, path: Path, calls: list[tuple[str, str]]) -> None:
        super().__init__(path)
        self._calls = calls

    async def _open(self) -> None:
        await super()._open()
        runtime = self.runtime
        runtime._transport._http = Taking(self._calls)
        runtime.catalogs._sources = [SlowTools()]


def _json(record: bytes) -> bytes:
    from infinity._core import entry_json

    return entry_json(record)


def _header(record: bytes) -> bytes:
    from infinity._core import header_json

    return header_json(record)


ThreadMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
test_threads_keep_their_invariants_in_any_order_of_events = ThreadMachine.TestCase
