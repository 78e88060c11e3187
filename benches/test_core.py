"""The core next to what Python would have used instead, in the same run. A group is one job; read the ratios within it."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import Any

import msgspec
import pytest

from infinity._core import DedupSet, Mailboxes, Message, Snapshot, Thread
from threads import NOW, conversation

Benchmark = Any

MESSAGES = [Message(f"thread_{number % 100}", f"message_{number}", "user", b"{}") for number in range(1_000)]
IDS = [f"evt_{number:032x}" for number in range(10_000)]
ENTRIES = 200


# -- 1,000 messages for 100 threads, in and out


@pytest.mark.benchmark(group="mailbox: 1,000 messages")
def test_mailboxes(benchmark: Benchmark) -> None:
    def run() -> None:
        mailboxes = Mailboxes()
        for message in MESSAGES:
            mailboxes.put(message)
        while (batch := mailboxes.take()) is not None:
            mailboxes.release(batch.thread)

    benchmark(run)


@pytest.mark.benchmark(group="mailbox: 1,000 messages")
def test_one_simple_queue(benchmark: Benchmark) -> None:
    def run() -> None:
        only: queue.SimpleQueue[Message] = queue.SimpleQueue()
        for message in MESSAGES:
            only.put(message)
        for _ in MESSAGES:
            only.get()

    benchmark(run)


@pytest.mark.benchmark(group="mailbox: 1,000 messages")
def test_one_asyncio_queue(benchmark: Benchmark) -> None:
    def run() -> None:
        only: asyncio.Queue[Message] = asyncio.Queue()
        for message in MESSAGES:
            only.put_nowait(message)
        for _ in MESSAGES:
            only.get_nowait()

    benchmark(run)


# -- 10,000 ids, each asked for twice


@pytest.mark.benchmark(group="dedup: 10,000 ids twice")
def test_dedup_set(benchmark: Benchmark) -> None:
    def run() -> int:
        seen = DedupSet()
        return sum(seen.add(id) for id in IDS) + sum(seen.add(id) for id in IDS)

    assert benchmark(run) == len(IDS)


@pytest.mark.benchmark(group="dedup: 10,000 ids twice")
def test_python_set(benchmark: Benchmark) -> None:
    def run() -> int:
        seen: set[str] = set()
        new = 0
        for id in [*IDS, *IDS]:
            if id not in seen:
                seen.add(id)
                new += 1
        return new

    assert benchmark(run) == len(IDS)


# -- the messages array of a request


def thread() -> Thread:
    made = conversation("thread_bench", ENTRIES)
    made.delta(NOW)
    made.committed()
    made.add_user(b'[{"type":"text","text":"And now?"}]', now=NOW)
    return made


@pytest.mark.benchmark(group=f"render: {ENTRIES} entries")
def test_render(benchmark: Benchmark) -> None:
    long = thread()
    assert len(json.loads(benchmark(long.render))) == ENTRIES + 1


@pytest.mark.benchmark(group=f"render: {ENTRIES} entries")
def test_json_dumps(benchmark: Benchmark) -> None:
    messages = json.loads(thread().render())
    benchmark(lambda: json.dumps(messages).encode())


@pytest.mark.benchmark(group=f"render: {ENTRIES} entries")
def test_msgspec_encode(benchmark: Benchmark) -> None:
    messages = json.loads(thread().render())
    benchmark(lambda: msgspec.json.encode(messages))


# -- opening a thread from its records


def snapshot() -> tuple[bytes, list[tuple[int, bytes]]]:
    delta = conversation("thread_bench", ENTRIES).delta(NOW)
    return delta.header, delta.entries


@pytest.mark.benchmark(group=f"load: {ENTRIES} entries")
def test_load(benchmark: Benchmark) -> None:
    header, entries = snapshot()
    loaded = benchmark(lambda: Thread.load(Snapshot(header, entries, [], [])))
    assert loaded.live_entries() == ENTRIES


@pytest.mark.benchmark(group=f"load: {ENTRIES} entries")
def test_json_loads(benchmark: Benchmark) -> None:
    rendered = thread().render()
    benchmark(lambda: json.loads(rendered))


# -- one slice's delta


@pytest.mark.benchmark(group="delta: one user entry and one turn on 200 entries")
def test_delta(benchmark: Benchmark) -> None:
    header, entries = snapshot()

    def fresh() -> tuple[tuple[Thread], dict[str, Any]]:
        return (Thread.load(Snapshot(header, entries, [], [])),), {}

    def run(thread: Thread) -> None:
        thread.add_user(b'[{"type":"text","text":"And now?"}]', now=NOW)
        thread.add_turn(b'[{"type":"text","text":"Twelve parcels."}]', [], now=NOW)
        thread.delta(NOW)
        thread.committed()

    benchmark.pedantic(run, setup=fresh, rounds=2_000)
