"""What is deployed: as the contract of the cloud host asks for it, encrypted, with the least permissions, watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from conftest import EXAMPLE, FUNCTIONS, ROOT, Template, listed, synthesised
from infinity.cloud.metrics import FAILING, METRICS, NAMESPACE

CONTRACT = ROOT / "docs" / "internals" / "cloud.md"
ANY_QUEUE = "AWS::SQS::Queue"
PERMISSIONS = ROOT / "tests" / "cloud" / "crash" / "permissions.json"
PLAYED = {"sqs", "dynamodb", "s3", "scheduler", "iam"}
"""Services that the stand-ins are, and the role that is passed on to one of them."""


def needed() -> dict[str, tuple[str, ...]]:
    """Which functions need which variable, by the table of the contract."""
    rows = re.findall(r"^\| `(INFINITY_[A-Z_]+)` \| ([^|]+) \|", CONTRACT.read_text(), re.MULTILINE)
    meanings = {"all": FUNCTIONS, "all but relay": tuple(name for name in FUNCTIONS if name != "relay")}
    found = {}
    for variable, words in rows:
        functions = meanings.get(words.strip()) or tuple(
            name for name in FUNCTIONS if name in re.split(r"[ ,]+", words)
        )
        found[variable] = functions
    return found


# -- functions


def test_there_are_the_six_functions_of_one_runtime_and_layer(template: Template) -> None:
    functions = template.functions()
    assert set(functions) == set(FUNCTIONS)
    assert {each["Runtime"] for each in functions.values()} == {"python3.12"}
    assert {tuple(each["Architectures"]) for each in functions.values()} == {("arm64",)}
    assert len({json.dumps(each["Layers"]) for each in functions.values()}) == 1


@pytest.mark.parametrize(("variable", "functions"), needed().items())
def test_every_variable_of_the_contract_is_set_where_it_is_needed(
    plain: Template, variable: str, functions: tuple[str, ...]
) -> None:
    if variable != "INFINITY_API_TOKEN":
        assert [name for name in functions if variable not in plain.variables(name)] == []


def test_the_contract_is_read() -> None:
    table = needed()
    assert table["INFINITY_INBOX_QUEUE"] == FUNCTIONS
    assert table["INFINITY_STORE"] == tuple(name for name in FUNCTIONS if name != "relay")
    assert table["INFINITY_SCHEDULE_ROLE"] == ("agent",)


def test_what_the_handlers_ask_for_is_there(template: Template) -> None:
    """``handlers.py`` names the places that each function cannot do without."""
    folder = ROOT / "python" / "infinity" / "cloud"
    variables = dict(
        re.findall(r'"([a-z_]+)": \(\s*"(INFINITY_[A-Z_]+)"', (folder / "environment.py").read_text())
    )
    source = (folder / "handlers.py").read_text()
    for name in FUNCTIONS:
        body = source.split(f"def {name}(event")[1].split("\ndef ")[0]
        words = " ".join(re.findall(r'"([a-z_ ]+)"', body)).split()
        for variable in (variables[word] for word in words if word != "tools"):
            assert variable in template.variables(name), f"{name} needs {variable}"


def test_every_function_may_be_part_of_a_long_loop(template: Template) -> None:
    for each in template.of("AWS::Lambda::Function").values():
        assert each["RecursiveLoop"] == "Allow"


def test_every_log_is_kept_for_a_time_and_every_function_has_one_of_its_own(template: Template) -> None:
    logs = template.of("AWS::Logs::LogGroup")
    assert all(log["RetentionInDays"] == 30 for log in logs.values())
    named = [
        each["LoggingConfig"]["LogGroup"]["Ref"] for each in template.of("AWS::Lambda::Function").values()
    ]
    assert sorted(named) == sorted(logs)
    # What Lambda lets through, and what the host says.
    levels = {each["LoggingConfig"]["ApplicationLogLevel"] for each in template.functions().values()}
    assert levels == {template.variables("agent")["INFINITY_LOG_LEVEL"].upper()}


def test_no_secret_is_in_the_template(full: Template) -> None:
    variables = full.variables("agent")
    assert "secretsmanager:" in json.dumps(variables["ANTHROPIC_API_KEY"])
    assert json.dumps(variables["ANTHROPIC_API_KEY"]).endswith('"#anthropic"]]}')
    assert variables["OTHER"] == "ssm:/other"
    assert "{{resolve:" not in json.dumps(full.document)
    assert "secretsmanager:" in json.dumps(full.variables("api")["INFINITY_API_TOKEN"])


# -- doors


def test_anybody_may_reach_the_receiver_which_takes_both_permissions(template: Template) -> None:
    receiver = template.id_of("receiver")
    open_doors = [
        permission
        for permission in template.of("AWS::Lambda::Permission").values()
        if permission["Principal"] == "*"
    ]
    of_receiver = [each for each in open_doors if receiver in json.dumps(each["FunctionName"])]
    assert {each["Action"] for each in of_receiver} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    for each in of_receiver:
        assert each.get("FunctionUrlAuthType") == "NONE" or each["InvokedViaFunctionUrl"] is True


def test_nobody_reaches_anything_else_without_iam_or_a_token(plain: Template, full: Template) -> None:
    def open_to_all(template: Template) -> set[str]:
        urls = template.of("AWS::Lambda::Url").values()
        targets = {json.dumps(url["TargetFunctionArn"]) for url in urls if url["AuthType"] == "NONE"}
        return {name for name in FUNCTIONS if any(template.id_of(name) in target for target in targets)}

    assert open_to_all(plain) == {"receiver"}
    assert open_to_all(full) == {"receiver", "api"}
    assert "INFINITY_API_TOKEN" in full.variables("api")
    assert "INFINITY_API_TOKEN" not in plain.variables("api")


def test_no_process_has_to_ask_for_the_receivers_address(plain: Template, full: Template) -> None:
    for name in set(FUNCTIONS) - {"receiver", "relay"}:
        assert "Fn::Select" in json.dumps(plain.variables(name)["INFINITY_PUBLIC_URL"])
        assert full.variables(name)["INFINITY_PUBLIC_URL"] == "https://agent.example"
    # It makes no URLs of its own, and could not refer to its own.
    assert "INFINITY_PUBLIC_URL" not in plain.variables("receiver")
    assert not plain.of("AWS::SSM::Parameter")


# -- queues


def queues(template: Template) -> dict[str, tuple[str, dict[str, Any]]]:
    """By what the variables say; ``dead`` is the inbox queue's dead-letter queue."""
    found = template.of(ANY_QUEUE)
    variables = template.variables("agent")
    named = {
        "inbox": variables["INFINITY_INBOX_QUEUE"]["Ref"],
        "delay": variables["INFINITY_DELAY_QUEUE"]["Ref"],
        "output": variables["INFINITY_OUTPUT_QUEUE"]["Ref"],
        "late": variables["INFINITY_SCHEDULE_DEAD_LETTERS"]["Fn::GetAtt"][0],
    }
    named["dead"] = found[named["inbox"]]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert set(named.values()) == set(found)
    return {name: (id, found[id]) for name, id in named.items()}


def test_fifo_queues_count_per_thread_and_never_look_at_the_content(template: Template) -> None:
    for name in ("inbox", "dead", "output"):
        _, queue = queues(template)[name]
        assert queue["FifoQueue"] is True
        assert queue["DeduplicationScope"] == "messageGroup"
        assert queue["FifoThroughputLimit"] == "perMessageGroupId"
        assert queue["ContentBasedDeduplication"] is False


def test_every_queue_that_a_function_takes_from_has_a_dead_letter_queue_and_time(template: Template) -> None:
    functions = template.of("AWS::Lambda::Function")
    mappings = template.of("AWS::Lambda::EventSourceMapping").values()
    taken = {}
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == 10
        target = json.dumps(mapping["FunctionName"])
        named = template.of("AWS::Lambda::Alias").items()
        target += "".join(json.dumps(alias["FunctionName"]) for name, alias in named if name in target)
        timeout = next(each["Timeout"] for id, each in functions.items() if f'"{id}"' in target)
        taken[mapping["EventSourceArn"]["Fn::GetAtt"][0]] = timeout
    named = queues(template)
    assert set(taken) == {named[name][0] for name in ("inbox", "delay", "dead")}
    for id, queue in named.values():
        if id in taken:
            assert queue["VisibilityTimeout"] >= 6 * taken[id]
    assert named["inbox"][1]["RedrivePolicy"]["maxReceiveCount"] >= 5
    assert named["delay"][1]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] == named["late"][0]
    assert named["dead"][1].get("FifoQueue") and not named["late"][1].get("FifoQueue")


def test_a_schedule_may_send_wakes_and_nothing_else(template: Template) -> None:
    role = template.variables("agent")["INFINITY_SCHEDULE_ROLE"]
    statements = template.statements(role)
    assert {action for each in statements for action in listed(each["Action"])} <= {
        "sqs:SendMessage",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
    trust = template.of("AWS::IAM::Role")[role["Fn::GetAtt"][0]]["AssumeRolePolicyDocument"]["Statement"]
    assert all("aws:SourceArn" in json.dumps(each["Condition"]) for each in trust)


def test_the_sweep_runs_every_quarter_of_an_hour(template: Template) -> None:
    rule = template.one("AWS::Events::Rule")
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    assert template.id_of("sweep") in json.dumps(rule["Targets"])


# -- what is kept


def test_everything_that_is_kept_is_encrypted_and_reached_by_tls_only(template: Template) -> None:
    for queue in template.of(ANY_QUEUE).values():
        assert queue.get("SqsManagedSseEnabled") is True or queue.get("KmsMasterKeyId")
    for table in template.of("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"]["SSEEnabled"] is True
    bucket = template.one("AWS::S3::Bucket")
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    refusing = [
        statement
        for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")
        for policy in template.of(kind).values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and "aws:SecureTransport" in json.dumps(statement)
    ]
    assert len(refusing) == len(template.of(ANY_QUEUE)) + 1


def test_a_key_of_ones_own_is_used_everywhere(full: Template) -> None:
    assert all(queue["KmsMasterKeyId"] for queue in full.of(ANY_QUEUE).values())
    assert full.one("AWS::DSQL::Cluster")["KmsEncryptionKey"]
    assert full.one("AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"]
    assert "aws:kms" in json.dumps(full.one("AWS::S3::Bucket")["BucketEncryption"])
    for name in FUNCTIONS:
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= full.allowed(name)


def test_the_table_forgets_and_can_be_put_back(template: Template) -> None:
    for table in template.of("AWS::DynamoDB::Table").values():
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table["BillingMode"] == "PAY_PER_REQUEST"
    (main,) = [
        table for table in template.of("AWS::DynamoDB::Table").values() if len(table["KeySchema"]) == 2
    ]
    assert [key["AttributeName"] for key in main["KeySchema"]] == ["pk", "sk"]


def test_what_is_true_outlives_the_stack(plain: Template) -> None:
    assert plain.one("AWS::DSQL::Cluster")["DeletionProtectionEnabled"] is True
    for kind in ("AWS::DSQL::Cluster", "AWS::S3::Bucket"):
        (resource,) = [each for each in plain.resources.values() if each["Type"] == kind]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_is_closed_and_nothing_in_it_expires(template: Template) -> None:
    bucket = template.one("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert "AbortIncompleteMultipartUpload" in rule and not any(name.startswith("Expir") for name in rule)


# -- permissions


def test_nobody_may_do_everything(template: Template) -> None:
    for statement in template.statements():
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            assert "*" not in action, statement
        for resource in listed(statement["Resource"]):
            assert resource != "*", statement
    for role in template.of("AWS::IAM::Role").values():
        assert not role.get("ManagedPolicyArns"), "managed policies name everything"


def test_each_function_has_a_role_of_its_own_with_what_it_needs(template: Template) -> None:
    roles = [json.dumps(each["Role"]) for each in template.of("AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(roles)
    assert {name for name in FUNCTIONS if "dsql:DbConnect" in template.allowed(name)} == set(FUNCTIONS) - {
        "relay"
    }
    assert not any("dsql:DbConnectAdmin" in template.allowed(name) for name in FUNCTIONS)
    assert {name for name in FUNCTIONS if "scheduler:CreateSchedule" in template.allowed(name)} == {"agent"}
    assert {name for name in FUNCTIONS if "s3:GetObject" in template.allowed(name)} == {
        "agent",
        "receiver",
        "api",
        "dead_letters",
    }
    assert template.allowed("relay") - {"kms:Decrypt", "kms:GenerateDataKey"} == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:SendMessage",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    }


def operations() -> set[str]:
    """Every operation of AWS that the host's sources name, as the action that allows it."""
    folder = ROOT / "python" / "infinity" / "cloud"
    files = [file for file in folder.rglob("*.py") if not {"emulator", "cdk"} & set(file.parts)]
    source = "\n".join(file.read_text() for file in files)
    found = re.findall(r'json\(\s*"([a-z0-9]+)",\s*"([A-Za-z]+)"', source)
    found += [("scheduler", name) for name in re.findall(r'"((?:Create|Update|Delete)Schedule)"', source)]
    found += [("sqs", name) for name in re.findall(r'self\._all\("(\w+)Batch"', source)]
    found += [("s3", name) for name in re.findall(r'operation="([A-Z]\w+Object)"', source)]
    return {f"{service}:{name.removesuffix('Batch')}" for service, name in found}


def test_the_agent_may_do_whatever_the_host_does(full: Template) -> None:
    """``AWS_ENDPOINT_URL``'s stand-ins ask for no permission, so that a missing one would be found by an account only."""
    done = operations()
    assert {"sqs:SendMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"} <= done
    assert {"dynamodb:BatchWriteItem", "scheduler:DeleteSchedule", "s3:PutObject"} <= done
    assert done - full.allowed("agent") == set()


def test_the_crash_tests_run_with_the_permissions_of_a_deployment(plain: Template) -> None:
    """Written anew by ``INFINITY_WRITE=1 make cdk`` when the policies change."""
    found = {name: policies(plain, name) for name in FUNCTIONS}
    if os.environ.get("INFINITY_WRITE"):
        PERMISSIONS.write_text(json.dumps(found, indent=1) + "\n")
    assert json.loads(PERMISSIONS.read_text()) == found


def policies(template: Template, function: str) -> list[dict[str, Any]]:
    """Statements on what the stand-ins are, with names in place of what is known when it is deployed only."""
    variables = template.variables("agent")
    names = {id: name for name, (id, _) in queues(template).items()}
    names |= {variables["INFINITY_TABLE"]["Ref"]: "table", variables["INFINITY_BUCKET"]["Ref"]: "bucket"}
    names |= {variables["INFINITY_SCHEDULE_ROLE"]["Fn::GetAtt"][0]: "scheduler role"}
    names |= {"AWS::Region": "region", "AWS::AccountId": "account"}

    def plainly(value: Any) -> str:
        match value:
            case str(text):
                return text.replace(variables["INFINITY_SCHEDULE_GROUP"], "<group>")
            case {"Fn::Join": [between, list(parts)]}:
                return str(between).join(map(plainly, parts))
            case {"Ref": "AWS::Partition"}:
                return "aws"
            case {"Ref": id} | {"Fn::GetAtt": [id, _]}:
                return f"<{names.get(id, id)}>"
        raise AssertionError(f"what is {value}?")

    found = []
    for statement in template.statements(template.functions()[function]["Role"]):
        actions = [action for action in listed(statement["Action"]) if action.partition(":")[0] in PLAYED]
        if actions:
            kept = {"Action": actions, "Resource": [plainly(each) for each in listed(statement["Resource"])]}
            found.append(
                {**kept, **({"Condition": statement["Condition"]} if "Condition" in statement else {})}
            )
    return found


def test_secrets_are_read_by_those_who_use_them_only(full: Template) -> None:
    readers = {name for name in FUNCTIONS if "secretsmanager:GetSecretValue" in full.allowed(name)}
    assert readers == {"agent", "api"}


# -- tool servers


def test_a_tool_function_is_called_by_the_agent_with_both_permissions(plain: Template) -> None:
    office = next(
        name
        for name, each in plain.of("AWS::Lambda::Function").items()
        if each["Handler"] == "office.handler"
    )
    for function in ("agent", "api"):
        allowed = [
            each
            for each in plain.statements(plain.functions()[function]["Role"])
            if office in json.dumps(each["Resource"])
        ]
        actions = {action: each["Condition"] for each in allowed for action in listed(each["Action"])}
        assert actions == {
            "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
            "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        }
    (url,) = [
        each
        for each in plain.of("AWS::Lambda::Url").values()
        if office in json.dumps(each["TargetFunctionArn"])
    ]
    assert url["AuthType"] == "AWS_IAM"


def test_the_agent_finds_its_tool_servers(plain: Template, full: Template) -> None:
    def configured(template: Template, name: str) -> Any:
        text = template.variables("agent")[name]
        parts = text["Fn::Join"][1] if isinstance(text, dict) else [text]
        filled = "".join(
            part if isinstance(part, str) else "https://x.lambda-url.eu-central-1.on.aws/" for part in parts
        )
        return tomllib.loads(f"toolset = {filled}")["toolset"]

    office = configured(plain, "INFINITY_TOOLSETS_OFFICE")
    assert office == {"url": "https://x.lambda-url.eu-central-1.on.aws/", "auth": "aws_iam"}
    search = configured(full, "INFINITY_TOOLSETS_WEB_SEARCH")
    assert search == {"url": "https://search.example", "token_env": "TOOLSET_WEB_SEARCH_TOKEN"}
    assert "#search" in json.dumps(full.variables("agent")["TOOLSET_WEB_SEARCH_TOKEN"])
    assert "TOOLSET_WEB_SEARCH_TOKEN" not in full.variables("receiver")


# -- watching


def test_somebody_is_called_when_something_is_wrong(template: Template) -> None:
    alarms = template.of("AWS::CloudWatch::Alarm").values()
    named = queues(template)
    watched = {(alarm["MetricName"], json.dumps(alarm["Dimensions"])) for alarm in alarms}

    def watches(metric: str, id: str) -> bool:
        return any(name == metric and f'"{id}"' in where for name, where in watched)

    # A letter that is tried again and again is hidden nearly all the time.
    assert watches("ApproximateAgeOfOldestMessage", named["dead"][0])
    assert not watches("ApproximateNumberOfMessagesVisible", named["dead"][0])
    for name in ("receiver", "api"):
        assert watches("Url5xxCount", template.id_of(name))
    (cluster,) = template.of("AWS::DSQL::Cluster")
    assert watches("QueryTimeouts", cluster)
    assert watches("ApproximateNumberOfMessagesVisible", named["late"][0])
    assert watches("ApproximateAgeOfOldestMessage", named["inbox"][0])
    for name in FUNCTIONS:
        assert watches("Errors", template.id_of(name)) and watches("Throttles", template.id_of(name))


def test_slices_that_keep_failing_raise_the_alarm_that_the_crash_tests_play(template: Template) -> None:
    (alarm,) = [
        each
        for each in template.of("AWS::CloudWatch::Alarm").values()
        if each["MetricName"] == FAILING.metric
    ]
    assert alarm["Namespace"] == NAMESPACE and alarm["Statistic"] == "Sum"
    assert (alarm["Threshold"], alarm["Period"]) == (FAILING.least, FAILING.seconds)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (FAILING.periods, FAILING.breaching)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": template.id_of("agent")}}]
    assert template.variables("agent")["INFINITY_METRICS"] == "1"


def test_alarms_do_what_they_are_told_and_write_to_an_address(full: Template, plain: Template) -> None:
    alarms = full.of("AWS::CloudWatch::Alarm").values()
    assert {len(alarm["AlarmActions"]) for alarm in alarms} == {2}
    (mail,) = full.of("AWS::SNS::Subscription").values()
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@agent.example")
    assert not plain.of("AWS::SNS::Topic")


def test_a_dashboard_shows_every_figure_of_the_functions(template: Template) -> None:
    shown = json.dumps(template.one("AWS::CloudWatch::Dashboard"))
    assert all(name in shown for name in METRICS)


# -- limits


def test_nobody_takes_more_than_their_share_of_the_account(template: Template) -> None:
    for mapping in template.of("AWS::Lambda::EventSourceMapping").values():
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2
    functions = template.functions()
    reserved = {name: each.get("ReservedConcurrentExecutions") for name, each in functions.items()}
    assert {name for name, most in reserved.items() if most} == {"receiver", "relay"}


def test_messages_that_are_nowhere_else_outlive_the_stack(full: Template, plain: Template) -> None:
    for template, kept in ((plain, {"inbox", "dead"}), (full, set())):
        policies = {
            name: template.resources[id].get("DeletionPolicy") for name, (id, _) in queues(template).items()
        }
        assert {name for name, policy in policies.items() if policy == "Retain"} == kept


def test_two_agents_are_in_one_stack(layer: Path, tmp_path: Path) -> None:
    arguments = ["-c", TWO, str(EXAMPLE / "agent"), str(layer)]
    two = Template(synthesised(arguments, EXAMPLE, tmp_path, layer))
    handlers = [each["Handler"] for each in two.of("AWS::Lambda::Function").values()]
    assert handlers.count("infinity.cloud.handlers.agent") == 2
    assert {name for name in two.document["Outputs"] if name.endswith("ApiUrl")} == {
        "OneApiUrl",
        "OtherApiUrl",
    }


TWO = """
import sys
from aws_cdk import App, Stack
from infinity.cloud.cdk import InfinityAgent

code, layer = sys.argv[1:]
stack = Stack(App(), "Two")
for name in ("One", "Other"):
    InfinityAgent(stack, name, code=code, layer=layer)
stack.node.root.synth()
"""


def test_a_bucket_that_goes_with_its_stack_is_emptied_first(full: Template, plain: Template) -> None:
    assert full.of("Custom::S3AutoDeleteObjects")
    assert not plain.of("Custom::S3AutoDeleteObjects")


# -- options


def test_a_snapshot_is_of_a_published_version_that_the_queue_reaches(full: Template) -> None:
    assert full.functions()["agent"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    mapping = next(
        each
        for each in full.of("AWS::Lambda::EventSourceMapping").values()
        if each["ScalingConfig"] == {"MaximumConcurrency": 50}
    )
    assert "Live" in json.dumps(mapping["FunctionName"])


def test_the_outputs_are_what_the_guide_uses(plain: Template) -> None:
    assert set(plain.document["Outputs"]) == {
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
        )
    }


def test_cfn_lint_has_nothing_to_say(example: Path, everything: Path) -> None:
    # W3005: the CDK orders a function after its role and its role's policies; the first half is implied.
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    command = [linter, "--ignore-checks", "W3005", "--", str(example), str(everything)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
