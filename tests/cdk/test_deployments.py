"""Shares, what is kept and what goes, several agents, options, and what people see: a deployment as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from review import review

from conftest import ROOT, Template, listed, queues


def test_a_reviewer_finds_nothing(
    example: Path, assembly: dict[str, Path], subtests: pytest.Subtests
) -> None:
    assert set(assembly) == {"Everything", "Two", "Existing", "Network"}
    for name, file in {"Concierge": example, **assembly}.items():
        with subtests.test(name):
            assert review(json.loads(file.read_text())) == []


def test_a_reviewer_finds_what_is_missing(example: Path) -> None:
    for kind, found in (
        ("AWS::CloudWatch::Alarm", "nobody hears"),
        ("AWS::Lambda::EventSourceMapping", "no maximum concurrency"),
        ("AWS::Lambda::Function", "whole concurrency"),
        ("AWS::IAM::Policy", "claims/* only"),
    ):
        document = json.loads(example.read_text())
        for each in document["Resources"].values():
            if each["Type"] == kind:
                spoil(each["Properties"])
        assert any(found in line for line in review(document)), kind


def spoil(properties: dict[str, Any]) -> None:
    for name in ("AlarmActions", "ScalingConfig", "ReservedConcurrentExecutions"):
        properties.pop(name, None)
    for statement in properties.get("PolicyDocument", {}).get("Statement", ()):
        statement["Resource"] = json.loads(json.dumps(statement["Resource"]).replace("/records/", "/claims/"))


# -- shares


def reserves(template: Template, **parameters: int) -> dict[str, int]:
    """What CloudFormation makes of the template with these parameters, else with their defaults."""
    document = template.document
    given = {name: each.get("Default") for name, each in document["Parameters"].items()} | parameters

    def value(of: Any) -> Any:
        match of:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name}:
                return given[name]
            case {"Fn::If": [condition, yes, no]}:
                return value(yes if value(document["Conditions"][condition]) else no)
            case {"Fn::Not": [what]}:
                return not value(what)
            case {"Fn::Equals": [one, other]}:
                return str(value(one)) == str(value(other))
        return of

    found = {
        name: value(each.get("ReservedConcurrentExecutions")) for name, each in template.functions().items()
    }
    return {name: most for name, most in found.items() if most is not None}


def test_a_new_account_can_deploy_the_default_for_nothing_is_reserved(plain: Template, two: Template) -> None:
    assert reserves(plain) == {} and reserves(two) == {}


def test_a_parameter_keeps_a_share_for_callbacks(plain: Template) -> None:
    assert reserves(plain, AgentReserve=50) == {"receiver": 50, "relay": 10}


def test_an_option_keeps_a_share_for_each_door_that_anybody_may_knock_at(full: Template) -> None:
    assert reserves(full) == {"receiver": 40, "api": 40, "relay": 10}


def test_no_queue_is_read_faster_than_its_function_may_run(template: Template) -> None:
    mappings = template.of("AWS::Lambda::EventSourceMapping").values()
    most = [mapping["ScalingConfig"]["MaximumConcurrency"] for mapping in mappings]
    assert sorted(most)[:2] == [2, 10] and sorted(most)[2] in (50, 100)


# -- what is kept and what goes


def test_messages_that_are_nowhere_else_outlive_the_stack(full: Template, plain: Template) -> None:
    for template, kept in ((plain, {"inbox", "dead"}), (full, set())):
        policies = {
            name: template.resources[id].get("DeletionPolicy") for name, (id, _) in queues(template).items()
        }
        assert {name for name, policy in policies.items() if policy == "Retain"} == kept


def test_two_agents_are_in_one_stack(two: Template) -> None:
    handlers = [each["Handler"] for each in two.of("AWS::Lambda::Function").values()]
    assert handlers.count("infinity.cloud.handlers.agent") == 2
    outputs = {name for name in two.document["Outputs"] if name.endswith("ApiUrl")}
    assert outputs == {"OneApiUrl", "OtherApiUrl"}
    assert {name for name in two.document["Parameters"] if name.endswith("Reserve")} == {
        "OneReserve",
        "OtherReserve",
    }


# -- what is there already


def test_what_is_there_already_is_used_and_nothing_of_it_is_made(existing: Template) -> None:
    kinds = {each["Type"] for each in existing.resources.values()}
    assert not kinds & {"AWS::DSQL::Cluster", "AWS::DynamoDB::Table", "AWS::S3::Bucket"}
    # That of the program's own, and the one for wakes that could not be sent.
    assert len(existing.of("AWS::SQS::Queue")) == 2
    variables = {
        name: plainly(value) for name, value in existing.variables("agent").items() if "INFINITY" in name
    }
    assert variables["INFINITY_TABLE"] == "Old-Table"
    assert variables["INFINITY_BUCKET"] == "old-bucket"
    assert variables["INFINITY_INBOX_QUEUE"].endswith("/Old-Inbox.fifo")
    assert variables["INFINITY_DELAY_QUEUE"].endswith("/Old-Delay")
    assert "Mine" in variables["INFINITY_OUTPUT_QUEUE"]
    assert variables["INFINITY_STORE"].startswith("postgresql://infinity@abcdefghijklmnopqrstuvwxyz.dsql.")


def test_functions_may_use_what_is_there_already(existing: Template) -> None:
    wanted = {
        "dsql:DbConnect": ":cluster/abcdefghijklmnopqrstuvwxyz",
        "dynamodb:PutItem": ":table/Old-Table",
        "s3:GetObject": ":s3:::old-bucket/records/*",
        "sqs:ReceiveMessage": ":Old-Inbox.fifo",
    }
    statements = existing.statements(existing.functions()["agent"]["Role"])
    for action, ending in wanted.items():
        resources = [
            plainly(resource)
            for statement in statements
            if action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        ]
        assert any(resource.endswith(ending) for resource in resources), (action, resources)
    sources = {
        plainly(each["EventSourceArn"]) for each in existing.of("AWS::Lambda::EventSourceMapping").values()
    }
    assert {source.rpartition(":")[2] for source in sources} == {
        "Old-Inbox.fifo",
        "Old-Dead.fifo",
        "Old-Delay",
    }
    watched = json.dumps([each["Dimensions"] for each in existing.of("AWS::CloudWatch::Alarm").values()])
    assert all(name in watched for name in ("Old-Inbox.fifo", "Old-Dead.fifo", "abcdefghijklmnopqrstuvwxyz"))


def plainly(value: Any) -> str:
    """A text with names in place of what is known when it is deployed only."""
    match value:
        case {"Fn::Join": [between, list(parts)]}:
            return str(between).join(map(plainly, parts))
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            return f"<{name}>"
    return str(value)


# -- a network, a database of one's own, copies


def test_functions_in_a_network_reach_a_database_of_ones_own(network: Template) -> None:
    functions = network.functions()
    (group,) = network.of("AWS::EC2::SecurityGroup")
    for name, each in functions.items():
        assert each["VpcConfig"]["SecurityGroupIds"] == [{"Fn::GetAtt": [group, "GroupId"]}]
        assert len(each["VpcConfig"]["SubnetIds"]) == 2
        assert "ec2:CreateNetworkInterface" in network.allowed(name)
    assert not network.of("AWS::DSQL::Cluster")
    (secret,) = network.of("AWS::SecretsManager::Secret")
    for name in set(functions) - {"relay"}:
        assert plainly(network.variables(name)["INFINITY_STORE"]) == f"secretsmanager:<{secret}>"
        assert "secretsmanager:GetSecretValue" in network.allowed(name)
        assert "dsql:DbConnect" not in network.allowed(name)
    assert "AgentAdminUrl" not in network.document["Outputs"]


def test_copies_are_made_every_day_and_kept_for_as_long_as_was_asked(
    network: Template, existing: Template, plain: Template
) -> None:
    assert not plain.of("AWS::Backup::BackupPlan")
    for template, days in ((network, 7), (existing, 35)):
        (rule,) = template.one("AWS::Backup::BackupPlan")["BackupPlan"]["BackupPlanRule"]
        assert rule["Lifecycle"] == {"DeleteAfterDays": days}
        (vault,) = [
            each for each in template.resources.values() if each["Type"] == "AWS::Backup::BackupVault"
        ]
        assert vault["DeletionPolicy"] == "Retain"
    copied = existing.one("AWS::Backup::BackupSelection")["BackupSelection"]["Resources"]
    assert [plainly(arn).rpartition(":")[2] for arn in copied] == [
        "cluster/abcdefghijklmnopqrstuvwxyz",
        "table/Old-Table",
        "old-bucket",
    ]
    # AWS Backup copies buckets with versions only, and these go as the copies do.
    bucket = network.one("AWS::S3::Bucket")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["LifecycleConfiguration"]["Rules"][0]["NoncurrentVersionExpiration"] == {
        "NoncurrentDays": 7
    }
    assert len(network.one("AWS::Backup::BackupSelection")["BackupSelection"]["Resources"]) == 2


def test_after_a_restore_the_table_and_the_output_queue_are_new_ones(
    network: Template, plain: Template
) -> None:
    def made(template: Template) -> tuple[str, str, str]:
        variables = template.variables("agent")
        places = ("INFINITY_TABLE", "INFINITY_OUTPUT_QUEUE", "INFINITY_INBOX_QUEUE")
        table, output, inbox = (str(variables[name]["Ref"]) for name in places)
        return table, output, inbox

    before, after = made(plain), made(network)
    assert before[0].startswith("AgentStoresTable") and after[0].startswith("AgentStoresTable2")
    assert before[1].startswith("AgentQueuesOutput") and after[1].startswith("AgentQueuesOutput2")
    assert before[2] == after[2], "what waits in it is not lost"


# -- what people see


def test_a_bucket_that_goes_with_its_stack_is_emptied_first(full: Template, plain: Template) -> None:
    assert full.of("Custom::S3AutoDeleteObjects")
    assert not plain.of("Custom::S3AutoDeleteObjects")


def test_a_snapshot_is_of_a_published_version_that_the_queue_reaches(full: Template) -> None:
    assert full.functions()["agent"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    mapping = next(
        each
        for each in full.of("AWS::Lambda::EventSourceMapping").values()
        if each["ScalingConfig"] == {"MaximumConcurrency": 50}
    )
    assert "Live" in json.dumps(mapping["FunctionName"])


def test_the_outputs_are_what_the_guide_uses(plain: Template) -> None:
    assert set(plain.document["Outputs"]) - {"ModelKeySecret"} == {
        f"Agent{name}"
        for name in (
            "InboxQueue",
            "OutputQueue",
            "ReceiverUrl",
            "ApiUrl",
            "StoreUrl",
            "AdminUrl",
            "Cluster",
            "DatabaseRoles",
            "EventSources",
            "Rules",
            "Table",
            "Bucket",
            "AlarmTopic",
            "DeadLetterQueue",
        )
    }
    # The guide's own stack says where its key goes.
    guide = (ROOT / "docs" / "guides" / "lambda.md").read_text()
    assert "ModelKeySecret" in plain.document["Outputs"] and "ModelKeySecret" in guide


def test_cfn_lint_has_nothing_to_say(example: Path, assembly: dict[str, Path]) -> None:
    # W3005: the CDK orders a function after its role and its role's policies; the first half is implied.
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    files = [str(file) for file in (example, *assembly.values())]
    command = [linter, "--ignore-checks", "W3005", "--", *files]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
