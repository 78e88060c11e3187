"""The daemon as processes: background start, stop, crash, second start; and what each of them says."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE as SOON
from tests.unit.cli.conftest import command, environment, prepared, process
from tests.unit.local.test_servers import SERVER


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = prepared(tmp_path / "home")
    yield made
    # In order first, so that it ends the tool servers that it started; a daemon that is killed leaves them to the next one.
    process(made, "daemon", "stop")
    process(made, "daemon", "stop", "--kill")


def state(home: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(process(home, "daemon", "status", "--json").stdout)
    return found


def test_it_starts_in_the_background_serves_and_stops(home: Path) -> None:
    started = process(home, "daemon", "start")
    assert started.returncode == 0 and "started the daemon in the background" in started.stderr
    assert "scripted model answers" in started.stderr, "the choice that was made for the user is said"
    origin = state(home)["address"]
    assert f"the console is at {origin}; open it with 'infinity console'" in started.stderr
    pid = int(str(state(home)["pid"]))
    assert os.getsid(pid) == pid, "it outlives the terminal that started it"
    assert os.readlink(f"/proc/{pid}/cwd") == str(home)
    stopped = process(home, "daemon", "stop")
    assert stopped.returncode == 0 and f"pid {pid}" in stopped.stdout
    assert process(home, "daemon", "status").returncode == 3
    assert process(home, "daemon", "stop").returncode == 3
    assert not (home / "daemon.json").exists()


@pytest.mark.trap("B7")
def test_many_starts_at_once_make_one_daemon(home: Path) -> None:
    starts = [
        subprocess.Popen(
            command("daemon", "start"),
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    outcomes = [(start.communicate(timeout=60), start.returncode) for start in starts]
    assert [code for _, code in outcomes].count(0) >= 1
    pid = str(state(home)["pid"])
    for (_, said), code in outcomes:
        assert code == 0 or "another daemon holds" in said
    listening = subprocess.run(
        ["pgrep", "-f", f"daemon run --home {home}"], capture_output=True, text=True, check=False
    )
    assert listening.stdout.split() == [pid]


def test_a_second_daemon_in_the_foreground_is_refused_with_who_holds_the_home(home: Path) -> None:
    process(home, "daemon", "start")
    second = process(home, "daemon", "run")
    assert second.returncode == 5
    assert second.stderr.startswith(
        f"infinity: another daemon holds {home}: pid {state(home)['pid']} at http://127.0.0.1:"
    )


def test_a_port_in_use_is_said_by_the_one_who_asked_for_the_start(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (home / "infinity.toml").write_text(f"[daemon]\nport = {other.getsockname()[1]}\n")
        started = process(home, "daemon", "start")
    assert (
        started.returncode == 1
        and "is in use by another program" in started.stderr
        and "[daemon] port" in started.stderr
    )


def test_a_wrong_setting_is_said_by_the_one_who_asked_for_the_start(home: Path) -> None:
    (home / "infinity.toml").write_text("[daemon]\nprot = 1\n")
    for arguments in (("daemon", "start"), ("daemon", "run")):
        found = process(home, *arguments)
        assert (
            found.returncode == 1
            and "did you mean [daemon] port?" in found.stderr
            and "Traceback" not in found.stderr
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(home: Path, number: signal.Signals) -> None:
    running = subprocess.Popen(
        command("daemon", "run"), env=environment(home), cwd=home, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    line = ""
    while "infinity: listening at" not in line:
        line = running.stderr.readline()
        assert line, "it ended before it listened"
    running.send_signal(number)
    assert running.wait(SOON) == 0
    assert process(home, "daemon", "status").returncode == 3


@pytest.mark.trap("L15")
def test_after_a_kill_everything_goes_on_and_a_tool_server_is_not_interrupted(
    home: Path, tmp_path: Path
) -> None:
    with_tool_server(home, tmp_path)
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "/call build {}", "--json").stdout)["thread"]
    pid = _built_by(home, thread, 1)
    os.kill(int(str(state(home)["pid"])), signal.SIGKILL)
    deadline = time.monotonic() + SOON
    while process(home, "daemon", "status").returncode != 3:
        assert time.monotonic() < deadline
    os.kill(pid, 0)
    assert process(home, "daemon", "start").returncode == 0
    process(home, "send", thread, "/call build {}")
    assert _built_by(home, thread, 2) == pid
    process(home, "daemon", "stop")
    assert (
        not Path(f"/proc/{pid}").exists()
        or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    )


def with_tool_server(home: Path, directory: Path) -> None:
    script = directory / "server.py"
    script.write_text(SERVER)
    with (home / "infinity.toml").open("a") as text:
        text.write(f"[toolsets.ci]\ncommand = '{sys.executable}'\nargs = ['{script}', '{{port}}']\n")


@pytest.mark.rap("DISC-9")
def test_a_question_is_answered_from_the_command_line(home: Path, tmp_path: Path) -> None:
    with_tool_server(home, tmp_path)
    with (home / "infinity.toml").open("a") as text:
        text.write("[policy]\ndefault = 'ask'\n")
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "/call build {}", "--json").stdout)["thread"]
    prompts = _prompts(home, thread)
    shown = process(home, "show", thread).stdout
    assert (
        "? Infinity asks: Allow build with {}?" in shown
        and "0: Allow" in shown
        and f"infinity choose {thread} {prompts[0]['id']} INDEX" in shown
    )
    inbox = process(home, "prompts").stdout
    assert (
        f"in {thread} /call build" in inbox and f"infinity choose {thread} {prompts[0]['id']} INDEX" in inbox
    )
    (listed,) = json.loads(process(home, "prompts", "--json").stdout)["prompts"]
    assert (listed["tool"], listed["arguments"]) == ("build", {})
    assert process(home, "choose", thread, "7").returncode == 5
    chosen = process(home, "choose", thread, "0", "--json")
    assert json.loads(chosen.stdout)["status"] == "accepted"
    assert _built_by(home, thread, 1) > 0
    assert process(home, "prompts").stdout == "nobody is asked anything\n"
    assert process(home, "choose", thread, "0").returncode == 4


def test_a_chat_answers_questions_by_their_number(home: Path, tmp_path: Path) -> None:
    with_tool_server(home, tmp_path)
    with (home / "infinity.toml").open("a") as text:
        text.write("[policy]\ndefault = 'ask'\n")
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "/call build {}", "--json").stdout)["thread"]
    assert _prompts(home, thread)
    chat = process(home, "chat", thread, input="0\n")
    assert chat.returncode == 0 and "? Infinity asks: Allow build with {}?" in chat.stdout
    assert _built_by(home, thread, 1) > 0


def _prompts(home: Path, thread: str) -> list[Any]:
    deadline = time.monotonic() + SOON
    while not (prompts := (shown := json.loads(process(home, "show", thread, "--json").stdout))["prompts"]):
        assert time.monotonic() < deadline, shown
    return list(prompts)


def _built_by(home: Path, thread: str, times: int) -> int:
    """Wait for the tool's result of that number; the pid in it."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        entries = json.loads(process(home, "show", thread, "--json").stdout)["entries"]
        results = [entry for entry in entries if entry["kind"] == "result"]
        if len(results) >= times:
            return int(str(results[-1]["user"]).rpartition("built by ")[2].split("'")[0])
    raise AssertionError(f"no result came: {entries}")


def test_the_log_can_be_json(home: Path) -> None:
    with (home / "infinity.toml").open("a") as text:
        text.write("[log]\nformat = 'json'\n")
    process(home, "daemon", "start")
    process(home, "daemon", "stop")
    lines = [json.loads(line) for line in (home / "daemon.log").read_text().splitlines()]
    assert lines[-1]["message"] == "stopped" and {"at", "level", "logger"} <= set(lines[0])
    assert (home / "daemon.log").stat().st_mode & 0o077 == 0


def test_a_damaged_database_is_repaired_on_demand(home: Path) -> None:
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "remember me", "--json").stdout)["thread"]
    process(home, "daemon", "stop")
    database = home / "infinity.db"
    data = bytearray(database.read_bytes())
    data[0:16] = b"not a database!!"
    database.write_bytes(data)
    started = process(home, "daemon", "start")
    assert started.returncode == 1 and "infinity.db" in started.stderr
    examined = process(home, "doctor")
    assert examined.returncode == 1 and "infinity doctor --repair" in examined.stdout
    repaired = process(home, "doctor", "--repair")
    assert "was repaired" in repaired.stdout and "lost: the first page" in repaired.stdout, repaired.stdout
    assert repaired.returncode == 0, "nothing is wrong any more"
    afterwards = process(home, "doctor")
    assert afterwards.returncode == 0 and "was last repaired" in afterwards.stdout, afterwards.stdout
    assert "lost: the first page" in afterwards.stdout, "what was lost is said later, too"
    assert process(home, "daemon", "start").returncode == 0
    running = process(home, "doctor")
    assert running.returncode == 0 and "the database was last repaired" in running.stdout, running.stdout
    assert "lost: the first page" in running.stdout
    assert process(home, "show", thread).returncode == 0


@pytest.mark.trap("L23")
def test_a_database_that_opens_is_examined_and_repaired_when_asked(home: Path) -> None:
    process(home, "daemon", "start")
    thread = json.loads(process(home, "send", "--new", "remember me", "--json").stdout)["thread"]
    running = process(home, "doctor")
    process(home, "daemon", "stop")
    assert running.returncode == 0, running.stdout
    before = {file: file.read_bytes() for file in home.iterdir()}
    examined = process(home, "doctor")
    assert examined.returncode == 0 and "every row and every checksum" in examined.stdout
    assert {file: file.read_bytes() for file in home.iterdir()} == before, "an examination changed something"
    repaired = process(home, "doctor", "--repair")
    assert repaired.returncode == 0 and "nothing was lost" in repaired.stdout, repaired.stdout
    assert (home / "infinity.db.damaged-1").exists()
    database = sqlite3.connect(home / "infinity.db")
    with database:
        database.execute("delete from entries where place = (select max(place) from entries)")
    database.close()
    assert "entries is missing" in process(home, "doctor").stdout
    process(home, "daemon", "start")
    running = process(home, "doctor")
    assert running.returncode == 1 and "entries is missing" in running.stdout, running.stdout
    process(home, "daemon", "stop")
    repaired = process(home, "doctor", "--repair")
    assert "goes on: a note stands in place of 1 entry" in repaired.stdout, repaired.stdout
    offline = process(home, "doctor")
    assert offline.returncode == 1 and f"thread {thread}: " in offline.stdout, "without a daemon, too"
    process(home, "daemon", "start")
    assert process(home, "doctor").returncode == 1, "the loss is a problem of the thread"
    assert "of this thread was lost" in process(home, "show", thread).stdout


@pytest.mark.rap("RUN-3")
@pytest.mark.trap("L1")
def test_when_no_more_can_be_written_nothing_is_accepted_and_nothing_accepted_is_lost(home: Path) -> None:
    """The process may not make files larger than 1 MiB: for the journal as good as a full disk."""
    limit = (1 << 20, 1 << 20)
    running = subprocess.Popen(
        command("daemon", "run"),
        env=environment(home),
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert running.stderr is not None
    while "infinity: listening at" not in running.stderr.readline():
        assert running.poll() is None
    thread = json.loads(process(home, "send", "--new", "first", "--json").stdout)["thread"]
    accepted, refused = [], None
    for number in range(60):
        sent = process(home, "send", thread, "-", "--key", f"k{number}", input="x" * 100_000)
        if sent.returncode != 0:
            refused = sent
            break
        accepted.append(f"message.k{number}")
    assert refused is not None and refused.returncode == 1, "it is no fault of the request"
    assert accepted and "Traceback" not in refused.stderr
    assert process(home, "show", thread, "--last", "1").returncode == 0, "reading goes on"
    running.kill()
    running.communicate()
    process(home, "daemon", "start")
    deadline = time.monotonic() + SOON
    missing = set(accepted)
    while missing:
        assert time.monotonic() < deadline, f"accepted and lost: {missing}"
        entries = json.loads(process(home, "show", thread, "--last", "1000", "--json").stdout)["entries"]
        missing -= {entry["meta"].get("message_id") for entry in entries}
