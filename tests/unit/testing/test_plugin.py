"""The pytest plugin, in a pytest of its own, as a user of the package runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = "infinity.testing.plugin"

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


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # By its entry point where the package was installed since it has one, else by name.
    installed = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"),
            *([] if installed else ["-p", PLUGIN]),
            *arguments,
        ],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_gets_a_kit_and_replays_what_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TEST)
    unrecorded = run(tmp_path)
    assert "1 passed, 1 error" in unrecorded.stdout, unrecorded.stdout
    assert "there is no recording" in unrecorded.stdout
    recorded = run(tmp_path, "--infinity-record", "scripted/default")
    assert "2 passed" in recorded.stdout, recorded.stdout + recorded.stderr
    assert (tmp_path / "recordings" / "test_mine.test_recorded.jsonl").exists()
    assert "2 passed" in run(tmp_path).stdout


@pytest.mark.parametrize("heavy", ["aiohttp", "infinity.runtime", "infinity._core", "pydantic"])
def test_the_plugin_costs_a_test_run_that_does_not_use_it_nothing(heavy: str) -> None:
    code = f"import sys, {PLUGIN}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
