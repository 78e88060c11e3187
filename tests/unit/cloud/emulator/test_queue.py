"""A FIFO queue against the simplest model of one, through whatever happens to it; and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from infinity.emulator import AwsError
from infinity.emulator.sqs import Message, Queue
from infinity.emulator.sqs.settings import Settings
from infinity.testing.clock import VirtualClock

VISIBILITY = 30


def fifo(clock: VirtualClock, **attributes: str) -> Queue:
    given = {"FifoQueue": "true", "VisibilityTimeout": str(VISIBILITY), **attributes}
    return Queue("q.fifo", "arn:q.fifo", Settings.of("q.fifo", given), clock.now, lambda _: None)


def message(body: str, group: str) -> Message:
    return Message(body, group, group_id=group, deduplication_id=body)


@dataclass
class Held:
    """A message as the model knows it: hidden until a time, by the receive that has it."""

    body: str
    group: str
    hidden_until: int = 0
    receives: int = 0


@dataclass
class Model:
    messages: list[Held] = field(default_factory=list)

    def free(self, now: int) -> dict[str, list[str]]:
        """Groups of which nothing is hidden, with their messages in order."""
        groups: dict[str, list[Held]] = {}
        for each in self.messages:
            groups.setdefault(each.group, []).append(each)
        return {
            name: [each.body for each in group]
            for name, group in groups.items()
            if all(each.hidden_until <= now for each in group)
        }


class FifoMachine(RuleBasedStateMachine):
    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.queue = fifo(self.clock)
        self.model = Model()
        self.count = 0

    @rule(group=st.sampled_from("abc"))
    def send(self, group: str) -> None:
        self.count += 1
        body = f"{group}{self.count}"
        self.queue.send(message(body, group))
        self.model.messages.append(Held(body, group))

    @rule(target=handles, most=st.integers(1, 10))
    def receive(self, most: int) -> Any:
        free = self.model.free(self.clock.now())
        taken = self.queue.receive(most)
        by_group: dict[str, list[str]] = {}
        for each in taken:
            by_group.setdefault(each.group, []).append(each.body)
        for name, bodies in by_group.items():
            assert bodies == free[name][: len(bodies)], "not the oldest of a free group, in order"
        left = sum(map(len, free.values())) - len(taken)
        assert len(taken) == most or left == 0, "something that was free was not given"
        known = {each.body: each for each in self.model.messages}
        for each in taken:
            held = known[each.body]
            held.hidden_until = self.clock.now() + VISIBILITY * 1000
            held.receives += 1
            assert each.receives == held.receives
        return [(each.body, each.receives, self.queue.handle(each)) for each in taken]

    @rule(received=consumes(handles), place=st.integers(0, 9))
    def delete(self, received: Any, place: int) -> None:
        for body, receives, handle in received[place:]:
            held = next((each for each in self.model.messages if each.body == body), None)
            valid = held is not None and held.receives == receives and held.hidden_until > self.clock.now()
            try:
                self.queue.delete(handle)
                assert held is None or valid, "deleted with a handle that had expired"
            except AwsError:
                assert not valid
            if held is not None and valid:
                self.model.messages.remove(held)

    @rule(received=handles, seconds=st.sampled_from([0, 5, 100]))
    def change_visibility(self, received: Any, seconds: int) -> None:
        for body, receives, handle in received[:1]:
            held = next((each for each in self.model.messages if each.body == body), None)
            now = self.clock.now()
            valid = held is not None and held.receives == receives and held.hidden_until > now
            try:
                self.queue.change_visibility(handle, seconds * 1000)
                assert valid
            except AwsError:
                assert not valid
            if held is not None and valid:
                held.hidden_until = now + seconds * 1000

    @rule(seconds=st.sampled_from([1, 5, 29, 30, 31]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def everything_in_flight_comes_back(self) -> None:
        self.queue.expire()
        for each in self.model.messages:
            each.hidden_until = min(each.hidden_until, self.clock.now())

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert [each.body for each in self.queue.messages()] == [each.body for each in self.model.messages]


TestFifo = FifoMachine.TestCase
TestFifo.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_groups_behind_the_part_that_is_scanned_wait() -> None:
    clock = VirtualClock()
    queue = fifo(clock)
    queue.scanned = 3
    for number in range(4):
        queue.send(message(f"a{number}", "a"))
    queue.send(message("b", "b"))
    [first] = queue.receive(1)
    # Group b is free, and nobody looks so far.
    assert queue.receive(10) == []
    queue.delete(queue.handle(first))
    assert [each.body for each in queue.receive(1)] == ["a1"]
    assert queue.receive(10) == []


def test_what_is_beyond_twelve_hours_cannot_be_hidden() -> None:
    clock = VirtualClock()
    queue = fifo(clock)
    queue.send(message("1", "a"))
    [taken] = queue.receive(1)
    queue.change_visibility(queue.handle(taken), 43_200_000)
    clock.advance(10)
    with pytest.raises(AwsError, match="43200"):
        queue.change_visibility(queue.handle(taken), 43_200_000)


def test_a_standard_queue_may_deliver_once_more_what_was_deleted() -> None:
    clock = VirtualClock()
    queue = Queue("q", "arn:q", Settings.of("q", {}), clock.now, lambda _: None)
    queue.send(Message("x", "own-group"))
    queue.repeats = 1
    for count in (1, 2):
        [taken] = queue.receive(10)
        assert (taken.body, taken.receives) == ("x", count)
        queue.delete(queue.handle(taken))
    assert queue.messages() == []


def test_many_groups_are_handled_quickly() -> None:
    clock = VirtualClock()
    queue = fifo(clock)
    for number in range(20_000):
        queue.send(message(str(number), f"g{number % 10_000}"))
    received = 0
    while batch := queue.receive(10):
        for each in batch:
            queue.delete(queue.handle(each))
        received += len(batch)
    assert received == 20_000
