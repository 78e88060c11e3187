"""Commands against a running daemon: what they print, for people and for scripts, and how they end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import Result
from tests.patience import PATIENCE as SOON
from tests.unit.cli.conftest import Run

from infinity.cli.connection import Connection
from infinity.cli.threads import _listed


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def new(run: Run, text: str = "hello") -> str:
    return str(parsed(run("send", "--new", text, "--json"))["thread"])


def settled(run: Run, thread: str, text: str) -> Any:
    """Wait until the agent has said this."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        found = parsed(run("show", thread, "--json"))
        if any(text in str(entry["assistant"]) for entry in found["entries"]):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the agent never said {text!r}")


def test_a_message_begins_a_thread_and_is_answered(run: Run) -> None:
    thread = new(run, "how do you do")
    found = settled(run, thread, "how do you do")
    assert found["id"] == thread and found["explanation"]["state"] in ("idle", "running")
    shown = run("show", thread)
    assert shown.exit_code == 0 and "user   how do you do" in shown.output and "agent" in shown.output


def test_sending_twice_under_one_key_is_one_message(run: Run) -> None:
    thread = new(run)
    outcomes = [parsed(run("send", thread, "again", "--key", "k1", "--json"))["status"] for _ in range(2)]
    assert outcomes == ["accepted", "duplicate"]
    first, second = (parsed(run("send", "--new", "same", "--key", "k2", "--json")) for _ in range(2))
    assert first["thread"] == second["thread"] and second["status"] == "duplicate"


def test_a_message_is_read_from_standard_input(run: Run) -> None:
    thread = parsed(run("send", "--new", "-", "--json", input="from a pipe\n"))["thread"]
    settled(run, thread, "from a pipe")
    assert run("send", thread, input="more\n").output.startswith("accepted: ")


def test_threads_are_listed(run: Run) -> None:
    new(run)
    thread = parsed(run("send", "--new", "x", "--title", "A title\nof two lines", "--json"))["thread"]
    listed = run("threads")
    assert listed.exit_code == 0 and thread in listed.output and "A title of two lines" in listed.output
    first_page = parsed(run("threads", "--limit", "1", "--json"))
    assert len(first_page["threads"]) == 1 and first_page["next"]
    assert (
        parsed(run("threads", "--limit", "1", "--after", first_page["next"], "--json"))["threads"]
        != first_page["threads"]
    )


@pytest.mark.trap("B8")
def test_controls_say_what_became_of_them(run: Run) -> None:
    thread = new(run)
    for action in ("interrupt", "stop", "resume"):
        assert run(action, thread).output == f"accepted: {action} {thread}\n"
    assert parsed(run("close", thread, "--report", "enough", "--json"))["status"] == "accepted"
    deadline = time.monotonic() + SOON
    while parsed(run("show", thread, "--json"))["status"] != "closed":
        assert time.monotonic() < deadline
    refused = run("send", thread, "too late")
    assert refused.exit_code == 5 and "closed" in refused.output
    assert thread not in run("threads").output and thread in run("threads", "--all").output


def test_tail_ends_after_so_many_events_and_resumes_by_cursor(run: Run) -> None:
    thread = new(run)
    settled(run, thread, "hello")
    lines = [
        json.loads(line)
        for line in run(
            "tail", thread, "--after", "-1", "--durable", "--count", "3", "--json"
        ).output.splitlines()
    ]
    assert [line["cursor"] for line in lines] == [0, 1, 2]
    rest = run("tail", thread, "--after", "0", "--durable", "--count", "2", "--json").output.splitlines()
    assert [json.loads(line) for line in rest] == lines[1:]
    assert "entry" in run("tail", thread, "--after", "-1", "--count", "1").output


def test_tools_show_servers_and_their_problems(run: Run) -> None:
    [gone] = parsed(run("tools", "--json"))["toolsets"]
    assert gone["name"] == "gone" and gone["tools"] == []
    assert "cannot reach" in run("tools").output


def test_the_doctor_says_what_is_wrong_and_ends_with_1(run: Run) -> None:
    found = run("doctor")
    assert found.exit_code == 1 and "tool server gone" in found.output and "the daemon runs" in found.output
    report = run("doctor", "--json")
    assert report.exit_code == 1 and any(
        "gone" in problem for problem in json.loads(report.stdout)["problems"]
    )


def test_the_doctor_explains_a_waiting_thread(run: Run) -> None:
    thread = new(run, "sleep 3600")
    deadline = time.monotonic() + SOON
    while "sleeps" not in str(parsed(run("show", thread, "--json"))["explanation"]):
        assert time.monotonic() < deadline
    found = run("doctor")
    assert thread in found.output and "the agent sleeps, until " in found.output


def test_daemon_status_is_for_people_and_for_scripts(run: Run, home: Path) -> None:
    found = parsed(run("daemon", "status", "--json"))
    assert found["home"] == str(home) and found["status"] == "ok" and found["pid"] > 0
    assert f"pid {found['pid']} at {found['address']}" in run("daemon", "status").output
    assert "it runs already" in run("daemon", "start").output


def test_a_home_can_be_named_before_or_after_the_command(run: Run, away: Path) -> None:
    assert run("--home", str(away), "threads").exit_code == 3
    assert run("threads", "--home", str(away)).exit_code == 3
    assert run("daemon", "status", "--home", str(away)).exit_code == 3
    assert run("threads").exit_code == 0


NOT_FOUND = [
    ("show", "nobody"),
    ("tail", "nobody"),
    ("send", "nobody", "hello"),
    ("interrupt", "nobody"),
    ("close", "nobody"),
    ("choose", "nobody", "0"),
    ("show", "no such id"),
    ("show", "../../etc"),
]


@pytest.mark.parametrize("arguments", NOT_FOUND, ids=" ".join)
def test_what_is_not_there_ends_with_4(run: Run, arguments: tuple[str, ...]) -> None:
    found = run(*arguments)
    assert found.exit_code == 4 and found.output.startswith("infinity: ") and found.output.count("\n") == 1


USAGE = [
    ("send",),
    ("send", "t", ""),
    ("send", "--new", "  "),
    ("send", "t", "x", "--title", "y"),
    ("threads", "--limit", "0"),
    ("threads", "--status", "happy"),
    ("show",),
    ("choose", "t"),
    ("choose", "t", "p", "first"),
    ("choose", "t", "p", "1", "2"),
    ("choose", "t", "p", "0", "--arguments", "{"),
    ("choose", "t", "p", "0", "--arguments", "[1]"),
    ("chat", "t", "--new"),
    ("tail", "t", "--count", "0"),
    ("daemon", "jump"),
    ("threads", "--nonsense"),
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


REFUSED = [
    ("send", "--new", "x", "--model", "no-such-model"),
    ("send", "{thread}", "x", "--key", "a b"),
    ("send", "{thread}", "x", "--user", "a\u202eb"),
]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_the_daemon_refuses_ends_with_5(run: Run, arguments: tuple[str, ...]) -> None:
    thread = new(run)
    found = run(*(argument.format(thread=thread) for argument in arguments))
    assert found.exit_code == 5 and found.output.startswith("infinity: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("threads",),
        ("show", "t"),
        ("send", "t", "x"),
        ("tail", "t"),
        ("tools",),
        ("daemon", "status"),
        ("daemon", "stop"),
        ("interrupt", "t"),
        ("choose", "t", "0"),
    ],
    ids=" ".join,
)
def test_without_a_daemon_commands_end_with_3_and_say_how_to_start_one(
    run: Run, away: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("INFINITY_HOME", str(away))
    monkeypatch.setattr("infinity.cli.stream.PATIENCE", 0.0)
    found = run(*arguments)
    assert (found.exit_code == 3 and "no daemon" in found.output) or "infinity daemon start" in found.output


def test_the_doctor_works_without_a_daemon(run: Run, away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_HOME", str(away))
    monkeypatch.chdir(away)
    found = run("doctor")
    assert found.exit_code == 0 and "nothing is wrong" in found.output
    with (away / "infinity.toml").open("a") as text:
        text.write("nonsense = 1\n")
    away.chmod(0o755)
    found = run("doctor")
    assert (
        found.exit_code == 1
        and "chmod 700" in found.output
        and "unknown setting [" in found.output
        and "] nonsense" in found.output
    )
    away.chmod(0o700)


def test_the_doctor_proposes_a_repair_only_of_what_is_there(
    run: Run, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_HOME", str(away))
    monkeypatch.chdir(away)
    (away / "infinity.db.mark").write_text("clean\n")
    found = run("doctor")
    assert found.exit_code == 1 and "is gone" in found.output and "--repair" not in found.output, found.output
    repaired = run("doctor", "--repair")
    assert repaired.exit_code == 1 and "bring it back, or restore a backup" in repaired.output, (
        repaired.output
    )
    assert not (away / "infinity.db.lock").exists()


@pytest.mark.trap("S13")
def test_a_file_is_shown_with_everything_in_it_before_it_is_trusted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "infinity.toml").write_text(
        "# \u202ehidden \x9b8m\tand \u200bmore \u2028\n[toolsets]\n", encoding="utf-8"
    )
    shown = run("trust", str(tmp_path), input="n\n").output
    assert "  # \\u202ehidden \\u009b8m\tand \\u200bmore \\u2028\n" in shown and not {"\u202e", "\x9b"} & set(
        shown
    )
    (tmp_path / "infinity.toml").write_text("# \x1b[8mhidden\n[toolsets]\n")
    refused = run("trust", str(tmp_path), input="y\n")
    assert refused.exit_code == 5 and "not valid TOML" in refused.output and "\x1b" not in refused.output


def test_trust_asks_first_and_can_be_withdrawn(
    run: Run, away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFINITY_HOME", str(away))
    project = tmp_path / "project"
    project.mkdir()
    assert run("trust", str(project)).exit_code == 4
    (project / "infinity.toml").write_text("[toolsets.x]\ncommand = 'rm'\n")
    refused = run("trust", str(project), input="n\n")
    assert refused.exit_code == 1 and "command = 'rm'" in refused.output
    monkeypatch.chdir(project)
    assert "is not used: you have not said that you trust it" in run("doctor").output
    assert run("trust", str(project), input="y\n").exit_code == 0
    assert "trusted" in run("trust", str(project / "infinity.toml")).output
    assert "not trusted any more" in run("trust", str(project), "--withdraw").output


@pytest.mark.trap("G3")
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_open_root_threads_are_found_behind_any_number_of_others(limit: int) -> None:
    rows = [
        {
            "id": f"t{n}",
            "updated_at": n,
            "status": "closed" if n % 5 else ("idle", "waiting", "stopped")[n % 3],
            "parent": None if n % 2 else "p",
        }
        for n in reversed(range(100))
    ]

    class Pages:
        def get(self, _: str, *, limit: int, after: str | None, status: str) -> object:
            assert status != "closed", "nobody asked for those"
            before = int(after.partition(":")[0]) if after is not None else 1000
            found = [row for row in rows if row["status"] == status and int(str(row["updated_at"])) < before]
            page = found[: min(limit, 9)]
            more = len(page) < len(found)
            return {"threads": page, "next": f"{page[-1]['updated_at']}:{page[-1]['id']}" if more else None}

    wanted = [row["id"] for row in rows if row["status"] != "closed" and row["parent"] is None]
    found: list[object] = []
    after: str | None = None
    while True:
        page = _listed(cast(Connection, Pages()), limit, after, False)
        assert len(page["threads"]) <= limit
        found += [row["id"] for row in page["threads"]]
        after = page["next"]
        if after is None:
            break
    assert found == wanted


@pytest.mark.trap("G7")
def test_a_conversation_is_deleted_after_a_question_or_without_one(run: Run) -> None:
    thread = new(run, "a text that is to go")
    settled(run, thread, "a text that is to go")
    kept = run("delete", thread, input="n\n")
    assert kept.exit_code == 1 and f"Delete {thread}" in kept.stderr
    assert run("show", thread).exit_code == 0
    asked = run("delete", thread, input="y\n")
    assert asked.exit_code == 0 and asked.stdout.splitlines()[-1] == f"{thread} is deleted"
    again = run("delete", thread, "--yes")
    assert (again.exit_code, run("show", thread).exit_code) == (4, 4) and "was deleted" in again.stderr
    assert run("send", thread, "still there?").exit_code == 4
    other = new(run)
    deleted = parsed(run("delete", other, "--yes", "--json"))
    assert deleted["id"] == other and deleted["deleted_at"] > 0
    assert run("delete", "nobody", "--yes").exit_code == 4


NO_IDS = [
    "thread_1?x",
    "thread_1/subscriptions/call_1",
    "a#b",
    "a\nb",
    "",
    ".",
    "../x",
    "a b",
    "é",
    "x" * 129,
]


@pytest.mark.trap("S2")
@pytest.mark.parametrize("id", NO_IDS)
@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["delete", "--yes"],
        ["close"],
        ["resume"],
        ["export"],
        ["tail"],
        ["chat"],
        ["choose", "--dismiss"],
        ["send"],
    ],
    ids=lambda words: words[0],
)
def test_what_is_no_id_names_no_thread_and_reaches_no_address(run: Run, words: list[str], id: str) -> None:
    found = run(*words, "--", id, *(["hello"] if words == ["send"] else []))
    assert found.exit_code == 4
    assert "not found" in found.output and "Traceback" not in found.output


def test_an_id_with_more_behind_it_deletes_nothing(run: Run) -> None:
    thread = new(run)
    assert run("delete", f"{thread}?x", "--yes").exit_code == 4
    assert run("show", thread).exit_code == 0


def test_a_child_is_refused_before_anybody_is_asked(run: Run) -> None:
    thread = new(run, '/call spawn_thread {"instructions": "wait"}')
    deadline, children = time.monotonic() + SOON, []
    while not children and time.monotonic() < deadline:
        children = [
            row["id"]
            for row in parsed(run("threads", "--all", "--json"))["threads"]
            if row["parent"] == thread
        ]
        time.sleep(0.02)
    refused = run("delete", children[0])
    assert refused.exit_code == 5 and thread in refused.output and "for good?" not in refused.output


def test_without_an_answer_nothing_is_deleted_and_the_option_is_named(run: Run) -> None:
    thread = new(run)
    left = run("delete", thread, input="")
    assert left.exit_code == 1 and "--yes" in left.output
    assert run("show", thread).exit_code == 0
