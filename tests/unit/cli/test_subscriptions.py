"""``infinity subscriptions`` against a real tool server: what is listed, and what cancelling ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE as SOON
from tests.unit.cli.conftest import prepared, process

POST_OFFICE = Path(__file__).parents[3] / "examples" / "tool_server.py"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A daemon that starts the post office of the examples."""
    made = prepared(
        tmp_path / "home", f"[toolsets.post]\ncommand = '{sys.executable}'\nargs = ['{POST_OFFICE}']\n"
    )
    started = process(made, "daemon", "start")
    assert started.returncode == 0, started.stderr
    yield made
    process(made, "daemon", "stop")
    process(made, "daemon", "stop", "--kill")


def listed(home: Path, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(process(home, "subscriptions", *arguments, "--json").stdout)[
        "subscriptions"
    ]
    return found


def wait_for(home: Path, thread: str, count: int) -> list[dict[str, object]]:
    deadline = time.monotonic() + SOON
    while len(found := listed(home, thread)) != count:
        assert time.monotonic() < deadline, process(home, "show", thread).stdout
    return found


@pytest.mark.rap("SUB-7", "RES-4")
def test_subscriptions_are_listed_explained_and_ended(home: Path) -> None:
    thread = json.loads(
        process(home, "send", "--new", '/call watch {"parcel": "P1"}', "--title", "parcels", "--json").stdout
    )["thread"]
    (found,) = wait_for(home, thread, 1)
    assert (found["tool"], found["thread"], found["arguments"]) == ("watch", thread, {"parcel": "P1"})
    call_id = str(found["call_id"])
    shown = process(home, "subscriptions").stdout
    assert "watch" in shown and call_id in shown and "parcels" in shown
    assert "infinity subscriptions cancel" in shown
    explained = process(home, "show", thread).stdout
    assert "it listens for events of watch (parcels)" in explained
    assert f"infinity subscriptions cancel {call_id}" in explained
    ended = process(home, "subscriptions", "cancel", call_id)
    assert ended.returncode == 0 and "no further events of watch" in ended.stdout
    wait_for(home, thread, 0)
    assert process(home, "subscriptions").stdout == "no active subscriptions\n"
    assert process(home, "subscriptions", "cancel", call_id).returncode == 4
