"""Runs a real command for as long as it takes, and tells the conversation what it prints. Three days or three seconds are the same to it."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from infinity.rap.server import Event, Subscription, Toolset, serve
from run import Part, Run

# The model chooses among pipelines; it does not write commands.
PIPELINES = {
    "build": os.environ.get("CI_BUILD", "make build"),
    "test": os.environ.get("CI_TEST", "make test"),
}

tools = Toolset("ci", "Runs the project's pipelines.")


@tools.subscription(long_running=True, display_script='"run the pipeline " + args.pipeline')
async def run_pipeline(
    pipeline: Literal["build", "test"], call: Subscription, report_every_seconds: float = 60.0
) -> AsyncIterator[Event]:
    """Run a pipeline. What it prints comes as events, at most one in report_every_seconds; the last one tells its exit status."""
    # Ids come from outside and never become file names as they are.
    run = Run(Path("runs") / hashlib.sha256(f"{call.thread} {call.id}".encode()).hexdigest()[:32])
    run.start(PIPELINES[pipeline])
    if call.resumed and (part := run.last()):
        yield output(run, part)
    told = time.monotonic()
    while (status := run.status()) is None:
        if time.monotonic() - told >= report_every_seconds and (part := run.news()):
            told = time.monotonic()
            yield output(run, part)
        await asyncio.sleep(min(report_every_seconds / 4, 1.0))
    text = f"{run.text(run.rest())}\nThe pipeline {pipeline} has ended: {status}"
    yield Event(text, id="end", associative=True, final=True)


def output(run: Run, part: Part) -> Event:
    """Its id is its place in the output: told again after a crash, it is the same event."""
    return Event(run.text(part), id=f"output-{part.start}", associative=True)


if __name__ == "__main__":
    serve(tools, port=int(os.environ.get("PORT", "8812")), state_path="ci.db")
