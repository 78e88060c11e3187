"""A function's process as Lambda runs it: its own runtime client, a Runtime API on loopback, nothing else.

``check`` runs handlers with it, ``benches/cloud.py`` measures with it. The process sees no site-packages of
this machine, or a layer that lacks something would pass.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from infinity.emulator.lambdas.invocation import Invocation, Outcome, failed
from infinity.errors import ConfigError
from infinity.supervision import shared

from .python import PythonVersion

__all__ = ["Ran", "Started", "run", "runtime_folder"]

CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:check"
_SECONDS = 60.0
"""That an invocation has, and the start."""


@dataclass(frozen=True, slots=True)
class Started:
    """A command that runs the runtime client; ``environment`` lacks the Runtime API's address only; ``log``:
    where its output goes.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path


class Ran(NamedTuple):
    """Seconds from the start of the process to its first question for work (``init``), and of each event.
    ``broken``: how the start failed.
    """

    init: float
    events: list[float]
    outcomes: list[Outcome]
    broken: Outcome | None = None


async def run(started: Started, events: Sequence[Any]) -> Ran:
    """Run one process with one event after the other, until one fails; it is killed at the end.

    Args:
        started: The command, which runs Lambda's runtime client.
        events: JSON values.

    Returns:
        Times and outcomes. ``broken`` says how the start failed, and then there are none.
    """
    from infinity.emulator.lambdas.runtime_api import RuntimeApi

    rested = asyncio.Event()
    api = RuntimeApi(ARN, rested.set, lambda: None)
    await api.start()
    try:
        environment = {**started.environment, "AWS_LAMBDA_RUNTIME_API": api.address}
        with started.log.open("wb") as output:
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *started.command,
                env=environment,
                cwd=started.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            broken = await _first(api.ready, process)
            ran = Ran(time.perf_counter() - began, [], [], broken)
            for event in () if broken else events:
                # Before the event is given, or the rest of the one before would be taken for this one's.
                rested.clear()
                asked = time.perf_counter()
                deadline = int((time.time() + _SECONDS) * 1000)
                ended = api.give(Invocation(json.dumps(event).encode()), deadline)
                outcome = await _first(ended, process) or failed("Runtime.Unknown", "nothing was answered")
                ran.events.append(time.perf_counter() - asked)
                ran.outcomes.append(outcome)
                # It asks for more once it has said everything about this one.
                await _first(shared(rested.wait(), "resting"), process)
                if outcome.error:
                    break
            return ran
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    finally:
        await api.close()


async def _first(awaited: asyncio.Future[Any], process: Process) -> Any:
    """What is awaited; a failed outcome if the process ends before that, or time is up."""
    exited = shared(process.wait(), "process")
    try:
        await asyncio.wait({awaited, exited}, timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        if exited.done():
            return failed("Runtime.ExitError", f"the process ended with {process.returncode}")
        return failed("Sandbox.Timedout", f"nothing within {_SECONDS:.0f} s")
    finally:
        exited.cancel()
        awaited.cancel()


def runtime_folder(version: PythonVersion, scratch: Path) -> Path:
    """A folder with ``awslambdaric`` and what it needs, and nothing else.

    Args:
        version: Of the function. This environment's client is used if it is of the same version, else one
            from PyPI.
        scratch: Where the folder is made.

    Raises:
        ConfigError: if it could not be installed.
    """
    folder = scratch / "runtime"
    folder.mkdir()
    if sys.version_info[:2] == version and _linked(folder):
        return folder
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]
    command += [
        "--target",
        str(folder),
        "--only-binary=:all:",
        "--python-version",
        str(version),
        "awslambdaric",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise ConfigError(
            f"the runtime client of Lambda's Python {version} could not be installed; put awslambdaric into a folder and name it with --runtime:\n{ran.stderr.strip()}"
        )
    return folder


def _linked(folder: Path) -> bool:
    for name in CLIENT:
        try:
            files = metadata.distribution(name).files or []
        except metadata.PackageNotFoundError:
            return False
        for top in {file.parts[0] for file in files if ".." not in file.parts}:
            link = folder / top
            target = Path(str(metadata.distribution(name).locate_file(top)))
            if target.exists() and not link.exists():
                link.symlink_to(target)
    return True
