"""``infinity cloud local``: a deployment in a process of its own, as a person starts and stops it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from tests.patience import PATIENCE

from infinity.emulator.local import Folder
from infinity.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Lambda's runtime client is for Linux")
OFFICE = Path(__file__).parents[4] / "examples" / "lambda" / "office"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "infinity.cli", "cloud", *arguments]


def clean() -> dict[str, str]:
    return {
        n: v
        for n, v in os.environ.items()
        if not n.startswith(("INFINITY_", "ANTHROPIC_", "OPENAI_", "AWS_"))
    }


class Running:
    """``told`` is what it printed as JSON."""

    def __init__(self, process: subprocess.Popen[str], told: dict[str, Any]) -> None:
        self.process = process
        self.told = told
        self.environment = {**clean(), **told["environment"]}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reply(self) -> dict[str, Any]:
        """The next message of the output queue."""
        client = boto3.client(
            "sqs",
            **{
                name: self.environment[variable]
                for name, variable in (
                    ("endpoint_url", "AWS_ENDPOINT_URL"),
                    ("region_name", "AWS_REGION"),
                    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
                    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
                )
            },
        )
        queue = self.environment["INFINITY_OUTPUT_QUEUE"]
        [message] = client.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
        client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        body: dict[str, Any] = json.loads(message["Body"])
        return body

    def ask(self, path: str) -> Any:
        request = urllib.request.Request(
            self.told["api"] + path, headers={"Authorization": f"Bearer {self.told['token']}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def asked(self, path: str) -> dict[str, Any]:
        """Empty while it is not there."""
        try:
            found: dict[str, Any] = self.ask(path)
            return found
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {}

    def until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < limit, "it never came"

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running(code: Path, *arguments: str) -> Iterator[Running]:
    process = subprocess.Popen(
        command("local", "--json", "--code", str(code), *arguments),
        env=clean(),
        cwd=code,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else ""
        assert line, f"it did not start: {process.stderr.read() if process.poll() is not None else ''}"
        yield Running(process, json.loads(line))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """Where another user, as whom PostgreSQL may have to run, can enter; pytest's own directories are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="local", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.mark.slow
def test_a_deployment_runs_is_stopped_and_goes_on_where_it_was(place: Path) -> None:
    state = place / "state"
    office = f"office={OFFICE}:office.handler"
    with running(place, "--state", str(state), "--toolset", office) as first:
        # Through a signed call of one function, which calls back at another.
        first.run("send", "hello", '/call free_desks {"day": "2027-01-15"}')
        reply = first.reply()
        assert reply["thread"] == "hello" and '["kitchen"]' in reply["data"]["text"]
        assert [thread["id"] for thread in first.ask("/v1/threads")["threads"]] == ["hello"]
        started = first.processes()
        assert any("postgres" in process.name() for process in started)
    assert first.process.returncode == 0
    assert not [process for process in started if process.is_running()]
    assert (state / "environment").stat().st_mode & 0o077 == 0

    with running(place, "--state", str(state)) as second:
        assert {**second.told, "environment": None} == {**first.told, "environment": None}
        assert (
            second.told["environment"]["AWS_ACCESS_KEY_ID"] == first.told["environment"]["AWS_ACCESS_KEY_ID"]
        )
        second.run("send", "hello", "And again.")
        reply = second.reply()
        assert "And again." in reply["data"]["text"]
        [thread] = second.ask("/v1/threads")["threads"]
        assert thread["version"] > 2

        refused = subprocess.run(
            command("local", "--code", str(place), "--state", str(state)),
            env=clean(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert refused.returncode == 1
        assert f"in use by process {second.process.pid}" in refused.stderr and "--state" in refused.stderr


@pytest.mark.slow
def test_a_database_that_is_lost_is_put_back_from_a_copy(place: Path) -> None:
    """The drill of the guide: what was in the copy goes on, what came later is gone, and its place is taken."""
    state = place / "state"
    database, copy = state / "postgresql", place / "copy"

    def entries(made: Running) -> list[Any]:
        found: list[Any] = made.ask("/v1/threads/hello/entries")["entries"]
        return found

    with running(place, "--state", str(state)) as made:
        made.run("send", "hello", "Before the copy.")
        assert "Before the copy." in made.reply()["data"]["text"]
        # It waits for its timer when the copy is made.
        made.run("send", "nap", '/call sleep {"seconds": 86400}')
        made.until(lambda: "sleep" in str(made.asked("/v1/threads/nap").get("explanation")))
        before, waits = entries(made), made.ask("/v1/threads/nap")["explanation"]
    subprocess.run(["cp", "-a", str(database), str(copy)], check=True)

    with running(place, "--state", str(state)) as made:
        made.run("send", "hello", "After the copy.")
        lost = made.reply()
        assert "After the copy." in lost["data"]["text"]
        made.run("send", "later", "A thread that is not in the copy.")
        made.reply()
    shutil.rmtree(database)
    subprocess.run(["cp", "-a", str(copy), str(database)], check=True)

    with running(place, "--state", str(state), "--restored") as made:
        assert {thread["id"] for thread in made.ask("/v1/threads")["threads"]} == {"hello", "nap"}
        assert entries(made) == before and made.ask("/v1/threads/nap")["explanation"] == waits
        made.run("wake", "--all")
        made.run("send", "hello", "And on.")
        reply = made.reply()
        assert "And on." in reply["data"]["text"] and reply["id"] == lost["id"]
        assert entries(made)[: len(before)] == before
        assert "After the copy." not in json.dumps(entries(made))


@pytest.mark.slow
def test_without_a_key_the_scripted_model_answers_and_that_is_said(place: Path) -> None:
    (place / "infinity.toml").write_text("[models]\ndefault = 'anthropic/claude-sonnet-4-5'\n")
    with running(place, "--state", str(place / "state")) as made:
        made.run("send", "hello", "Good morning.")
        assert "Good morning." in made.reply()["data"]["text"]
        # The code, its settings and what was chosen are those of the functions.
        assert "the settings are complete" in made.run("config", "check")
        assert made.told["environment"]["INFINITY_MODEL"] == "scripted/default"
        assert made.process.stderr is not None
        said = made.process.stderr.readline() + made.process.stderr.readline()
    assert "no key for Anthropic" in said and "start again" in said


def test_a_directory_is_for_one_process(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "state"), Folder(tmp_path / "state")
    one.open()
    with pytest.raises(ConfigError, match=str(os.getpid())):
        other.open()
    one.close()
    other.open()
    other.close()


def test_ports_and_keys_stay_the_same(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    credentials, token, ports = folder.settings({})
    assert len(set(ports.values())) == 3
    assert folder.settings({}) == (credentials, token, ports)
    assert folder.settings({"api": 4711}) == (credentials, token, {**ports, "api": 4711})


def test_ports_are_none_that_a_connection_could_have_by_the_time_they_are_used(tmp_path: Path) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first <= 21_000:
        pytest.skip("the system gives nearly all of them")
    _, _, ports = Folder(tmp_path).settings({}, ["toolset-office"])
    assert len(set(ports.values())) == 4 and max(ports.values()) < first


def test_what_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.services() is None
    (tmp_path / "aws.json").write_text("{")
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"aws\.json cannot be read"):
        folder.services()
    with pytest.raises(ConfigError, match=r"settings\.json cannot be read"):
        folder.settings({})


def test_the_file_for_the_shell_keeps_every_value(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    value = 'it\'s $HOME and "more"'
    folder.tell({"A": value, "B": "plain"})
    script = f'. {folder.environment}; printf %s "$A"'
    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "NOT_THERE"], "NOT_THERE"),
        (["--store", "mysql://x"], "postgresql://"),
        (["--toolset", "office"], "office.handler"),
        (["--toolset", "office=nowhere:office.handler"], "no directory nowhere"),
        (["--layer", "infinity.toml"], "not a layer of Infinity"),
        (["--code", "broken"], "nonsense"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "infinity.toml").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "infinity.toml").write_text("[nonsense]\nx = 1\n")
    done = subprocess.run(
        command("local", *arguments),
        env=clean(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in (1, 2, 5)
    assert words in done.stderr and "Traceback" not in done.stderr
