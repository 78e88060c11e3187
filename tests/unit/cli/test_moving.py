"""``infinity export``, ``import`` and ``migrate`` between two real daemons, and what their users are told."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run, prepared, process
from tests.unit.cli.test_commands import new, parsed, settled


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Another home whose daemon runs, and its address."""
    made = prepared(tmp_path_factory.mktemp("other") / "home")
    started = process(made, "daemon", "start", "--json")
    assert started.returncode == 0, started.stderr
    yield made, json.loads(started.stdout)["address"]
    process(made, "daemon", "stop")


@pytest.mark.rap("MIG-2")
def test_a_conversation_moves_with_one_command(run: Run, other: tuple[Path, str]) -> None:
    home, address = other
    thread = new(run, "remember the milk")
    settled(run, thread, "remember the milk")
    moved = run("migrate", thread, "--to", address, "--token-file", str(home / "token"))
    assert moved.exit_code == 0 and f"live at {address} now" in moved.output
    gone = run("send", thread, "hello")
    assert gone.exit_code == 5 and f"has moved to {address}" in gone.output
    assert parsed(run("send", thread, "are you there", "--home", str(home), "--json"))["status"] == "accepted"
    assert "remember the milk" in run("show", thread, "--home", str(home)).output


def test_a_move_that_fails_says_so_and_leaves_the_conversation(run: Run) -> None:
    thread = new(run)
    settled(run, thread, "hello")
    failed = run("migrate", thread, "--to", "http://127.0.0.1:1", "--token", "x")
    assert failed.exit_code == 5 and f"Nothing has moved: {thread} goes on here" in failed.output
    assert run("send", thread, "still here").output.startswith("accepted: ")
    assert run("migrate", thread, "--to", "http://127.0.0.1:1").exit_code == 2


def test_a_conversation_travels_as_a_file(run: Run, other: tuple[Path, str], tmp_path: Path) -> None:
    home, _ = other
    thread = new(run, "in a bottle")
    settled(run, thread, "in a bottle")
    file = tmp_path / "bottle.infinity"
    exported = run("export", thread, str(file))
    assert exported.exit_code == 0 and f"infinity import {file}" in exported.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "out of service here" in run("show", thread).output
    assert run("export", thread, str(file)).exit_code == 1, "it would overwrite a file"
    imported = run("import", str(file), "--home", str(home))
    assert imported.output == f"{thread} lives here now\n"
    assert "in a bottle" in run("show", thread, "--home", str(home)).output
    again = run("import", str(file), "--home", str(home))
    assert again.exit_code == 5 and "here already" in again.output
    back = tmp_path / "back.infinity"
    assert run("export", thread, str(back), "--home", str(home)).exit_code == 0
    returned = run("import", str(back))
    assert returned.exit_code == 0 and "taken the place of the older copy" in returned.output
    assert run("export", thread, str(tmp_path / "again.infinity")).exit_code == 0
    older = run("import", str(file))
    assert older.exit_code == 5 and f"{file}: the file is older" in older.output


def test_a_copy_is_called_one_and_garbage_by_its_name(
    run: Run, other: tuple[Path, str], tmp_path: Path
) -> None:
    home, _ = other
    thread = new(run)
    settled(run, thread, "hello")
    copy = tmp_path / "copy.infinity"
    assert run("export", thread, str(copy), "--keep").exit_code == 0
    imported = run("import", str(copy), "--home", str(home))
    assert imported.exit_code == 0 and f"{copy} is a copy" in imported.output
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"garbage " * 1_000)
    refused = run("import", str(garbage))
    assert refused.exit_code == 5 and f"{garbage}: the file cannot be imported" in refused.output
    assert ".moving" not in refused.output


def test_an_export_can_be_undone_and_a_copy_changes_nothing(run: Run, tmp_path: Path) -> None:
    thread = new(run)
    settled(run, thread, "hello")
    assert parsed(run("export", thread, str(tmp_path / "copy"), "--keep", "--json"))["kept"] is True
    assert run("send", thread, "one").exit_code == 0
    assert run("export", thread, str(tmp_path / "away")).exit_code == 0
    assert run("send", thread, "two").exit_code == 5
    assert run("export", thread, "--undo").output == f"{thread} is in service here again\n"
    assert run("send", thread, "three").exit_code == 0
    assert run("export", "nobody", str(tmp_path / "nobody")).exit_code == 4
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
