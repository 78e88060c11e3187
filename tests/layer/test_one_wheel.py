"""One wheel serves both hosts: the file that a daemon was installed from is the file in the layer, and a slice runs from there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from infinity.deploy.layer.build import DIRECT_UPLOAD, UNPACKED, Layer, Order, build
from infinity.deploy.layer.check import Trial, check
from infinity.deploy.layer.python import default_version, interpreter_of

ROOT = Path(__file__).parents[2]
WHEEL = Path(os.environ["INFINITY_WHEEL"])


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    target = default_version()
    folder = tmp_path_factory.mktemp("layer")
    return build(Order(WHEEL, target, interpreter_of(target, None), into=folder))


def test_the_wheel_of_the_daemon_is_in_the_layer(layer: Layer, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(WHEEL.read_bytes()).hexdigest()
    (installed,) = ROOT.glob(
        "target/wheel-check/lib/python*/site-packages/infinity_runtime-*/direct_url.json"
    )
    of_daemon = json.loads(installed.read_text())["archive_info"]["hashes"]["sha256"]
    assert layer.manifest.wheel_sha256 == digest == of_daemon
    with capsys.disabled():
        print(f"\n{WHEEL.name}: sha256 {digest}, in the layer and under the demo's daemon")


def test_the_layer_is_well_within_the_limits(layer: Layer) -> None:
    assert layer.zipped < DIRECT_UPLOAD / 2
    assert layer.unpacked < UNPACKED / 3


async def test_a_slice_runs_from_the_layer_where_nothing_else_is(layer: Layer, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benches"))
    from cloud import said, stand_ins

    async with stand_ins(tmp_path) as made:
        trial = Trial(layer.path, event=said("t"), code=made.task, environment=made.environment)
        found = await asyncio.to_thread(check, trial)
        (reply,) = made.aws.sqs.queue(made.environment["INFINITY_OUTPUT_QUEUE"]).messages()
    assert (found.answer, found.problem, found.uncompiled) == ({"batchItemFailures": []}, None, ())
    assert json.loads(reply.body)["kind"] == "reply"
