"""EventBridge Scheduler: what it takes, what it refuses, what it remembers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.aws.backends import REGION, Aws, fresh
from tests.contract.aws.conftest import refused

SERVICE = "scheduler"
ROLE = "arn:aws:iam::123456789012:role/scheduler"
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:queue"


def schedule(name: str, **more: Any) -> dict[str, Any]:
    message = {"QueueUrl": "https://queue", "MessageBody": "x"}
    usual = {
        "Name": name,
        "ScheduleExpression": "at(2099-01-18T08:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": UNIVERSAL, "RoleArn": ROLE, "Input": json.dumps(message)},
    }
    return usual | more


async def test_a_schedule_is_kept_as_it_was_given(aws: Aws) -> None:
    given = schedule(fresh("s"), ScheduleExpressionTimezone="Europe/Berlin", ActionAfterCompletion="DELETE")
    answer = await aws.call("scheduler", "create_schedule", **given)
    found = await aws.call("scheduler", "get_schedule", Name=given["Name"])
    assert found["Arn"] == answer["ScheduleArn"]
    target = given.pop("Target")
    assert {name: found["Target"][name] for name in target} == target
    assert {name: found[name] for name in given} == given
    assert (found["GroupName"], found["State"]) == ("default", "ENABLED")


async def test_a_name_is_used_once(aws: Aws) -> None:
    given = schedule(fresh("s"))
    await aws.call("scheduler", "create_schedule", **given)
    with refused("ConflictException") as refusal:
        await aws.call("scheduler", "create_schedule", **given)
    assert refusal.status == 409


async def test_a_repeated_creation_with_its_token_is_the_same_schedule(aws: Aws) -> None:
    given = schedule(fresh("s"), ClientToken=fresh("token"))
    first = await aws.call("scheduler", "create_schedule", **given)
    second = await aws.call("scheduler", "create_schedule", **given)
    assert first["ScheduleArn"] == second["ScheduleArn"]


async def test_a_token_belongs_to_one_schedule(aws: Aws) -> None:
    token = fresh("token")
    await aws.call("scheduler", "create_schedule", **schedule(fresh("s"), ClientToken=token))
    with refused("ConflictException"):
        await aws.call("scheduler", "create_schedule", **schedule(fresh("s"), ClientToken=token))


async def test_a_deleted_schedule_is_gone_and_its_name_free(aws: Aws) -> None:
    given = schedule(fresh("s"))
    await aws.call("scheduler", "create_schedule", **given)
    await aws.call("scheduler", "delete_schedule", Name=given["Name"])
    for operation in ("get_schedule", "delete_schedule"):
        with refused("ResourceNotFoundException") as refusal:
            await aws.call("scheduler", operation, Name=given["Name"])
        assert refusal.status == 404
    await aws.call("scheduler", "create_schedule", **given)


async def test_an_update_replaces_the_whole(aws: Aws) -> None:
    given = schedule(fresh("s"), Description="first")
    await aws.call("scheduler", "create_schedule", **given)
    changed = schedule(given["Name"], ScheduleExpression="at(2098-01-01T00:00:00)", State="DISABLED")
    await aws.call("scheduler", "update_schedule", **changed)
    found = await aws.call("scheduler", "get_schedule", Name=given["Name"])
    assert (found["ScheduleExpression"], found["State"]) == ("at(2098-01-01T00:00:00)", "DISABLED")
    with refused("ResourceNotFoundException"):
        await aws.call("scheduler", "update_schedule", **schedule(fresh("none")))


@pytest.mark.parametrize(
    "expression",
    [
        "at(2099-01-18 08:00:00)",
        "at(2099-02-30T08:00:00)",
        "at(2099-01-18T08:00)",
        "at(soon)",
        "tomorrow",
        "at(2099-01-18T08:00:00Z)",
    ],
)
async def test_an_expression_that_is_none_is_refused(aws: Aws, expression: str) -> None:
    with refused("ValidationException"):
        await aws.call("scheduler", "create_schedule", **schedule(fresh("s"), ScheduleExpression=expression))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"Target": {"Arn": UNIVERSAL, "RoleArn": ROLE}},
        {"Target": {"Arn": "nonsense", "RoleArn": ROLE, "Input": "{}"}},
        {"Target": {"Arn": f"{QUEUE}.fifo", "RoleArn": ROLE, "Input": "{}"}},
    ],
    ids=lambda wrong: " ".join(wrong) + " " + str(next(iter(wrong.values())))[:40],
)
async def test_what_makes_no_sense_is_refused(aws: Aws, wrong: dict[str, Any]) -> None:
    with refused("ValidationException"):
        await aws.call("scheduler", "create_schedule", **schedule(fresh("s"), **wrong))


@pytest.mark.parametrize("name", ["has space", "x" * 65, "ä"])
async def test_a_name_has_64_plain_characters_at_most(aws: Aws, name: str) -> None:
    with refused("ValidationException", "UnknownOperationException"):
        await aws.call("scheduler", "create_schedule", **schedule(name))


async def test_schedules_are_listed_by_prefix_and_in_pages(aws: Aws) -> None:
    prefix = fresh("s")
    names = [f"{prefix}-{n}" for n in range(3)]
    for name in names:
        await aws.call("scheduler", "create_schedule", **schedule(name))
    listed = await aws.call("scheduler", "list_schedules", NamePrefix=prefix)
    assert [each["Name"] for each in listed["Schedules"]] == names
    assert listed["Schedules"][0]["Target"]["Arn"] == UNIVERSAL
    first = await aws.call("scheduler", "list_schedules", NamePrefix=prefix, MaxResults=2)
    rest = await aws.call(
        "scheduler", "list_schedules", NamePrefix=prefix, MaxResults=2, NextToken=first["NextToken"]
    )
    assert [each["Name"] for each in first["Schedules"] + rest["Schedules"]] == names


async def test_groups_keep_names_apart_and_take_their_schedules_with_them(aws: Aws) -> None:
    group, name = fresh("group"), fresh("s")
    await aws.call("scheduler", "create_schedule_group", Name=group)
    with refused("ConflictException"):
        await aws.call("scheduler", "create_schedule_group", Name=group)
    await aws.call("scheduler", "create_schedule", **schedule(name))
    await aws.call("scheduler", "create_schedule", **schedule(name, GroupName=group))
    found = await aws.call("scheduler", "get_schedule", Name=name, GroupName=group)
    assert found["GroupName"] == group
    await aws.call("scheduler", "delete_schedule_group", Name=group)
    with refused("ResourceNotFoundException"):
        await aws.call("scheduler", "get_schedule", Name=name, GroupName=group)
    await aws.call("scheduler", "get_schedule", Name=name)


async def test_a_schedule_needs_a_group_that_exists(aws: Aws) -> None:
    with refused("ResourceNotFoundException"):
        await aws.call("scheduler", "create_schedule", **schedule(fresh("s"), GroupName=fresh("none")))
