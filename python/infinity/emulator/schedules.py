"""One-time schedules: what may be written down, and when it happens.

``scheduler`` checks every request with ``parsed``. Recurring schedules are refused, because nothing in the
host makes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .clock import Alarm
from .failure import AwsError

__all__ = ["SEND_MESSAGE", "Schedule", "due_at", "parsed"]

SEND_MESSAGE = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
"""The universal target; its ``Input`` is the whole request."""
_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_QUEUE = re.compile(r"arn:aws:sqs:[a-z0-9-]+:\d{12}:[\w-]{1,80}(\.fifo)?")
_TOKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass
class Schedule:
    """``given`` is the request that made it; ``due_at`` in ms. ``fired``: it has invoked its target, or
    missed its time.
    """

    name: str
    group: str
    arn: str
    given: dict[str, Any]
    due_at: int
    created_at: int
    modified_at: int
    fired: bool = False
    alarm: Alarm | None = field(default=None, repr=False)

    @property
    def target(self) -> dict[str, Any]:
        target: dict[str, Any] = self.given["Target"]
        return target

    @property
    def enabled(self) -> bool:
        return bool(self.given.get("State", "ENABLED") == "ENABLED")

    @property
    def deletes_itself(self) -> bool:
        return bool(self.given.get("ActionAfterCompletion", "NONE") == "DELETE")

    def described(self) -> dict[str, Any]:
        """The answer of ``GetSchedule``, with the defaults of what was not given."""
        usual = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
        policy = usual | (self.target.get("RetryPolicy") or {})
        return {
            "State": "ENABLED",
            "ScheduleExpressionTimezone": "UTC",
            "ActionAfterCompletion": "NONE",
            **{name: value for name, value in self.given.items() if name != "ClientToken"},
            "Target": {**self.target, "RetryPolicy": policy},
            "Name": self.name,
            "GroupName": self.group,
            "Arn": self.arn,
            "CreationDate": self.created_at / 1000,
            "LastModificationDate": self.modified_at / 1000,
        }


def parsed(name: str, given: Mapping[str, Any]) -> tuple[str, int]:
    """Check a request that makes or changes a schedule.

    Args:
        name: Of the schedule.
        given: The request's JSON object.

    Returns:
        The group, and when it is due, in milliseconds since the epoch.

    Raises:
        AwsError: for what the service would not take.
    """
    group = given.get("GroupName") or "default"
    for value, what in ((name, "name"), (group, "groupName")):
        if _NAME.fullmatch(value) is None:
            raise invalid(
                f"1 validation error detected: Value '{value}' at '{what}' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$ and have length between 1 and 64"
            )
    token = given.get("ClientToken")
    if token is not None and _TOKEN.fullmatch(token) is None:
        raise invalid(
            f"1 validation error detected: Value '{token}' at 'clientToken' failed to satisfy constraint"
        )
    window = given.get("FlexibleTimeWindow") or {}
    if window.get("Mode") not in ("OFF", "FLEXIBLE") or ("MaximumWindowInMinutes" in window) != (
        window["Mode"] == "FLEXIBLE"
    ):
        raise invalid("FlexibleTimeWindow must have Mode OFF, or FLEXIBLE with MaximumWindowInMinutes.")
    if given.get("State", "ENABLED") not in ("ENABLED", "DISABLED"):
        raise invalid("State must be ENABLED or DISABLED.")
    if given.get("ActionAfterCompletion", "NONE") not in ("NONE", "DELETE"):
        raise invalid("ActionAfterCompletion must be NONE or DELETE.")
    _check_target(given.get("Target") or {})
    return group, due_at(
        given.get("ScheduleExpression") or "", given.get("ScheduleExpressionTimezone") or "UTC"
    )


def due_at(expression: str, zone: str) -> int:
    """Read ``at(yyyy-mm-ddThh:mm:ss)`` in a timezone, as milliseconds since the epoch.

    Raises:
        AwsError: for another expression, also for ``rate`` and ``cron``, which the emulator does not have.
    """
    match = _AT.fullmatch(expression)
    try:
        local = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        local = None
    if local is None:
        if re.fullmatch(r"(rate|cron)\(.+\)", expression):
            raise invalid(f"This emulator fires one-time schedules only, not {expression}.")
        raise invalid(f"Invalid Schedule Expression {expression}.")
    try:
        return int(local.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(f"The provided timezone {zone} is not valid.") from None


def _check_target(target: Mapping[str, Any]) -> None:
    arn, role = target.get("Arn") or "", target.get("RoleArn") or ""
    if _ROLE.fullmatch(role) is None:
        raise invalid(f"Provided role ARN {role!r} is not valid.")
    if arn != SEND_MESSAGE and _QUEUE.fullmatch(arn) is None:
        raise invalid(
            f"Provided Arn {arn!r} is not in correct format, or not a target that this emulator has."
        )
    fifo = arn.endswith(".fifo")
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    if arn != SEND_MESSAGE and fifo != bool(group):
        raise invalid("SqsParameters.MessageGroupId must be specified for a FIFO queue, and only for one.")
    if arn == SEND_MESSAGE and not target.get("Input"):
        raise invalid("Input is required for a universal target.")
    policy = target.get("RetryPolicy") or {}
    for name, least, most in (("MaximumRetryAttempts", 0, 185), ("MaximumEventAgeInSeconds", 60, 86_400)):
        value = policy.get(name, most)
        if not isinstance(value, int) or not least <= value <= most:
            raise invalid(f"RetryPolicy.{name} must be between {least} and {most}.")
    letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if letters is not None and (_QUEUE.fullmatch(letters) is None or letters.endswith(".fifo")):
        raise invalid("DeadLetterConfig.Arn must be the ARN of a standard SQS queue.")


def invalid(message: str) -> AwsError:
    """The refusal ``ValidationException``, with these words."""
    return AwsError("ValidationException", message)
