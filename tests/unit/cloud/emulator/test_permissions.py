"""Permissions: what no statement allows is refused, in the words of the service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infinity.emulator.failure import AwsError
from infinity.emulator.permissions import Permissions, Place
from infinity.emulator.wire import Request

PLACE = Place("eu-central-1", "000000000000")
QUEUE = PLACE.arn("sqs", "inbox.fifo")
BUCKET = "arn:aws:s3:::claims"
ROLE = "arn:aws:iam::000000000000:role/schedules"


def sent(**document: Any) -> Request:
    return Request("POST", "/", {}, json.dumps(document).encode())


TO_QUEUE = sent(QueueUrl="http://host/000000000000/inbox.fifo")
SCHEDULE = Request(
    "POST", "/schedules/wake-1", {}, json.dumps({"GroupName": "mine", "Target": {"RoleArn": ROLE}}).encode()
)
MAY_SCHEDULE = {"Action": "scheduler:CreateSchedule", "Resource": PLACE.arn("scheduler", "schedule/mine/*")}
PASSED_ON = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
MAY_PASS = {"Action": "iam:PassRole", "Resource": ROLE, "Condition": PASSED_ON}
TO_ANOTHER = {**MAY_PASS, "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
RECORD = Request("PUT", "/claims/records/a/b", {})
ITEMS = sent(RequestItems={"items": [], "others": []})
TABLE = PLACE.arn("dynamodb", "table/items")


@pytest.mark.parametrize(
    ("service", "operation", "request_", "statements", "missing"),
    [
        ("sqs", "SendMessageBatch", TO_QUEUE, [{"Action": "sqs:SendMessage", "Resource": QUEUE}], None),
        (
            "sqs",
            "DeleteMessage",
            TO_QUEUE,
            [{"Action": "sqs:SendMessage", "Resource": QUEUE}],
            "sqs:DeleteMessage",
        ),
        (
            "sqs",
            "SendMessage",
            TO_QUEUE,
            [{"Action": "sqs:*", "Resource": f"{QUEUE}.other"}],
            "sqs:SendMessage",
        ),
        ("s3", "PutObject", RECORD, [{"Action": "s3:PutObject", "Resource": f"{BUCKET}/records/*"}], None),
        (
            "s3",
            "PutObject",
            RECORD,
            [{"Action": "s3:PutObject", "Resource": f"{BUCKET}/claims/*"}],
            "s3:PutObject",
        ),
        ("dynamodb", "BatchWriteItem", ITEMS, [{"Action": "dynamodb:*", "Resource": TABLE}], "table/others"),
        ("scheduler", "CreateSchedule", SCHEDULE, [MAY_SCHEDULE, MAY_PASS], None),
        ("scheduler", "CreateSchedule", SCHEDULE, [MAY_SCHEDULE], "iam:PassRole"),
        ("scheduler", "CreateSchedule", SCHEDULE, [MAY_SCHEDULE, TO_ANOTHER], "iam:PassRole"),
        ("scheduler", "CreateSchedule", SCHEDULE, [MAY_PASS], "scheduler:CreateSchedule"),
        ("ssm", "GetParameter", sent(Name="/key"), [], "parameter/key"),
    ],
    ids=str,
)
def test_a_request_needs_its_action_its_resources_and_its_conditions(
    service: str, operation: str, request_: Request, statements: list[dict[str, Any]], missing: str | None
) -> None:
    permissions = Permissions(PLACE)
    caller = permissions.give(statements)
    if missing is None:
        permissions.check(caller.access_key, service, operation, request_)
    else:
        with pytest.raises(AwsError, match=missing):
            permissions.check(caller.access_key, service, operation, request_)
    permissions.check("the emulator's own key", service, operation, request_)
