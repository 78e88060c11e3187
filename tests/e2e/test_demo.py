"""``infinity demo``, as a user runs it; and that its verdict would be another one if anything were lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infinity.demo.tally import Tally


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    command = [sys.executable, "-m", "infinity.cli", "demo", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.slow
@pytest.mark.trap("L1", "L3", "L4", "L15", "L19")
def test_the_demo_survives_a_kill_and_its_counts_add_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ran = run_demo("--home", str(home))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    assert "\x1b[" not in ran.stdout, "colours belong on a terminal"
    verdict = ran.stdout.splitlines()[-1]
    found = re.fullmatch(
        r"messages in (\d+) · history entries (\d+) · duplicates dropped (\d+) · lost (\d+)", verdict
    )
    assert found is not None, verdict
    messages, entries, duplicates, lost = map(int, found.groups())
    assert (messages, duplicates, lost) == (8, 3, 0)
    assert entries > messages - duplicates
    for line in ("0 context switches", "kill -9", "started again", "Pull request #2", "1 failed"):
        assert line in ran.stdout
    assert (home / "daemon" / "infinity.db").exists()


def test_the_demo_does_not_touch_a_directory_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ran = run_demo("--home", str(tmp_path))
    assert ran.returncode == 1
    assert "is not empty" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_real_model_without_a_key_is_refused_before_anything_starts() -> None:
    ran = run_demo("--model", "anthropic")
    assert ran.returncode == 1
    assert "ANTHROPIC_API_KEY" in ran.stderr


# -- the verdict


def user(text: str) -> dict[str, Any]:
    return {"kind": "user", "user": [{"type": "text", "text": text}], "meta": {}}


def result(call: str, kind: str = "result") -> dict[str, Any]:
    return {"kind": kind, "user": [], "meta": {"call_id": call, "tool": "run_tests"}}


def event(name: str) -> dict[str, Any]:
    return {"kind": "event", "user": [], "meta": {"call_id": "call_2", "message_id": f"event:call_2:{name}"}}


HISTORY = [user("Hello."), result("call_1", "event"), result("call_2"), event("delivery_1")]


def tally(entries: list[dict[str, Any]]) -> Tally:
    return Tally(
        said=[("key_1", "Hello."), ("key_1", "Hello.")],
        results=["call_1", "call_1", "call_1", "call_2"],
        events=["delivery_1"],
        entries=entries,
    )


def test_a_complete_history_is_counted_as_complete() -> None:
    counted = tally(HISTORY)
    assert (counted.messages_in, counted.duplicates, counted.lost, counted.repeated) == (7, 3, 0, 0)


@pytest.mark.parametrize("missing", range(len(HISTORY)))
def test_whatever_is_missing_in_history_is_counted_as_lost(missing: int) -> None:
    assert tally(HISTORY[:missing] + HISTORY[missing + 1 :]).lost == 1


@pytest.mark.parametrize("twice", range(len(HISTORY)))
def test_whatever_is_in_history_twice_is_counted_as_repeated(twice: int) -> None:
    counted = tally([*HISTORY, HISTORY[twice]])
    assert counted.repeated == 1
    assert "applied twice 1" in counted.line()


def test_a_placeholder_is_no_result() -> None:
    placeholder = {"kind": "result", "user": [], "meta": {}}
    assert tally([HISTORY[0], placeholder, *HISTORY[2:]]).lost == 1
