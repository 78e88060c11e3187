"""``infinity cloud migrate --outputs``: from a deployment that is switched off to one that answers, and again without harm."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result
from tests.boundary.cloud.threaded import Threaded, threaded
from tests.contract.postgresql import server_url

from infinity.cli.main import infinity

Migrate = Callable[..., Result]
INBOX = "https://sqs.eu-central-1.amazonaws.com/111122223333/Inbox.fifo"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    with threaded(tmp_path_factory.mktemp("migrate") / "cloud") as made:
        yield made


@pytest.fixture
def off(deployed: Threaded) -> dict[str, str]:
    """The deployment as it is right after 'cdk deploy', with its outputs."""
    functions = deployed.functions

    async def sweep() -> None:
        functions.aws.rules.every(900, functions.aws.lambdas.functions()[0])

    deployed.run(sweep())
    rule = functions.aws.lambdas.functions()[0].name
    functions.aws.rules.disabled.add(rule)
    deployed.run(functions.hold())
    return {
        "AgentInboxQueue": INBOX,
        "AgentAdminUrl": functions.deployment.environment()["INFINITY_STORE"],
        "AgentEventSources": " ".join(mapping.id for mapping in functions.aws.lambdas.mappings),
        "AgentRules": rule,
    }


@pytest.fixture
def migrate(deployed: Threaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrate:
    def run(outputs: object, *arguments: str, credentials: object = None) -> Result:
        for name, value in deployed.functions.aws.environment(credentials).items():  # type: ignore[arg-type]
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("INFINITY_STORE", raising=False)
        file = tmp_path / "outputs.json"
        file.write_text(outputs if isinstance(outputs, str) else json.dumps({"Stack": outputs}))
        command = ["cloud", "migrate", "--outputs", str(file), *arguments]
        return CliRunner().invoke(infinity, command, catch_exceptions=False)

    return run


def test_nothing_is_tried_before_and_everything_runs_after(
    deployed: Threaded, off: dict[str, str], migrate: Migrate
) -> None:
    aws, inbox = deployed.functions.aws, deployed.functions.deployment.inbox
    body = json.dumps({"content": {"type": "text", "text": "early"}, "group_id": "early"})
    sent = {"QueueUrl": inbox, "MessageBody": body, "MessageGroupId": "early", "MessageDeduplicationId": "e"}
    aws.sqs.send_message(sent)
    [message] = aws.sqs.queue(inbox).messages()
    assert message.receives == 0
    found = migrate(off)
    count = len(off["AgentEventSources"].split()) + 1
    assert found.exit_code == 0 and f"started: {count} of {count} event sources" in found.output
    deployed.run(deployed.functions.said("early", "early"))
    deployed.run(deployed.functions.settled())
    assert not aws.rules.disabled
    before = dict(aws.counts)
    again = migrate(off, "--json")
    assert json.loads(again.stdout)["started"] == {"changed": 0, "all": count}
    for operation in ("lambda.UpdateEventSourceMapping", "events.EnableRule"):
        assert aws.counts[operation] == before[operation]


def test_a_permission_that_is_missing_is_named_and_what_was_done_is_harmless(
    deployed: Threaded, off: dict[str, str], migrate: Migrate
) -> None:
    look = [{"Action": "lambda:GetEventSourceMapping", "Resource": "*"}]
    found = migrate(off, credentials=deployed.functions.aws.permissions.give(look))
    assert found.exit_code == 1 and "allow lambda:UpdateEventSourceMapping" in found.output
    assert found.output.count("\n") == 1
    change = [*look, {"Action": "lambda:UpdateEventSourceMapping", "Resource": "*"}]
    found = migrate(off, credentials=deployed.functions.aws.permissions.give(change))
    assert found.exit_code == 1 and "allow events:DescribeRule" in found.output
    assert all(mapping.enabled for mapping in deployed.functions.aws.lambdas.mappings)
    assert migrate(off).exit_code == 0


def test_the_roles_of_the_outputs_are_made_and_may_do_what_the_functions_do(
    off: dict[str, str], migrate: Migrate
) -> None:
    role = f"r{uuid.uuid4().hex[:12]}"
    first = json.loads(migrate({**off, "AgentDatabaseRoles": role}, "--json").stdout)
    assert first["roles"] == {"made": [role], "given": 0}
    again = migrate({**off, "AgentDatabaseRoles": role})
    assert "database roles: none had to be made" in again.output

    async def look() -> None:
        own = off["AgentAdminUrl"].replace(f"{server_url().split('@')[0]}@", f"postgresql://{role}@")
        connection = await asyncpg.connect(own)
        assert await connection.fetchval("SELECT current_user") == role
        assert await connection.fetchval("SELECT count(*) FROM threads") >= 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DROP TABLE threads")
        await connection.close()

    asyncio.run(look())


def test_only_a_cluster_lets_iam_roles_log_in(off: dict[str, str], migrate: Migrate) -> None:
    found = migrate({**off, "AgentDatabaseRoles": "infinity=arn:aws:iam::111122223333:role/Agent"})
    assert found.exit_code == 1 and "not a cluster of Aurora DSQL" in found.output


def test_only_on_a_cluster_a_role_is_for_one_function(off: dict[str, str], migrate: Migrate) -> None:
    role = f"r{uuid.uuid4().hex[:12]}"
    found = migrate({**off, "AgentDatabaseRoles": f"{role} {role}_sweep:sweep"})
    assert found.exit_code == 1 and "not a cluster of Aurora DSQL" in found.output
    made = json.loads(migrate({**off, "AgentDatabaseRoles": role}, "--json").stdout)["roles"]["made"]
    assert made == [role], "nothing was done before"


@pytest.mark.parametrize(
    ("outputs", "arguments", "said"),
    [
        ("[", (), "is not what 'npx aws-cdk deploy --outputs-file"),
        ({"Other": "x"}, (), "has 0 agents"),
        (
            {"OneInboxQueue": INBOX, "TwoInboxQueue": INBOX},
            (),
            "has 2 agents: Stack.One, Stack.Two; choose one with --agent STACK.NAME",
        ),
        ({"OneInboxQueue": INBOX}, ("--agent", "Two"), "has no agent Two; it has Stack.One"),
        ({"AInboxQueue": INBOX}, (), "say which database"),
        ({"AInboxQueue": INBOX, "AAdminUrl": "postgresql://h", "ADatabaseRoles": "a;b"}, (), "role's name"),
        (
            {"AInboxQueue": INBOX, "AAdminUrl": "postgresql://h", "ADatabaseRoles": "a:cook"},
            (),
            "no role; update it",
        ),
    ],
)
def test_a_file_that_does_not_say_it_is_refused_before_anything_is_done(
    migrate: Migrate, outputs: object, arguments: tuple[str, ...], said: str
) -> None:
    found = migrate(outputs, *arguments)
    assert found.exit_code != 0 and said in found.output


def test_agents_of_one_file_are_told_apart(off: dict[str, str], migrate: Migrate) -> None:
    other = {name.replace("Agent", "Other"): "nonsense" for name in off}
    assert migrate({**off, **other}, "--agent", "Agent").exit_code == 0


def test_stacks_of_one_file_are_told_apart(deployed: Threaded, off: dict[str, str], migrate: Migrate) -> None:
    """Dev and Production have an agent of the same name: neither is chosen by coming last."""
    nowhere = {name: "postgresql://127.0.0.1:1/nowhere" if "Url" in name else "wrong" for name in off}
    for stacks in ({"Dev": off, "Production": nowhere}, {"Production": nowhere, "Dev": off}):
        file = json.dumps(stacks)
        for arguments in ((), ("--agent", "Agent")):
            found = migrate(file, *arguments)
            assert found.exit_code == 1 and "choose one with --agent STACK.NAME" in found.output
            assert "Dev.Agent, Production.Agent" in found.output
        assert deployed.functions.aws.rules.disabled, "nothing was started"
        assert "it has Dev.Agent, Production.Agent" in migrate(file, "--agent", "Test.Agent").output
    count = len(off["AgentEventSources"].split()) + 1
    found = migrate(file, "--agent", "Dev.Agent")
    assert found.exit_code == 0 and f"started: {count} of {count} event sources" in found.output


def test_an_agent_that_only_one_stack_has_needs_no_stack(off: dict[str, str], migrate: Migrate) -> None:
    other = {name.replace("Agent", "Other"): "nonsense" for name in off}
    assert migrate(json.dumps({"Dev": off, "Else": other}), "--agent", "Agent").exit_code == 0


def test_a_store_that_is_not_the_one_of_the_outputs_is_refused(
    deployed: Threaded, off: dict[str, str], migrate: Migrate
) -> None:
    found = migrate(off, "--store", "postgresql://127.0.0.1:1/nowhere")
    assert found.exit_code == 2 and "is another database than that of the agent" in found.output
    assert deployed.functions.aws.rules.disabled, "nothing was started"
    assert migrate(off, "--store", off["AgentAdminUrl"]).exit_code == 0
