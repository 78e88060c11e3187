"""The agent function's first slice in a fresh process, by Lambda's own runtime client: where its CPU goes, and how often a trivial handler's that is.

Two kinds of runs. *Whole*: as on Lambda. *Apart*: what a whole run has imported is imported first, the leaves before what needs them, and each package's share is
noted; then the same slice. Everything is the least of several, because whatever disturbs a run only makes it longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud import AGENT, TRIVIAL, StandIns, measured, said, stand_ins

TARGET = 400.0
NOTE_MODULES = """
marks["modules"] = list(sys.modules)
"""
IMPORT_APART = """
import importlib, json
spent = {}
for name in json.loads(os.environ["BENCH_MODULES"]):
    if name not in sys.modules:
        begun = time.process_time()
        try:
            importlib.import_module(name)
        except ImportError:
            # A name that its package gives to something that is not a module of its own.
            continue
        package = name.partition(".")[0]
        spent[package] = spent.get(package, 0.0) + time.process_time() - begun
marks["packages"] = spent
try:
    import asyncpg
except ImportError:
    asyncpg = None
if asyncpg is not None:
    connect = asyncpg.connect

    async def counted(*arguments, **options):
        begun = time.process_time()
        try:
            return await connect(*arguments, **options)
        finally:
            marks["connections"] = marks.get("connections", 0.0) + time.process_time() - begun

    asyncpg.connect = counted
"""
TLS = "import time, ssl; begun = time.process_time(); ssl.create_default_context(); print(time.process_time() - begun)"


async def whole(made: StandIns, handler: str) -> dict[str, Any]:
    """CPU in ms: of each part, and ``wall`` of all until the first answer."""
    thread = uuid.uuid4().hex
    events = [said(thread), said(thread)]
    ran, (init, first, second) = await measured(made, handler, events, then=NOTE_MODULES)
    return {
        "interpreter": init["interpreter"] * 1000,
        "awslambdaric": (init["awslambdaric"] - init["interpreter"]) * 1000,
        "init": (init["cpu"] - init["awslambdaric"]) * 1000,
        "first": (first["cpu"] - init["cpu"]) * 1000,
        "second": (second["cpu"] - first["cpu"]) * 1000,
        "total": first["cpu"] * 1000,
        "wall": (ran.init + ran.events[0]) * 1000,
        "modules": first["modules"],
    }


async def apart(made: StandIns, modules: list[str]) -> dict[str, Any]:
    """CPU in ms: ``packages``, ``connections``, and the ``rest`` of the first slice."""
    environment = {**made.environment, "BENCH_MODULES": json.dumps(_in_order(modules))}
    given = replace(made, environment=environment)
    _, (init, first) = await measured(given, AGENT, [said(uuid.uuid4().hex)], first=IMPORT_APART)
    connections = first.get("connections", 0.0)
    return {
        "packages": {name: seconds * 1000 for name, seconds in first["packages"].items()},
        "connections": connections * 1000,
        "rest": (first["cpu"] - init["cpu"] - connections) * 1000,
    }


def _in_order(modules: list[str]) -> list[str]:
    """Python's own, then what is installed, then ours; each with those first that were imported last, by what needed them."""
    latest_first = list(reversed(modules))
    latest_first.sort(key=lambda name: (name.startswith("infinity"), not _of_python(name)))
    return latest_first


def _of_python(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def least(runs: list[dict[str, Any]], *names: str) -> dict[str, float]:
    return {name: min(run[name] for run in runs) for name in names}


async def main(times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with stand_ins(Path(folder)) as made:
            await whole(made, AGENT)
            trivial, agent, parts = [], [], []
            for _ in range(times):
                trivial.append(await whole(made, TRIVIAL))
                agent.append(await whole(made, AGENT))
                parts.append(await apart(made, agent[-1]["modules"]))
            context = await _tls(times)
    names = ("interpreter", "awslambdaric", "init", "first", "second", "total", "wall")
    floor, ours = least(trivial, *names), least(agent, *names)
    print(f"{'CPU in ms':34} {'agent':>8} {'trivial':>8}")
    for name, shown in (
        ("interpreter", "interpreter"),
        ("awslambdaric", "awslambdaric"),
        ("init", "import of the handler"),
        ("first", "first event, imports included"),
        ("total", "cold start, all of it"),
        ("second", "second event"),
    ):
        print(f"{shown:34} {ours[name]:8.1f} {floor[name]:8.1f}")
    print(f"{'cold start, ratio':34} {ours['total'] / floor['total']:7.1f}x")
    print(f"{'wall time until the first answer':34} {ours['wall']:8.1f} {floor['wall']:8.1f}")
    print("\nthe first event apart, CPU in ms")
    packages: Counter[str] = Counter()
    for name in {name for run in parts for name in run["packages"]}:
        packages[name] = min(run["packages"].get(name, 0.0) for run in parts)
    shown_own = sum(packages.pop(name) for name in list(packages) if _of_python(name))
    print(f"  {'imports: infinity':32} {packages.pop('infinity', 0.0):8.1f}")
    print(f"  {'imports: of Python':32} {shown_own:8.1f}")
    for name, spent in packages.most_common(8):
        print(f"  {f'imports: {name}':32} {spent:8.1f}")
    print(f"  {'connections to the database':32} {min(run['connections'] for run in parts):8.1f}")
    print(f"  {'host, slice, everything else':32} {min(run['rest'] for run in parts):8.1f}")
    print(f"\nnot in it: TLS, which loopback has not; a context of it takes {context:.1f} ms, once")
    print(f"target {TARGET:.0f} ms: {'kept' if ours['total'] < TARGET else 'missed'}")


async def _tls(times: int) -> float:
    """CPU in ms of what every process does before its first connection by TLS."""
    found = []
    for _ in range(times):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TLS, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        found.append(float(printed) * 1000)
    return min(found)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=5)
    asyncio.run(main(options.parse_args().times))
