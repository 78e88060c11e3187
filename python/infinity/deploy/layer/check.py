"""``infinity layer check``: the layer unpacked as Lambda does it, a handler run by Lambda's own client in a
Python that sees nothing else.

What is checked: that the files of the wheel are in it unchanged, that the handler is imported and answers,
and what that costs.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from infinity.emulator.lambdas.invocation import Outcome
from infinity.errors import ConfigError

from .archive import is_left_out
from .binaries import Examined, examine
from .build import Manifest, read_manifest
from .python import PythonVersion, interpreter_of, python_version
from .runtime import Started, run, runtime_folder
from .wheel import DISTRIBUTION

__all__ = ["Checked", "Trial", "check"]

HANDLER = "infinity.cloud.handlers.agent"
_PROBE = """
import os, sys
task, opt, runtime, report, handler = sys.argv[1:]
version = "python%d.%d" % sys.version_info[:2]
sys.path[:0] = [task, f"{opt}/python/lib/{version}/site-packages", f"{opt}/python"]
sys.path.append(runtime)
sys.dont_write_bytecode = True
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
before = set(sys.modules)

class Client(LambdaRuntimeClient):
    def wait_next_invocation(self):
        import json, resource, time
        modules = [
            (name, getattr(module, "__file__", None) or "", getattr(module, "__cached__", None) or "")
            for name, module in list(sys.modules.items()) if name not in before
        ]
        line = {"cpu": time.process_time(), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "modules": [
            (name, file, not file.endswith(".py") or os.path.exists(cached)) for name, file, cached in modules]}
        with open(report, "a") as out:
            out.write(json.dumps(line) + chr(10))
        return super().wait_next_invocation()

bootstrap.run(handler, Client(os.environ["AWS_LAMBDA_RUNTIME_API"]))
"""
"""Stands where Lambda's bootstrap stands: the same client, the same order of ``sys.path``."""
_KIBIBYTE = 1024
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Trial:
    """``code``: the function's own folder; ``environment``: its variables; ``runtime``: a folder with
    ``awslambdaric``, else one is made.
    """

    layer: Path
    handler: str = HANDLER
    event: Any = field(default_factory=lambda: {"Records": []})
    code: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    python: Path | None = None
    runtime: Path | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """Times in ms: ``init_wall`` from the start of the process to its first question for work, ``first_wall``
    the first event's.

    ``packages``: modules of each package that were imported beyond the runtime client; ``uncompiled``:
    those of the layer that had no bytecode; ``binaries``: how many, ``glibc``: the highest version that
    one of them needs; ``answer`` to the event, or the error with its type in ``problem``; ``peak`` bytes
    of memory.
    """

    manifest: Manifest
    files: int
    init_wall: float
    init_cpu: float
    first_wall: float
    peak: int
    packages: Mapping[str, int]
    uncompiled: tuple[str, ...]
    answer: Any
    problem: str | None
    binaries: int = 0
    glibc: tuple[int, int] = (0, 0)
    ignored: tuple[str, ...] = ()


def check(trial: Trial) -> Checked:
    """Try a layer: unpack it as Lambda does, and run a handler with one event in a Python that sees nothing
    else.

    Args:
        trial: What is tried.

    Returns:
        Times, sizes and the answer. A handler that fails is reported in ``problem``, and not raised.

    Raises:
        ConfigError: if a binary could not run on Lambda, the layer cannot be tried here, is not what its
            manifest says, or the handler cannot be imported.
    """
    manifest = read_manifest(trial.layer)
    version = python_version(manifest.python)
    examined = _examine(trial.layer, manifest, version)
    machine = os.uname().machine
    if {"arm64": "aarch64"}.get(machine, machine) != manifest.architecture:
        raise ConfigError(
            f"{trial.layer} is for {manifest.architecture}, and this machine is {machine}; check it on one of its kind"
        )
    # The layer's own version: what is compiled in it is of no use to another.
    interpreter = interpreter_of(version, trial.python)
    with tempfile.TemporaryDirectory(prefix="infinity-lambda-") as scratch:
        opt, task = Path(scratch, "opt"), trial.code or Path(scratch, "task")
        task.mkdir(exist_ok=True)
        with zipfile.ZipFile(trial.layer) as archive:
            archive.extractall(opt)
        files = _compare(opt / "python", trial.layer)
        runtime = trial.runtime or runtime_folder(version, Path(scratch))
        ran = _run(trial, interpreter, _Places(task.resolve(), opt, runtime.resolve(), Path(scratch)))
    init, last = ran.reports[0], ran.reports[-1]
    of_layer = [(name, compiled) for name, file, compiled in last["modules"] if file.startswith(str(opt))]
    answer = ran.outcome.value()
    return Checked(
        manifest=manifest,
        files=files,
        init_wall=ran.init * 1000,
        init_cpu=init["cpu"] * 1000,
        first_wall=ran.first * 1000,
        peak=last["peak"] * _KIBIBYTE,
        packages=_packages(last["modules"], str(opt)),
        uncompiled=tuple(name for name, compiled in of_layer if not compiled),
        answer=answer,
        problem=_kind(answer) if ran.outcome.error else None,
        binaries=examined.binaries,
        glibc=examined.glibc,
        ignored=examined.ignored,
    )


def _examine(layer: Path, manifest: Manifest, version: PythonVersion) -> Examined:
    """On any machine: nothing of it is run."""
    with (
        tempfile.TemporaryDirectory(prefix="infinity-binaries-") as scratch,
        zipfile.ZipFile(layer) as archive,
    ):
        archive.extractall(scratch)
        return examine(Path(scratch), manifest.architecture, version)


class _Places(NamedTuple):
    task: Path
    opt: Path
    runtime: Path
    scratch: Path


class _Tried(NamedTuple):
    """``init`` and ``first`` in seconds; ``reports``: one before each question for work."""

    init: float
    first: float
    outcome: Outcome
    reports: list[dict[str, Any]]


def _run(trial: Trial, interpreter: Path, places: _Places) -> _Tried:
    report, log = places.scratch / "report", places.scratch / "log"
    arguments = [str(place) for place in (*places[:3], report, trial.handler)]
    # -I -S: no environment, no site-packages; only what Lambda has.
    command = [str(interpreter), "-I", "-S", "-c", _PROBE, *arguments]
    environment = {**_environment(trial, places.task), **trial.environment}
    ran = asyncio.run(run(Started(command, environment, places.task, log), [trial.event]))
    if ran.broken is not None:
        error = ran.broken.value()
        written = log.read_text(errors="replace").strip()[-1000:]
        said = f"{_kind(error)}: {error.get('errorMessage')}\n{written}".rstrip()
        raise ConfigError(f"{trial.handler} cannot be started from {trial.layer}: {said}")
    reports = [json.loads(line) for line in report.read_text().splitlines()]
    return _Tried(ran.init, ran.events[0], ran.outcomes[0], reports)


def _environment(trial: Trial, task: Path) -> dict[str, str]:
    """As Lambda sets it, with services that answer nothing."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": "check",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "check",
        "AWS_SECRET_ACCESS_KEY": "check",
        # Nothing listens there: a handler that is only tried must not reach a real account.
        "AWS_ENDPOINT_URL": _NOWHERE,
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_TASK_ROOT": str(task.resolve()),
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        "TZ": ":UTC",
        "_HANDLER": trial.handler,
    }


def _compare(python: Path, layer: Path) -> int:
    """Every file that the wheel's RECORD names for the layer is there with the same content: how many."""
    records = list(python.glob(f"{DISTRIBUTION}-*.dist-info/RECORD"))
    if len(records) != 1:
        raise ConfigError(
            f"{layer} holds {len(records)} wheels of Infinity instead of one; make it anew: infinity layer build"
        )
    count = 0
    for name, said, _ in csv.reader(records[0].read_text().splitlines()):
        kind, _, digest = said.partition("=")
        if kind != "sha256" or is_left_out(name):
            continue
        file = python / name
        found = (
            base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()) if file.is_file() else b""
        )
        if found.rstrip(b"=").decode() != digest:
            raise ConfigError(f"{name} in {layer} is not the wheel's; make it anew: infinity layer build")
        count += 1
    return count


def _packages(modules: list[tuple[str, str, bool]], opt: str) -> dict[str, int]:
    counted = Counter(
        name.partition(".")[0] if file.startswith(opt) else "(Python's own)"
        for name, file, _ in modules
        if file
    )
    return dict(counted.most_common())


def _kind(error: Any) -> str:
    """An error's type, as the runtime client names it."""
    return str(error.get("errorType") or "Unhandled") if isinstance(error, dict) else "Unhandled"
