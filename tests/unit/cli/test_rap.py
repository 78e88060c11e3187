"""``infinity rap``: what it says when a toolset cannot be loaded, and how an inspection ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.contract.rap_inspection.broken_server import BrokenServer
from tests.patience import PATIENCE

from infinity.cli.main import infinity

QUICKLY = ["--patience", "20"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(infinity, ["rap", *arguments])


@contextmanager
def serving(fault: str = "") -> Iterator[str]:
    """A server on a loop of its own, for a command that runs another."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = BrokenServer(fault)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(20)
        yield server.base_url
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def test_a_server_that_keeps_the_protocol_ends_with_0() -> None:
    with serving() as url:
        found = run("inspect", url, *QUICKLY)
    assert found.exit_code == 0, found.output
    assert "it keeps the protocol" in found.output and "BROKEN" not in found.output


def test_a_broken_rule_ends_with_1_and_is_named() -> None:
    with serving("the id is another") as url:
        found = run("inspect", url, "--json")
        shown = run("inspect", url)
    assert found.exit_code == 1 and shown.exit_code == 1
    assert json.loads(found.stdout)["conforms"] is False
    assert "BROKEN  CB-2" in shown.output


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1), (["--strict", "--no-probe"], 0)])
def test_what_should_be_better_counts_only_when_asked_for(options: list[str], code: int) -> None:
    with serving("there is no cancel_tool_call") as url:
        found = run("inspect", url, *options)
    assert found.exit_code == code, found.output
    assert ("should  SRV-5" in found.output) is ("--no-probe" not in options)


def test_nothing_there_ends_with_4(unused_tcp_port: int) -> None:
    found = run("inspect", f"http://127.0.0.1:{unused_tcp_port}")
    assert found.exit_code == 4 and "is the tool server running?" in found.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect"],
        ["inspect", "nonsense"],
        ["inspect", "http://127.0.0.1:1", "--call", "x", "--arguments", "{"],
        ["inspect", "http://127.0.0.1:1", "--call", "x", "--arguments", "[]"],
        ["serve"],
        ["serve", "tools"],
        ["serve", ":tools"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


MODULES = {
    "raises.py": "raise OSError('no disk')",
    "lacks.py": "import not_there_at_all",
    "other.py": "from infinity.rap import Toolset\nkitchen = Toolset('k')\ntools = 5",
    "empty.py": "from infinity.rap import Toolset\ntools = Toolset('k')",
}


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("raises:tools", "OSError: no disk"),
        ("raises.py:tools", "OSError: no disk"),
        ("lacks:tools", "'not_there_at_all', which is not installed"),
        ("other:tools", "there is kitchen"),
        ("other.py:nothing", "there is kitchen"),
        ("empty:tools", "no tools"),
        ("missing:tools", "there is no module 'missing'"),
        ("missing.py:tools", "there is no file missing.py"),
    ],
)
def test_a_toolset_that_cannot_be_served_is_told_in_one_line(where: str, words: str, tmp_path: Path) -> None:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "infinity.cli", "rap", "serve", where, "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert words in ran.stderr and "Traceback" not in ran.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    import socket

    (tmp_path / "good.py").write_text(
        "from infinity.rap import Toolset\ntools = Toolset('k')\n@tools.tool\ndef f() -> None:\n    'F.'\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "infinity.cli", "rap", "serve", "good:tools", "--port", port]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert port in ran.stderr


@pytest.mark.parametrize("command", ["serve", "inspect"])
def test_its_commands_explain_themselves(command: str) -> None:
    found = run(command, "--help")
    assert found.exit_code == 0 and "Example" in found.output
    assert "xit code" in found.output
