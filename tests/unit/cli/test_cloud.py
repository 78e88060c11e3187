"""``infinity cloud`` against a deployment on loopback: what it sends, what it prints, and how it ends when something is missing."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result
from tests.boundary.cloud.threaded import Threaded, threaded
from tests.contract.postgresql import server_url

from infinity.callback_keys import META, RENEW_AFTER
from infinity.cli.main import infinity
from infinity.emulator.faults import Attempt
from infinity.emulator.wire import Reply
from infinity.stores.postgres.opening import open_store

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    with threaded(tmp_path_factory.mktemp("cli") / "cloud") as made:
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Without any setting in the environment but those of ``settings``."""
    for name in ("STORE", "INBOX_QUEUE", "OUTPUT_QUEUE", "CONFIG", "AGENT"):
        monkeypatch.delenv(f"INFINITY_{name}", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)

    def invoke(*arguments: str, settings: dict[str, str] | None = None, **options: Any) -> Result:
        for name, value in (settings or {}).items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(infinity, ["cloud", *arguments], catch_exceptions=False, **options)

    return invoke


@pytest.fixture
def within(run: Run, deployed: Threaded) -> Run:
    """With the settings of the deployment."""
    settings = deployed.functions.deployment.environment()
    return lambda *arguments, **options: run(*arguments, settings=settings, **options)


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def said(deployed: Threaded, thread: str, text: str) -> None:
    deployed.run(deployed.functions.said(thread, text))
    deployed.run(deployed.functions.settled())


def test_a_message_begins_a_conversation_and_its_reply_is_printed_once(
    within: Run, deployed: Threaded
) -> None:
    sent = parsed(within("send", "hello", "good morning", "--user", "ada", "--json"))
    assert sent["thread"] == "hello" and sent["message"].startswith("sqs.")
    said(deployed, "hello", "good morning")
    [entry] = [
        each
        for each in deployed.run(deployed.functions.get("/v1/threads/hello/entries")).body["entries"]
        if each["meta"].get("message_id")
    ]
    assert (entry["meta"]["message_id"], entry["meta"]["user_id"]) == (sent["message"], "ada")
    found = within("replies", "--wait", "0")
    assert found.exit_code == 0 and "hello  " in found.output and "good morning" in found.output
    assert within("replies", "--wait", "0").output == ""
    assert not deployed.functions.aws.sqs.queue(deployed.functions.deployment.output).messages()


def test_replies_are_waited_for_until_the_first_has_come(within: Run, deployed: Threaded) -> None:
    waits: list[int] = []

    async def noted(attempt: Attempt) -> Reply:
        assert attempt.request is not None
        waits.append(json.loads(attempt.request.body)["WaitTimeSeconds"])
        return await attempt.act()

    assert within("send", "waiting", "hello").exit_code == 0
    said(deployed, "waiting", "hello")
    rule = deployed.functions.aws.faults.add("sqs", "ReceiveMessage", noted)
    assert "waiting  " in within("replies", "--wait", "15").output
    rule.remove()
    assert waits == [15, *[0] * (len(waits) - 1)] and len(waits) > 1


def test_replies_as_json_are_what_is_in_the_queue(within: Run, deployed: Threaded) -> None:
    assert within("send", "json", "-", input="from a pipe\n").output == "queued: json\n"
    said(deployed, "json", "from a pipe")
    lines = [json.loads(line) for line in within("replies", "--wait", "0", "--json").output.splitlines()]
    reply = next(line for line in lines if line["kind"] == "reply")
    assert reply["thread"] == "json" and "from a pipe" in reply["data"]["text"]
    assert reply["id"].startswith("json.")


def test_sending_again_under_one_key_is_one_message(within: Run, deployed: Threaded) -> None:
    for _ in range(3):
        assert within("send", "keyed", "once", "--key", "k").exit_code == 0
    said(deployed, "keyed", "once")
    entries = deployed.run(deployed.functions.get("/v1/threads/keyed/entries")).body["entries"]
    assert [entry["kind"] for entry in entries].count("user") == 2, "the seed, and what was said"


def test_what_others_put_into_the_output_queue_is_shown_as_what_it_is(
    within: Run, deployed: Threaded
) -> None:
    aws = deployed.functions.aws
    within("replies", "--wait", "0")

    async def put() -> None:
        for number, body in enumerate(
            ("no JSON \x1b[31m", "[]", '{"thread": "x", "kind": "status", "data": {"status": "closed"}}')
        ):
            message = {"MessageBody": body.replace("\x1b", ""), "MessageGroupId": "x"}
            aws.sqs.send_message(
                {
                    "QueueUrl": deployed.functions.deployment.output,
                    "MessageDeduplicationId": str(number),
                    **message,
                }
            )

    deployed.run(put())
    lines = within("replies", "--wait", "0").output.splitlines()
    assert len(lines) == 3 and "none of Infinity's" in lines[0] and "closed" in lines[2]


def test_a_wake_is_sent_each_time(within: Run, deployed: Threaded) -> None:
    within("send", "sleeper", "hi")
    said(deployed, "sleeper", "hi")
    before = deployed.functions.aws.counts["sqs.SendMessage"]
    for _ in range(2):
        assert within("wake", "sleeper").output == "woken: sleeper\n"
    assert deployed.functions.aws.counts["sqs.SendMessage"] == before + 2
    everyone = parsed(within("wake", "--all", "--json"))["woken"]
    threads = deployed.run(deployed.functions.get("/v1/threads?limit=1000")).body["threads"]
    assert everyone == len(threads) >= 1
    deployed.run(deployed.functions.settled())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("send", "a b", "x"), "THREAD must be"),
        (("send", "t", "  "), "empty"),
        (("send", "t", "x", "--user", ""), "--user must be"),
        (("wake",), "say which THREAD"),
        (("wake", "t", "--all"), "say which THREAD"),
        (("replies", "--wait", "21"), "--wait"),
        (("migrate", "--role-sql", "a; DROP"), "role's name"),
        (("migrate", "--role-arn", "arn:aws:iam::1:role/x"), "--role-sql"),
        (("migrate", "--role-for", "sweep"), "--role-for is for --role-sql"),
        (("migrate", "--role-sql", "r", "--role-arn", "x'; --"), "not an ARN"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_sent(
    within: Run, arguments: tuple[str, ...], what: str
) -> None:
    found = within(*arguments)
    assert found.exit_code == 2 and what in found.output


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("send", "t", "x"), "INFINITY_INBOX_QUEUE"),
        (("wake", "t"), "INFINITY_INBOX_QUEUE"),
        (("replies",), "INFINITY_OUTPUT_QUEUE"),
        (("migrate",), "INFINITY_STORE"),
    ],
)
def test_a_setting_that_is_missing_is_named(run: Run, arguments: tuple[str, ...], missing: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2 and missing in found.output


def test_a_failure_of_aws_is_one_line(within: Run) -> None:
    gone = within("send", "t", "x", "--queue", "http://127.0.0.1:1/000000000000/gone.fifo")
    assert gone.exit_code == 1 and gone.output.startswith("infinity: sqs SendMessage was refused")


def test_without_a_region_nothing_is_tried(run: Run) -> None:
    found = run("send", "t", "x", "--queue", "http://127.0.0.1:1/000000000000/q.fifo")
    assert found.exit_code == 1 and "AWS_REGION" in found.output


# -- migrate


@pytest.fixture
def empty() -> str:
    """A schema of its own, without tables."""
    name = f"m{uuid.uuid4().hex[:12]}"

    async def make() -> None:
        connection = await asyncpg.connect(server_url())
        await connection.execute(f"CREATE SCHEMA {name}")
        await connection.close()

    asyncio.run(make())
    return f"{server_url()}&search_path={name}"


def test_tables_and_keys_are_made_once(run: Run, empty: str) -> None:
    first = parsed(run("migrate", "--store", empty, "--json"))
    assert first == {
        "tables": {"before": 0, "now": first["tables"]["now"]},
        "keys": {"kept": 1, "change": "made"},
        "role_sql": [],
    }
    again = run("migrate", "--store", empty)
    assert again.exit_code == 0 and "the newest still signs" in again.output and "before" not in again.output


@pytest.mark.trap("L19")
def test_keys_that_grew_old_are_renewed_and_the_old_ones_kept(run: Run, empty: str) -> None:
    parsed(run("migrate", "--store", empty, "--json"))

    async def age() -> None:
        store = await open_store(empty)
        keys = json.loads(await store.meta(META) or b"[]")
        keys[0]["made_at"] -= RENEW_AFTER
        await store.put_meta(META, json.dumps(keys).encode())
        await store.close()

    asyncio.run(age())
    assert parsed(run("migrate", "--store", empty, "--json"))["keys"] == {"kept": 2, "change": "renewed"}


def test_the_sql_for_the_functions_role_goes_into_a_pipe_by_itself(run: Run, empty: str) -> None:
    arn = "arn:aws:iam::111122223333:role/Agent"
    found = run("migrate", "--store", empty, "--role-sql", "infinity", "--role-arn", arn)
    lines = found.stdout.splitlines()
    assert all(line.endswith(";") for line in lines)
    assert (
        lines[0] == "CREATE ROLE infinity WITH LOGIN;" and lines[-1] == f"AWS IAM GRANT infinity TO '{arn}';"
    )
    assert "the tables are of version" in found.stderr


def test_the_role_may_do_what_the_functions_do_and_make_no_tables(run: Run, empty: str) -> None:
    role = f"r{uuid.uuid4().hex[:12]}"
    schema = empty.rpartition("=")[2]
    statements = parsed(run("migrate", "--store", empty, "--role-sql", role, "--json"))["role_sql"]

    async def try_it() -> None:
        admin = await asyncpg.connect(server_url())
        for statement in statements:
            await admin.execute(statement.replace("SCHEMA public", f"SCHEMA {schema}"))
        await admin.close()
        own = server_url().replace("infinity@", f"{role}@") + f"&search_path={schema}"
        store = await open_store(own)
        await store.put_meta("x", b"1")
        assert await store.meta("x") == b"1"
        await store.close()
        connection = await asyncpg.connect(own)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE t (a bigint)")
        await connection.close()

    asyncio.run(try_it())


@pytest.mark.parametrize("duty", ["receiver", "sweep"])
def test_a_role_for_one_function_is_of_aurora_dsql_only(run: Run, empty: str, duty: str) -> None:
    """PostgreSQL lets nobody lock a row who may not change it, so the receiver could not look up a call."""
    found = run("migrate", "--store", empty, "--role-sql", "r", "--role-for", duty, "--json")
    assert found.exit_code == 1 and "not a cluster of Aurora DSQL" in found.output
    assert "without --role-for" in found.output and "CREATE ROLE" not in found.output
    tables = parsed(run("migrate", "--store", empty, "--json"))["tables"]
    assert tables["before"] == 0, "nothing was done"


def test_an_address_that_is_no_database_s_is_one_line(run: Run) -> None:
    found = run("migrate", "--store", "mysql://x")
    assert found.exit_code == 1 and found.output.startswith("infinity: ") and found.output.count("\n") == 1


# -- config check


def test_everything_that_is_missing_or_wrong_is_said_at_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "infinity.toml"
    file.write_text("[toolsets.ci]\ncommand = ['ci']\n")
    settings = {
        "INFINITY_STORE": "mysql://x",
        "INFINITY_CONFIG": str(file),
        "INFINITY_AGENT": "no_such_module:agent",
    }
    found = run("config", "check", settings=settings)
    assert found.exit_code == 1
    for name in (
        "AWS_REGION",
        "INFINITY_INBOX_QUEUE",
        "INFINITY_TABLE",
        "INFINITY_PUBLIC_URL",
        "INFINITY_STORE must",
    ):
        assert name in found.output, name
    assert "[toolsets.ci]" in found.output and "no_such_module" in found.output
    as_json = run("config", "check", "--json")
    problems = json.loads(as_json.stdout)["problems"]
    assert as_json.exit_code == 1 and len(problems) >= 9
    assert f"{len(problems)} things" in as_json.stderr


def test_complete_settings_are_said_to_be_so(within: Run) -> None:
    found = within("config", "check")
    assert found.exit_code == 0 and "the settings are complete" in found.output
    assert "scripted model" in found.output, "which may not be what was meant"
    assert parsed(within("config", "check", "--json"))["complete"] is True


def test_the_settings_of_the_code_are_read(within: Run, tmp_path: Path) -> None:
    none = {"INFINITY_CONFIG": "", "ANTHROPIC_API_KEY": None}
    (tmp_path / "infinity.toml").write_text("[models]\ndefault = 'anthropic/claude-sonnet-4-5'\n")
    found = within("config", "check", "--code", str(tmp_path), env=none)
    assert found.exit_code == 1 and "no key for Anthropic" in found.output and "the functions" in found.output
    (tmp_path / "infinity.toml").write_text("")
    (tmp_path / "own_desk.py").write_text("from infinity import Agent\nagent = Agent('You help.')\n")
    own = {**none, "INFINITY_AGENT": "own_desk:agent"}
    (tmp_path / "elsewhere").mkdir()
    elsewhere = within("config", "check", "--code", str(tmp_path / "elsewhere"), env=own)
    assert elsewhere.exit_code == 1 and "own_desk" in elsewhere.output
    assert within("config", "check", env={**own, "INFINITY_CODE": str(tmp_path)}).exit_code == 0


@pytest.mark.trap("S9")
def test_no_value_is_printed(run: Run, deployed: Threaded) -> None:
    settings = deployed.functions.deployment.environment()
    wrong = {"INFINITY_API_TOKEN": "the-secret-token", "INFINITY_PUBLIC_URL": "ftp://the-secret-host"}
    found = run("config", "check", "--json", settings={**settings, **wrong})
    assert found.exit_code == 1 and "INFINITY_PUBLIC_URL" in found.output and "the-secret" not in found.output


def test_a_secret_that_cannot_be_read_is_named(run: Run, deployed: Threaded) -> None:
    settings = deployed.functions.deployment.environment()
    found = run("config", "check", settings={**settings, "INFINITY_API_TOKEN": "ssm:nothing-there"})
    assert found.exit_code == 1 and "INFINITY_API_TOKEN" in found.output
