"""A slice in a process that has run some before: what it adds to the model's time, against the stand-ins on loopback.

Each slice is one message of one thread and one answer of the model. Taken out: what a trivial handler takes for an event (Lambda's client and its Runtime API), and
what the model takes to answer the same kind of request. What is left is ours, the database and the services.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import aiohttp

from cloud import AGENT, TRIVIAL, StandIns, measured, said, stand_ins

TARGET = 15.0
WARMING = 20


async def slices(made: StandIns, handler: str, count: int) -> tuple[list[float], float]:
    """Wall time of each in ms, and the CPU of one, of a process that is warm."""
    thread = uuid.uuid4().hex
    events = [said(thread, f"Message {number}.") for number in range(WARMING + count)]
    ran, notes = await measured(made, handler, events)
    cpu = (notes[-1]["cpu"] - notes[WARMING]["cpu"]) / count
    return [seconds * 1000 for seconds in ran.events[WARMING:]], cpu * 1000


async def model_time(made: StandIns, count: int) -> float:
    """Median ms of the model's whole answer, asked as plainly as can be."""
    times = []
    body = b'{"model":"bench","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello."}]}'
    async with aiohttp.ClientSession() as session:
        for _ in range(WARMING + count):
            began = time.perf_counter()
            async with session.post(f"{made.servers}/v1/messages", data=body) as answer:
                await answer.read()
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[WARMING:])


def best_median(times: list[float]) -> float:
    """Of the quietest fifth of the run: the machine is shared."""
    size = max(len(times) // 5, 1)
    return min(statistics.median(times[at : at + size]) for at in range(0, len(times), size))


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with stand_ins(Path(folder)) as made:
            trivial, trivial_cpu = await slices(made, TRIVIAL, count)
            before = Counter(made.aws.counts)
            agent, cpu = await slices(made, AGENT, count)
            asked = sum((Counter(made.aws.counts) - before).values())
            model = await model_time(made, count)
    wall, floor = best_median(agent), best_median(trivial)
    ours = wall - floor - model
    worst = sorted(agent)[int(len(agent) * 0.95)]
    print(f"{count} slices of one thread, ms         best fifth   p95")
    print(f"  a slice                       {wall:8.2f} {worst:9.2f}")
    print(f"  a trivial handler's event     {floor:8.2f}")
    print(f"  the model's answer            {model:8.2f}")
    print(f"  what is left                  {ours:8.2f}")
    print(
        f"  CPU of a slice                {cpu:8.2f}   ({cpu / max(trivial_cpu, 0.001):.0f} x a trivial handler's)"
    )
    print(f"  requests to AWS in a slice    {asked / (count + WARMING):8.2f}")
    print(f"target {TARGET:.0f} ms: {'kept' if ours < TARGET else 'missed'}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slices", type=int, default=200)
    asyncio.run(main(options.parse_args().slices))
