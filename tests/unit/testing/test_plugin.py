"""The pytest plugin, in a pytest of its own, as a user of the package runs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.e2e.user_pytest import run_pytest

from infinity.testing import plugin

TEST = """
from infinity.testing import Script

async def test_kit(infinity_kit):
    async with infinity_kit(model=Script().otherwise().say("Yes.")) as kit:
        chat = await kit.conversation(id="mine")
        assert await chat.ask("Well?") == "Yes."
    async with infinity_kit() as kit:
        assert await (await kit.conversation(id="mine")).said() == ["Yes."]

async def test_recorded(infinity_kit, infinity_recorded):
    async with infinity_kit(model=infinity_recorded) as kit:
        chat = await kit.conversation()
        assert "scripted model" in await chat.ask("Well?")
"""


def test_a_test_gets_a_kit_and_replays_what_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TEST)
    recorded = run_pytest(tmp_path, "--infinity-record", "scripted/default")
    assert "2 passed" in recorded.stdout, recorded.stdout + recorded.stderr
    assert (tmp_path / "recordings" / "test_mine.test_recorded.jsonl").exists()
    assert "2 passed" in run_pytest(tmp_path).stdout


@pytest.mark.parametrize("heavy", ["aiohttp", "infinity.runtime", "infinity._core", "pydantic"])
def test_the_plugin_costs_a_test_run_that_does_not_use_it_nothing(heavy: str) -> None:
    code = f"import sys, infinity.testing.plugin; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"infinity": plugin.__name__}
