"""The thread of the core, through its bindings: what Python relies on. The rules themselves are tested in rust/tests/state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.patience import PATIENCE

from infinity._core import (
    Call,
    CoreError,
    Delta,
    Message,
    Snapshot,
    Thread,
    entry_json,
    header_json,
    live_ranges,
)

NOW = 1_700_000_000_000
encode = msgspec.json.encode
decode = msgspec.json.decode


def text(words: str) -> bytes:
    return encode([{"type": "text", "text": words}])


def say(thread: Thread, words: str = "hello", **how: Any) -> int:
    return thread.add_user(text(words), now=NOW, **how)


def turn(thread: Thread, *ids: str, words: str = "well") -> int:
    calls = [
        thread.plan_call(
            id,
            provider_id="toolu_01",
            tool="look",
            toolset="eyes",
            arguments=b'{"at":"it"}',
            deadline=NOW + 1,
            user_id="ada",
        )
        for id in ids
    ]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": words}]
    blocks += [{"type": "tool_use", "id": id, "name": "look", "input": {"at": "it"}} for id in ids]
    return thread.add_turn(encode(blocks), calls, now=NOW, usage=(1, 2, 3, 4))


def answer(thread: Thread, id: str, words: str = "found", **how: Any) -> str:
    return thread.answer(id, text(words), now=NOW, event_id=f"late-{id}", **how)


def calling(*ids: str) -> Thread:
    thread = Thread.create("root", now=NOW, model="scripted/model")
    say(thread)
    turn(thread, *ids)
    return thread


def rows(delta: Delta) -> Snapshot:
    """What a store would give back after this first commit."""
    live = {position for _, start, end in live_ranges(delta.header) for position in range(start, end)}
    entries = [(position, record) for position, record in delta.entries if position in live]
    calls = [
        record for _, state, subscription, _, record in delta.calls if state == "planned" or subscription
    ]
    return Snapshot(delta.header, entries, calls, [id for _, id, _ in delta.consumed])


def code(action: Callable[[], object]) -> str:
    with pytest.raises(CoreError) as caught:
        action()
    code, words = caught.value.args
    assert isinstance(code, str)
    assert len(words) > 10
    return code


def test_a_new_thread_tells_what_it_is() -> None:
    thread = Thread.create(
        "root", now=NOW, model="scripted/model", title="a title", seed=text("you are root")
    )
    assert (thread.id, thread.root, thread.parent, thread.ancestors) == ("root", "root", None, [])
    assert (thread.version, thread.position, thread.live_entries()) == (0, 1, 1)
    assert (thread.model, thread.title, thread.created_at) == ("scripted/model", "a title", NOW)
    assert (thread.status, thread.pending, thread.problem, thread.actor) == ("idle", False, None, None)
    assert (thread.usage, thread.context_tokens, thread.children) == ((0, 0, 0, 0), 0, 0)
    assert (thread.origin, thread.memo) == (None, b"{}")
    assert repr(thread) == 'Thread(id="root", version=0, status="idle", position=1)'


def test_a_call_is_a_picture_of_its_row() -> None:
    thread = calling("call_1")
    (call,) = thread.calls()
    assert (call.id, call.thread, call.provider_id, call.tool) == ("call_1", "root", "toolu_01", "look")
    assert (call.toolset, call.arguments, call.state) == ("eyes", b'{"at":"it"}', "planned")
    assert (call.detached, call.subscription, call.deadline) == (False, False, NOW + 1)
    assert (call.user_id, call.position) == ("ada", 1)
    assert "it" not in repr(call).replace("subscription", ""), "arguments may hold what must not be logged"
    answer(thread, "call_1")
    assert call.state == "planned", "a picture does not change"
    changed = thread.call("call_1")
    assert changed is not None
    assert changed.state == "answered"
    assert thread.call("call_2") is None


def test_the_whole_life_of_a_call_in_one_request() -> None:
    thread = calling("call_1")
    assert (thread.status, thread.pending) == ("waiting", False)
    assert answer(thread, "call_1", error=True, state="failed") == "result"
    assert thread.pending
    assert decode(thread.render(breakpoints=1)) == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "well"},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "it"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": [{"type": "text", "text": "found"}],
                    "is_error": True,
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ]


@pytest.mark.trap("L4", "L7")
@pytest.mark.rap("RUN-4", "SUB-2")
def test_the_result_of_a_detached_call_arrives_as_an_event_even_after_compaction() -> None:
    thread = calling("call_1")
    thread.detach("call_1", text("still running"), now=NOW)
    say(thread, "meanwhile")
    turn(thread)
    found = thread.summary_range(0)
    assert found is not None
    thread.add_summary(*found, text("so far"), now=NOW)
    thread = Thread.load(rows(thread.delta(NOW)))
    assert [call.detached for call in thread.calls()] == [True]
    assert answer(thread, "call_1", "at last") == "event"
    summary, called, result = decode(thread.render(breakpoints=0))
    assert summary == {"role": "user", "content": [{"type": "text", "text": "so far"}]}
    assert called["content"] == [
        {
            "type": "tool_use",
            "id": "late-call_1",
            "name": "receive_event__injected",
            "input": {
                "original_tool_name": "look",
                "original_tool_call_id": "call_1",
                "original_args": {"at": "it"},
            },
        }
    ]
    assert result["content"][0]["content"] == [{"type": "text", "text": "at last"}]


@pytest.mark.trap("L9")
def test_call_ids_are_ours_and_never_used_twice() -> None:
    thread = calling("call_1")
    answer(thread, "call_1")
    assert code(lambda: turn(thread, "call_1")) == "rule"
    assert thread.pending, "a refused turn changes nothing"


@pytest.mark.parametrize(
    "breaking",
    [
        lambda thread: say(thread),
        lambda thread: turn(thread),
        lambda thread: thread.render(),
        lambda thread: thread.close(),
        lambda thread: thread.cancel_detached("call_1"),
        lambda thread: answer(thread, "call_2"),
        lambda thread: answer(thread, "call_1", state="planned"),
        lambda thread: answer(thread, "call_1", state="sent"),
        lambda thread: thread.note("entry", b"{}"),
        lambda thread: thread.note("x", b"not json"),
        lambda thread: thread.consume(Message("other", "m", "user", b"{}")),
        lambda thread: thread.fork("root", now=NOW, origin=b"{}", placeholder=text("x")),
        lambda thread: thread.set_memo(b"[]"),
    ],
)
def test_breaking_a_rule_raises_and_changes_nothing(breaking: Callable[[Thread], object]) -> None:
    thread = calling("call_1")
    before = thread.delta(NOW)
    assert code(lambda: breaking(thread)) == "rule"
    after = thread.delta(NOW + 1)
    assert (after.header, after.entries, after.updated_at) == (before.header, before.entries, NOW)


@pytest.mark.trap("G1", "L11")
def test_a_delta_is_one_commit_and_the_next_holds_only_what_is_new() -> None:
    thread = calling("call_1")
    thread.consume(Message("root", "m1", "user", b"{}", seq=7, accepted_at=NOW))
    thread.set_timer("t1", NOW + 5, "timer", b"{}")
    thread.cancel_timer("t2")
    thread.plan_outbox("invoke.call_1", "invoke", "http://tool", b"{}", "call_1")
    thread.cancel_outbox("invoke.call_0")
    thread.send("other", "m2", "report", b"[]")
    thread.open_prompt("p1", "choice", b"{}")
    thread.close_prompt("p2")
    thread.note("call", b'{"id":"call_1"}')
    delta = thread.delta(NOW)
    assert (delta.thread, delta.root, delta.parent) == ("root", "root", None)
    assert (delta.expected_version, delta.new_version) == (0, 1)
    assert (delta.status, delta.title, delta.created_at, delta.updated_at) == ("waiting", "", NOW, NOW)
    assert [position for position, _ in delta.entries] == [0, 1]
    assert [row[:4] for row in delta.calls] == [("call_1", "planned", False, "look")]
    assert Call.decode(delta.calls[0][4]).id == "call_1"
    assert delta.consumed == [(7, "m1", "applied")]
    assert delta.timers == [("t1", NOW + 5, "timer", b"{}")]
    assert delta.timers_cancelled == ["t2"]
    assert delta.outbox == [("invoke.call_1", "invoke", "http://tool", b"{}", "call_1")]
    assert delta.outbox_cancelled == ["invoke.call_0"]
    assert delta.sends == [("other", "m2", "report", b"[]")]
    assert delta.prompts == [("p1", "choice", b"{}")]
    assert delta.prompts_closed == ["p2"]
    assert delta.feed == [
        (0, "entry", b'{"position":0}'),
        (1, "entry", b'{"position":1}'),
        (2, "call", b'{"id":"call_1"}'),
    ]
    assert delta.size() > len(delta.header)
    thread.note("call", b"{}")
    assert code(thread.committed) == "rule", "it changed after its delta was taken"
    thread.delta(NOW)
    thread.committed()
    assert (thread.version, thread.changed()) == (1, False)
    answer(thread, "call_1")
    following = thread.delta(NOW)
    assert (following.expected_version, following.new_version) == (1, 2)
    assert [position for position, _ in following.entries] == [2]
    assert [row[:2] for row in following.calls] == [("call_1", "answered")]
    assert (following.consumed, following.timers, following.outbox, following.sends) == ([], [], [], [])


@pytest.mark.trap("L13", "G4")
def test_a_child_is_part_of_its_parents_commit() -> None:
    parent = calling("call_1", "call_2")
    child = parent.fork(
        "child",
        now=NOW,
        origin=b'{"why":"asked"}',
        placeholder=text("the parent waits for it"),
        seed_call="call_2",
        seed=text("you are the child"),
        model="scripted/other",
    )
    assert (child.parent, child.root, child.ancestors) == ("root", "root", ["root"])
    assert (child.origin, child.model, child.pending) == (b'{"why":"asked"}', "scripted/other", True)
    assert child.render(breakpoints=0).startswith(
        parent_prefix := b'[{"role":"user","content":[{"type":"text","text":"hello"}]}'
    )
    say(child, "and one more thing")
    answer(parent, "call_1")
    answer(parent, "call_2", "spawned")
    delta = parent.delta(NOW)
    (born,) = delta.children
    assert (born.thread, born.parent, born.expected_version, born.new_version) == ("child", "root", 0, 1)
    assert [position for position, _ in born.entries] == [2, 3, 4]
    assert live_ranges(born.header) == [("root", 0, 2), ("child", 2, 5)]
    assert code(lambda: child.delta(NOW)) == "rule"
    parent.committed()
    assert code(lambda: say(child)) == "rule"
    loaded = Thread.load(Snapshot(born.header, [*delta.entries[:2], *born.entries], [], []))
    assert loaded.render() == child.render()
    assert parent.render(breakpoints=0).startswith(parent_prefix)


@pytest.mark.trap("R1", "R4", "L16")
@pytest.mark.rap("RUN-1")
def test_a_snapshot_that_cannot_be_read_is_an_error_and_never_an_empty_thread() -> None:
    delta = calling("call_1").delta(NOW)
    calls = [row[4] for row in delta.calls]
    entries = delta.entries
    Thread.load(Snapshot(delta.header, entries, calls, []))
    torn = bytes([*entries[0][1][:-1], entries[0][1][-1] ^ 1])
    broken = [
        Snapshot(b"", entries, calls, []),
        Snapshot(delta.header[:-1], entries, calls, []),
        Snapshot(delta.header, [], calls, []),
        Snapshot(delta.header, entries[1:], calls, []),
        Snapshot(delta.header, [(0, torn), entries[1]], calls, []),
        Snapshot(delta.header, entries, [], []),
        Snapshot(delta.header, entries, [b"garbage"], []),
    ]
    for snapshot in broken:
        assert code(lambda snapshot=snapshot: Thread.load(snapshot)) == "damaged"  # type: ignore[misc]


def test_records_tell_clients_what_is_in_them() -> None:
    delta = calling("call_1").delta(NOW)
    assert decode(entry_json(delta.entries[0][1])) == {
        "kind": "user",
        "at": NOW,
        "assistant": [],
        "user": [{"type": "text", "text": "hello"}],
        "meta": {},
    }
    header = decode(header_json(delta.header))
    assert (header["id"], header["version"], header["usage"]) == ("root", 1, [1, 2, 3, 4])
    assert header["cost"] == 0
    for read in (entry_json, header_json, live_ranges, Call.decode):
        assert code(lambda read=read: read(b"garbage")) == "damaged"  # type: ignore[misc]


def test_turns_add_up_what_they_cost() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    for cost in (300, 40):
        thread.add_user(text("hello"), now=NOW)
        thread.add_turn(text("hi"), [], now=NOW, usage=(1, 2, 3, 4), cost=cost)
    assert (thread.cost, thread.usage, thread.delta(NOW).spent) == (340, (2, 4, 6, 8), (20, 340))
    assert decode(header_json(thread.delta(NOW).header))["cost"] == 340
    thread.committed()
    assert (thread.cost, thread.delta(NOW).spent) == (340, (0, 0))
    thread.add_user(text("hello"), now=NOW)
    assert code(lambda: thread.add_turn(text("hi"), [], now=NOW, cost=-1)) == "rule"


@pytest.mark.rap("RES-2")
def test_images_become_placeholders_for_a_model_that_cannot_see() -> None:
    thread = calling("call_1")
    source = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
    seen = encode([{"type": "image", "source": source}, {"type": "text", "text": "a chart"}])
    thread.answer("call_1", seen, now=NOW, event_id="late")
    content = decode(thread.render(images=False))[-1]["content"][0]["content"]
    assert content == [
        {"type": "text", "text": "[image: image/png, not shown to this model]"},
        {"type": "text", "text": "a chart"},
    ]
    assert decode(thread.render())[-1]["content"][0]["content"][0]["source"] == source


@pytest.mark.trap("M3")
def test_what_the_provider_wants_back_is_kept_byte_for_byte() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    say(thread)
    raw = (
        b'[{"type": "thinking", "thinking":"caf\\u00e9 \\/ \\n", "signature":"EqQB+/=="},'
        b'{"data":"Zm9v","type":"redacted_thinking"},{"type":"text","text":"\xc3\xa9 1.0e5","extra":[1.0, 2]}]'
    )
    thread.add_turn(raw, [], now=NOW)
    assert raw[1:-1] in Thread.load(rows(thread.delta(NOW))).render()


def test_the_actor_is_whoever_spoke_last() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    say(thread, actor="ada")
    assert thread.actor == "ada"
    say(thread, actor="bob")
    assert thread.actor == "bob"
    say(thread)
    assert thread.actor is None, "anyone who speaks without a name does not speak for bob (S11)"
    thread.set_actor("ada")
    assert thread.actor == "ada"


def test_a_thread_is_answered_when_nothing_was_said_since_its_last_turn() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    assert not thread.answered
    say(thread)
    assert not thread.answered
    turn(thread)
    assert thread.answered


def test_tokens_add_up_and_the_last_completion_tells_the_context() -> None:
    thread = calling()
    say(thread)
    turn(thread)
    assert thread.usage == (2, 4, 6, 8)
    assert thread.context_tokens == 10


def test_a_message_that_arrives_twice_is_applied_once() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    thread.consume(Message("root", "m1", "user", b"{}", seq=1))
    assert thread.seen("m1")
    again = Message("root", "m1", "user", b"{}", seq=2)
    assert code(lambda: thread.consume(again)) == "rule"
    thread.consume(again, "duplicate")
    assert thread.delta(NOW).consumed == [(1, "m1", "applied"), (2, "m1", "duplicate")]
    loaded = Thread.load(rows(thread.delta(NOW)))
    assert loaded.seen("m1")
    assert not loaded.seen("m2")


def test_properties_that_can_be_set() -> None:
    thread = calling()
    thread.set_title("a title")
    thread.set_model("other")
    thread.set_problem("overloaded: wait")
    thread.set_memo(b'{"at":1}')
    thread.set_stopped(True)
    loaded = Thread.load(rows(thread.delta(NOW)))
    assert (loaded.title, loaded.model, loaded.problem) == ("a title", "other", "overloaded: wait")
    assert (loaded.memo, loaded.status) == (b'{"at":1}', "stopped")
    loaded.set_stopped(False)
    loaded.set_problem(None)
    assert (loaded.status, loaded.problem) == ("idle", None)
    loaded.set_pending(True)
    assert (loaded.status, loaded.pending) == ("waiting", True)
    loaded.close()
    assert (loaded.status, loaded.pending) == ("closed", False)


@pytest.mark.trap("B6")
def test_many_os_threads_may_hold_one_thread() -> None:
    thread = Thread.create("root", now=NOW, model="m")
    start = threading.Barrier(8)

    def work(worker: int) -> None:
        start.wait(PATIENCE)
        for index in range(50):
            say(thread, f"{worker}.{index}")
            thread.render()
            thread.delta(NOW)

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert thread.position == 400
    (message,) = decode(thread.render())
    assert len({block["text"] for block in message["content"]}) == 400
