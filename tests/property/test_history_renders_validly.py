"""Whatever happens to a thread, its history renders to a request that the Messages API accepts (I4).

Two judges that know nothing of the core: the official SDK's types, and the pairing rules of the API's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pydantic import TypeAdapter

from infinity._core import CoreError, Snapshot, Thread, live_ranges

NOW = 1_700_000_000_000
encode = msgspec.json.encode

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
TEXTS = st.text(min_size=0, max_size=12)
BLOCKS = st.lists(
    st.one_of(TEXTS.map(lambda words: {"type": "text", "text": words}), st.just(IMAGE)), max_size=3
)
REASONING = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "eHh4"},
    ]
)
SPOKEN = st.lists(st.one_of(TEXTS.map(lambda words: {"type": "text", "text": words}), REASONING), max_size=3)


def judge(messages: list[dict[str, Any]]) -> None:
    ids: set[str] = set()
    waiting: list[str] = []
    for index, message in enumerate(messages):
        assert message["role"] == ("user", "assistant")[index % 2], "roles alternate, the user speaks first"
        blocks = message["content"]
        assert blocks
        if message["role"] == "user":
            results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            assert [block["type"] for block in blocks[: len(results)]] == ["tool_result"] * len(results)
            assert sorted(results) == sorted(waiting), "every call has its one result in the next message"
            waiting = []
            blocks = blocks + [inner for block in blocks for inner in block.get("content", [])]
        else:
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            assert len(waiting) == len(set(waiting) - ids), "ids are unique"
            ids.update(waiting)
            assert "thinking" not in blocks[-1]["type"], "no message ends in reasoning"
        assert all(block["text"].strip() for block in blocks if block["type"] == "text"), "no empty text"
    assert not waiting


def refused(action: Callable[[], object]) -> bool:
    """Whether the core refused it as a break of a rule; anything else that goes wrong is a bug."""
    try:
        action()
    except CoreError as error:
        if error.args[0] != "rule":
            raise
        return True
    return False


class Store:
    """A store in memory, for the rows of deltas."""

    def __init__(self) -> None:
        self.headers: dict[str, bytes] = {}
        self.entries: dict[tuple[str, int], bytes] = {}
        self.calls: dict[str, dict[str, tuple[bool, bytes]]] = {}

    def commit(self, thread: Thread) -> None:
        delta = thread.delta(NOW)
        for row in (delta, *delta.children):
            self.headers[row.thread] = row.header
            self.entries.update({(row.thread, position): record for position, record in row.entries})
            calls = self.calls.setdefault(row.thread, {})
            for id, state, subscription, _, record in row.calls:
                calls[id] = (state == "planned" or subscription, record)
        thread.committed()

    def load(self, id: str) -> Thread:
        header = self.headers[id]
        entries = [
            (position, self.entries[owner, position])
            for owner, start, end in live_ranges(header)
            for position in range(start, end)
        ]
        calls = [record for live, record in self.calls[id].values() if live]
        return Thread.load(Snapshot(header, entries, calls, []))


class Conversations(RuleBasedStateMachine):
    """Clients, models, tools and compaction at work on a family of threads, not all of them well-behaved."""

    threads = Bundle("threads")

    def __init__(self) -> None:
        super().__init__()
        from anthropic.types import MessageParam

        self.shape = TypeAdapter(list[MessageParam])
        self.store = Store()
        self.live: dict[str, Thread] = {}
        self.minted = 0
        self.last_call = "never"

    def mint(self, prefix: str) -> str:
        self.minted += 1
        return f"{prefix}_{self.minted}"

    @initialize(target=threads, words=st.none() | TEXTS.filter(str.strip))
    def root(self, words: str | None) -> str:
        seed = None if words is None else encode([{"type": "text", "text": words}])
        self.live["root"] = Thread.create("root", now=NOW, model="m", seed=seed)
        return "root"

    @rule(id=threads, blocks=BLOCKS)
    def user_speaks(self, id: str, blocks: list[dict[str, Any]]) -> None:
        thread = self.live[id]
        speakable = bool(blocks) and all(block.get("text", "x").strip() for block in blocks)
        allowed = speakable and not thread.attached() and thread.status != "closed"
        assert refused(lambda: thread.add_user(encode(blocks), now=NOW)) != allowed
        assert not allowed or thread.pending

    @rule(id=threads, before=SPOKEN, after=SPOKEN, count=st.integers(0, 3))
    def model_answers(self, id: str, before: list[Any], after: list[Any], count: int) -> None:
        thread = self.live[id]
        pending = thread.pending
        ids = [self.mint("call") for _ in range(count)]
        self.last_call = [self.last_call, *ids][-1]
        calls = [
            thread.plan_call(
                id, provider_id="p", tool="t", toolset="s", arguments=b"{}", deadline=None, user_id=None
            )
            for id in ids
        ]
        uses = [{"type": "tool_use", "id": id, "name": "t", "input": {}} for id in ids]
        if refused(lambda: thread.add_turn(encode([*before, *uses, *after]), calls, now=NOW)):
            assert not pending, "anyone who is pending may have its turn"
            return
        assert [call.id for call in thread.attached()] == ids
        assert not thread.pending

    @rule(
        id=threads,
        which=st.integers(0, 3),
        blocks=BLOCKS,
        state=st.sampled_from(["answered", "answered", "failed", "cancelled"]),
        subscription=st.booleans(),
    )
    def tool_answers(self, id: str, which: int, blocks: list[Any], state: str, subscription: bool) -> None:
        thread = self.live[id]
        calls = thread.calls()
        call = calls[which % len(calls)].id if calls else "never"
        attached = call in [call.id for call in thread.attached()]
        how: dict[str, Any] = {"state": state, "subscription": subscription and state == "answered"}
        event_id = self.mint("event")
        if refused(lambda: thread.answer(call, encode(blocks), now=NOW, event_id=event_id, **how)):
            assert not attached, "a result of the last turn always fits"

    @rule(id=threads)
    def calls_are_detached(self, id: str) -> None:
        thread = self.live[id]
        for call in thread.attached():
            thread.detach(call.id, encode([{"type": "text", "text": "still running"}]), now=NOW)
        assert not thread.attached()

    @rule(id=threads, event=st.sampled_from(["github:42", "a call's", "same", "é", ""]), blocks=BLOCKS)
    def event_arrives(self, id: str, event: str, blocks: list[Any]) -> None:
        thread = self.live[id]
        event = self.last_call if event == "a call's" else event
        allowed = not thread.attached() and thread.live_entries() > 0
        about: dict[str, Any] = {"tool": "t", "call_id": "c", "arguments": b"{}", "blocks": encode(blocks)}
        assert refused(lambda: thread.add_event(event, now=NOW, **about)) != allowed

    @rule(target=threads, id=threads, seeded=st.booleans())
    def child_is_born(self, id: str, seeded: bool) -> Any:
        parent, child = self.live[id], self.mint("child")
        attached = parent.attached()
        seed = encode([{"type": "text", "text": "you are a child"}])
        made = parent.fork(
            child,
            now=NOW,
            origin=b"{}",
            placeholder=encode([{"type": "text", "text": "the parent waits"}]),
            seed_call=attached[0].id if seeded and attached else None,
            seed=seed,
        )
        assert made.pending == (seeded and bool(attached))
        rendered = made.render()
        if not attached and parent.live_entries():
            prefix = parent.render(breakpoints=0)[:-3]
            assert made.render(breakpoints=0).startswith(prefix), "the child shares its parent's prefix"
        self.store.commit(parent)
        self.live[child] = self.store.load(child)
        assert self.live[child].render() == rendered
        return multiple(child)

    @rule(id=threads, keep=st.integers(0, 6))
    def history_is_compacted(self, id: str, keep: int) -> None:
        thread = self.live[id]
        if (found := thread.summary_range(keep)) is None:
            return
        before = thread.live_entries()
        thread.add_summary(*found, encode([{"type": "text", "text": "so far"}]), now=NOW)
        assert keep < thread.live_entries() <= before + 1

    @rule(id=threads)
    def process_restarts(self, id: str) -> None:
        thread = self.live[id]
        self.store.commit(thread)
        loaded = self.store.load(id)
        assert (loaded.pending, loaded.status, loaded.position) == (
            thread.pending,
            thread.status,
            thread.position,
        )
        assert [call.id for call in loaded.calls()] == [call.id for call in thread.calls()]
        if not thread.attached() and thread.live_entries():
            assert loaded.render() == thread.render()
        self.live[id] = loaded

    @invariant()
    def every_history_renders_validly(self) -> None:
        for thread in self.live.values():
            if thread.attached() or not thread.live_entries():
                continue
            for images in (True, False):
                messages = msgspec.json.decode(thread.render(images=images))
                self.shape.validate_python(messages)
                judge(messages)


def test_whatever_happens_to_threads_their_histories_render_validly() -> None:
    run_state_machine_as_test(
        Conversations,
        settings=settings(
            max_examples=int(os.environ.get("INFINITY_SEEDS", "40")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
