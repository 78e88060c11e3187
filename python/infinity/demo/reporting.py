"""How a tool server of the demo tells what it does: one JSON object a line on its standard output."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from infinity.rap.server import Toolset, ToolsetServer


def report(kind: str, **details: str) -> None:
    """Say something to the process that started this one: one JSON object on a line of its own.

    Args:
        kind: What it is about; ``say`` is for people.
        details: Further members.
    """
    sys.stdout.write(json.dumps({"kind": kind, **details}) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Say something to the people who watch the demo."""
    report("say", text=text)


def main(toolset: Toolset) -> None:
    """Serve on ``--port`` with state in the folder ``--state``, until terminated."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--state", type=Path, required=True)
    chosen = options.parse_args()
    asyncio.run(_serve(ToolsetServer(toolset, chosen.state / "state.db", port=chosen.port)))


async def _serve(server: ToolsetServer) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        report("ready")
        await stopped.wait()
