"""What must hold of all threads at any moment: I2 to I4, I6, I7, I8, I10, I13. I1, I5 and I12 are watched while things happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from infinity._core import entry_json, header_json
from infinity.abc import ThreadRow
from infinity.engine.spending import promises_a_try
from infinity.runtime import Runtime
from infinity.testing.simulator.faults import FULL, UNREADABLE

__all__ = ["Account", "Judged"]

Json = dict[str, Any]

EVERYTHING = 100_000


class Judged(Protocol):
    """What an account is kept of. ``store``: read past all faults; ``kept``: calls of early events, by thread and id; ``calls``: thread and id of all that left."""

    store: Any
    runtime: Runtime
    clock: Any
    kept: dict[tuple[str, str], str]
    violations: list[str]

    @property
    def calls(self) -> list[tuple[str, str]]: ...


@dataclass
class _Seen:
    """What was read of a thread so far: what cannot change is decoded once."""

    row: ThreadRow | None = None
    """At the last look. A thread whose row is the same has not committed since."""
    records: list[tuple[int, bytes]] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)
    positions: int = 0
    """Of the stream."""
    entries: int = 0
    """Of those, rows that are entries."""
    announced: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)


class Account:
    """Keeps what was accepted and what was seen before, to compare."""

    def __init__(
        self,
        world: Judged,
        injected: Collection[str] = (FULL, UNREADABLE),
        late: Collection[tuple[str, str]] = (),
    ) -> None:
        """``injected``: words of the errors that somebody injects; a slice that fails for another reason is a violation.

        ``late``: thread and id of messages that have no place in the order, because their sender was answered late.
        """
        self._late = late
        self._world = world
        self._injected = injected
        self._accepted: dict[str, list[str]] = {}
        """Ids by thread, in the order in which they were accepted."""
        self._seen: dict[str, _Seen] = {}

    def accepted(self, thread: str, message_id: str) -> None:
        ids = self._accepted.setdefault(thread, [])
        if message_id not in ids:
            ids.append(message_id)

    def threads(self) -> list[str]:
        """Those that anything was accepted for."""
        return list(self._accepted)

    def forget(self, thread: str) -> None:
        """It was deleted, with everything that was accepted for it."""
        del self._accepted[thread]
        self._seen.pop(thread, None)
        for key in [key for key in self._world.kept if key[0] == thread]:
            del self._world.kept[key]

    async def check(self, *, anew: bool = False) -> None:
        """``anew``: read the threads that have not committed since the last look as well."""
        assert not self._world.violations, "; ".join(self._world.violations)
        self._no_slice_fails()
        # Read first: a slice that commits meanwhile moves messages from here into what is read below.
        queued = await self._queued()
        leaving = [row for row in await self._world.store.outbox() if row.kind in ("invoke", "choice")]
        rows = {row.id: row for row in await self._world.store.threads(limit=1000)}
        histories = {}
        for message_id, row in rows.items():
            seen = self._seen.setdefault(message_id, _Seen())
            if anew or seen.row != row:
                await self._read(message_id, seen)
                await self._endings_are_complete(message_id, [(each.call_id, each.key) for each in leaving])
                seen.row = row
            histories[message_id] = seen.history
        await self._nothing_lost_nothing_doubled(histories, queued)

    async def _queued(self) -> set[tuple[str, str]]:
        """Thread and id of what is queued, or waits beside its call for a confirmation (SUB-9). It may go either way meanwhile."""
        kept = set(self._world.kept)
        inbox = await self._world.store.inbox(0)
        return kept | {(message.thread, message.id) for message in inbox} | set(self._world.kept)

    async def _endings_are_complete(self, thread: str, leaving: Collection[tuple[str | None, str]]) -> None:
        """I13: nothing is left of a call that has ended. The endings are read first: what is left is read when they were durable already."""
        calls = await self._world.store.calls(thread, open_only=False)
        ended = {call.id for call, state in calls if state not in ("planned", "sent")}
        timers = await self._world.store.timers(thread)
        retries = [timer.id for timer in timers if timer.id.startswith("retry.")]
        assert len(retries) <= 1, f"{thread} is tried again by {len(retries)} timers: {retries} (R8)"
        prompts = await self._world.store.prompts(thread)
        left = [row.id for row in (*timers, *prompts) if row.id.split(".")[1] in ended]
        if late := {key for call, key in leaving if call in ended}:
            # Those were read before, and may have gone with the ending.
            left += [row.key for row in await self._world.store.outbox() if row.key in late]
        assert left == [], f"{thread}: what has ended is still there: {left}"

    def _no_slice_fails(self) -> None:
        """I4: an invalid request is an assertion of the model's, and would be here. I8: what cannot be read is tried again."""
        failing = self._world.runtime.slices.failing
        reasons = [str(each.problem) for each in failing.values()]
        assert [why for why in reasons if not any(words in why for words in self._injected)] == []

    async def _read(self, thread: str, seen: _Seen) -> None:
        """I10: entries are appended, never rewritten. I6: what belongs to one commit is there together: entries with their rows of the stream, calls with their turn."""
        records = await self._world.store.entries(thread, limit=EVERYTHING)
        before = len(seen.records)
        assert records[:before] == seen.records, f"the history of {thread} was rewritten"
        seen.records = records
        seen.history += [msgspec.json.decode(entry_json(record)) for _, record in records[before:]]
        feed = await self._world.store.feed(thread, seen.positions - 1, EVERYTHING)
        expected = list(range(seen.positions, seen.positions + len(feed)))
        assert [row.position for row in feed] == expected, f"a row of {thread} is missing"
        seen.positions += len(feed)
        seen.entries += sum(row.kind == "entry" for row in feed)
        # Read after the history, which may have gone on.
        assert seen.entries >= len(seen.history), f"the stream of {thread} lacks entries"
        seen.announced |= {msgspec.json.decode(row.body)["id"] for row in feed if row.kind == "call"}
        seen.ended |= {msgspec.json.decode(row.body)["id"] for row in feed if row.kind == "call_ended"}
        registered = {
            call.id: state for call, state in await self._world.store.calls(thread, open_only=False)
        }
        assert seen.announced <= registered.keys(), f"{thread} announced calls that are not on record"
        still_open = {message_id for message_id, state in registered.items() if state in ("planned", "sent")}
        assert not seen.ended & still_open, f"{thread}: ended calls are open"

    async def _nothing_lost_nothing_doubled(
        self, histories: dict[str, list[Json]], queued: set[tuple[str, str]]
    ) -> None:
        """I2, I3: every accepted message is in history, discarded on record, or queued; and never twice. I1: in the order of arrival."""
        everywhere = [
            (thread, entry["meta"].get("message_id"))
            for thread, entries in histories.items()
            for entry in entries
        ]
        calls = {call for _, call in self._world.calls}
        anywhere = Counter(message_id for _, message_id in everywhere)
        for thread, ids in self._accepted.items():
            discarded = {message_id for message_id, _, _ in await self._world.store.discards(thread)}
            told = [message_id for where, message_id in everywhere if where == thread]
            for message_id in ids:
                times = anywhere[message_id]
                if message_id.startswith("message."):
                    times = told.count(message_id)  # the same key in another thread is another message
                elif message_id in calls:
                    times = _results(histories[thread], message_id)
                elif message_id.partition(":")[0] not in calls:
                    continue  # prompts and controls leave no entry; what is left are events, told here or in a child
                settled = times + (message_id in discarded) + ((thread, message_id) in queued)
                assert times <= 1, f"{message_id} is in history {times} times"
                assert settled, f"{message_id} of {thread} is lost"
            spoken = [
                message_id
                for message_id in told
                if message_id in ids and str(message_id).startswith("message.")
            ]
            spoken = [message_id for message_id in spoken if (thread, message_id) not in self._late]
            assert spoken == sorted(spoken, key=ids.index), f"{thread} heard its user out of order"

    async def nobody_waits_for_nothing(self) -> None:
        """I7: at rest, every thread that is not closed has a reason to wake, or is idle."""
        for row in await self._world.store.threads(limit=1000):
            await self._has_a_reason(row)
            await self._questions_stop_deadlines(row)

    async def _has_a_reason(self, row: ThreadRow) -> None:
        explanation = await self._world.runtime.explain(row.id)
        if explanation.state == "waiting":
            assert explanation.reasons, f"{row.id} waits for nothing"
        header: dict[str, Any] = msgspec.json.decode(header_json(row.header))
        if header["pending"] and row.status not in ("stopped", "closed"):
            reasons = {reason.kind for reason in explanation.reasons}
            compacting = b"blocked" in msgspec.json.encode(header["memo"])
            # A message that is queued or taken, and a slice that is tried again, are reasons too.
            woken = reasons & {"timer", "call", "queued", "running", "failing"}
            assert woken or compacting, f"{row.id} should speak and nothing wakes it: {explanation}"
        promised = promises_a_try(header["problem"]) and row.status not in ("stopped", "closed")
        assert not promised or header["memo"].get("retry"), f"{row.id} is promised a try that no timer brings"
        late = [one for one in explanation.reasons if one.until is not None and one.until <= self._now]
        assert not late, f"{row.id} waits for what is over: {late}"

    async def no_child_outlives_its_parent(self) -> None:
        """THR-2: closing a thread closes all below it."""
        rows = {row.id: row for row in await self._world.store.threads(limit=1_000)}
        orphans = [
            row.id
            for row in rows.values()
            if row.parent and row.status != "closed" and rows[row.parent].status == "closed"
        ]
        assert not orphans, f"{orphans} are open, and their parents are closed (THR-2)"

    async def parents_have_heard(self) -> None:
        """I14: anyone who gave a child something to do has heard of it once it rests, by a report or from the runtime."""
        rows = {row.id: row for row in await self._world.store.threads(limit=1_000)}
        for row in rows.values():
            parent = rows.get(row.parent or "")
            rests = row.status == "idle" and not await self._world.store.open_children(row.id)
            if parent is None or parent.status == "closed" or not rests or not _was_spawned(row):
                continue
            header: Json = msgspec.json.decode(header_json(row.header))
            ended = header["problem"] is None and not header["memo"].get("awaited")
            owes = ended and header["memo"].get("owes_report")
            assert not owes, f"{row.id} rests and owes {parent.id} a report (I14)"
            entries = await self._world.store.entries(parent.id, limit=EVERYTHING)
            metas = [msgspec.json.decode(entry_json(record))["meta"] for _, record in entries]
            heard = any(meta.get("child") == row.id for meta in metas)
            queued = any(message.thread == parent.id for message in await self._world.store.inbox(0))
            # A report that no transaction took is discarded on record, and the parent rests with a problem that says so.
            discards = await self._world.store.discards(parent.id)
            lost = any(row.id in message_id and "cannot be applied" in why for message_id, why, _ in discards)
            assert heard or queued or lost, f"{parent.id} has never heard of its child {row.id} (I14)"

    @property
    def _now(self) -> int:
        now: int = self._world.clock.now()
        return now

    async def _questions_stop_deadlines(self, row: ThreadRow) -> None:
        """CHO-3: an open question has a limit of its own and its call no deadline; every other call has its deadline. I13: nothing is known of others."""
        calls = {call.id: call for call, _ in await self._world.store.calls(row.id)}
        timers = {tuple(timer.id.split(".")[:2]) for timer in await self._world.store.timers(row.id)}
        asked: dict[str, set[str]] = {}
        for prompt in await self._world.store.prompts(row.id):
            asked.setdefault(prompt.id.split(".")[1], set()).add(prompt.kind)
        for message_id, call in calls.items():
            asks = bool(asked.get(message_id, set()) & {"choice", "oauth"})
            assert (("prompt", message_id) in timers) == asks, (
                f"{row.id}: the limit of what {message_id} asks"
            )
            runs = (
                call.deadline is not None
                and not call.subscription
                and "consent" not in asked.get(message_id, ())
            )
            assert (("deadline", message_id) in timers) == (runs and not asks), (
                f"{row.id}: the deadline of {message_id}"
            )
        memo = msgspec.json.decode(header_json(row.header))["memo"]
        about = {
            message_id
            for name in ("prompts", "asking", "deadlines", "refused")
            for message_id in memo.get(name, {})
        }
        assert about <= calls.keys(), f"{row.id} remembers of calls that have ended: {about - calls.keys()}"
        for message_id, asking in memo.get("asking", {}).items():
            assert set(asking.get("open", ())) == asked.get(message_id, set()), (
                f"{row.id}: what {message_id} asks"
            )


def _was_spawned(row: ThreadRow) -> bool:
    header: Json = msgspec.json.decode(header_json(row.header))
    return (header["origin"] or {}).get("tool") == "spawn_thread"


def _results(history: list[Json], call_id: str) -> int:
    """Entries that hold how a call ended: as its result, or as an event if the turn went on without it. Messages about a call have ids of their own."""
    metas = [entry["meta"] for entry in history]
    about = [meta for meta in metas if meta.get("call_id") == call_id and meta.get("message_id") is None]
    return len(about)
