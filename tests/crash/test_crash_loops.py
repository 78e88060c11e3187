"""A daemon that dies whenever its turn was paid for buys that turn a bounded number of times (I12). Counted at the model server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.daemon import Forks
from tests.crash.host import Host
from tests.crash.scenarios import ROOT

from infinity.models.script import Script
from infinity.testing.gates import GATE

COMPLETION, SLICES = 1, 2
DEATHS = 14


class _FewTries(Host):
    def _config(self) -> str:
        return f"{super()._config()}\n[retries]\ncompletion = {COMPLETION}\nslices = {SLICES}\n"


@pytest.mark.trap("R7")
@pytest.mark.parametrize("step", ["completed", "dispatched"])
async def test_a_crash_loop_behind_a_completion_ends_in_a_problem(
    step: str, tmp_path: Path, forks: Forks
) -> None:
    script = Script().otherwise().say("all done")
    async with _FewTries(tmp_path / "home", forks, script) as host:
        await host.keep(*[{GATE: f"{step}:1"}] * DEATHS)
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        problem = await root.noted("problem")
        assert "resume" in problem.data["text"].lower()
        await host.settled()
        assert len(host.model.bodies) == COMPLETION * (SLICES + 1)
        before = len(host.model.bodies)
        await host.request("POST", f"/v1/threads/{ROOT}/resume", key="resume-1")
        await host.settled()
        assert len(host.model.bodies) <= before + COMPLETION * (SLICES + 1) + 1, "resuming refills it once"
