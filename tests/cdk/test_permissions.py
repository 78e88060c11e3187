"""Who may do what: by what is synthesised, and by what the host's sources do."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from conftest import FUNCTIONS, ROOT, Template, listed, queues

PERMISSIONS = ROOT / "tests" / "cloud" / "crash" / "permissions.json"
PLAYED = {"sqs", "dynamodb", "s3", "scheduler", "iam"}
"""Services that the stand-ins are, and the role that is passed on to one of them."""


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
    # ``starting.py`` is of the command line, with the credentials of a person; ``tool_function.py`` of functions that are tools.
    others = {"starting.py", "tool_function.py"}
    folders = [ROOT / "python" / "infinity" / name for name in ("aws", "cloud")]
    files = [file for folder in folders for file in folder.rglob("*.py") if file.name not in others]
    source = "\n".join(file.read_text() for file in files)
    found = re.findall(r'json\(\s*"([a-z0-9]+)",\s*"([A-Za-z]+)"', source)
    found += [("dynamodb", name) for name in re.findall(r'self\._(?:ask|conditionally)\("(\w+)"', source)]
    found += [("scheduler", name) for name in re.findall(r'"((?:Create|Update|Delete)Schedule)"', source)]
    found += [("sqs", name) for name in re.findall(r'self\._all\("(\w+)Batch"', source)]
    found += [("s3", name) for name in re.findall(r'operation="([A-Z]\w+Object)"', source)]
    return {f"{service}:{name.removesuffix('Batch')}" for service, name in found}


def test_the_agent_may_do_whatever_the_host_does(full: Template) -> None:
    """``AWS_ENDPOINT_URL``'s stand-ins ask for no permission, so that a missing one would be found by an account only."""
    done = operations()
    assert {"sqs:SendMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"} <= done
    assert {"dynamodb:BatchWriteItem", "dynamodb:Query", "dynamodb:PutItem"} <= done
    assert {"scheduler:DeleteSchedule", "s3:PutObject"} <= done
    # What people say is counted where it comes in.
    assert done - full.allowed("agent") == {"dynamodb:UpdateItem"} <= full.allowed("api")


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
