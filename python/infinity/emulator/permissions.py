"""What each caller may do: statements of IAM policies, evaluated as IAM does for one account.

A request is allowed if a statement names its action, each of its resources, and conditions that hold;
there is no "Deny" here. The emulator's own key may do everything. So a deployment's policies are tested by
what the functions do, and not by what somebody remembered to list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .failure import AwsError
from .signature import Credentials
from .wire import Request

__all__ = ["Permissions", "Place"]

_S3 = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}
"""Actions that are not named like the operation."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of which ARNs are made."""

    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One thing that a request needs to be allowed. ``context``: values of condition keys."""

    action: str
    resource: str
    context: Mapping[str, str]


class Permissions:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._callers: dict[str, tuple[Credentials, Sequence[Mapping[str, Any]]]] = {}
        self.refused: list[str] = []
        """What was asked for and not allowed: some of it nobody else hears of."""

    def give(self, statements: Sequence[Mapping[str, Any]]) -> Credentials:
        """Make a caller with a key of its own.

        Args:
            statements: Of policies, with ``Action``, ``Resource`` and ``Condition`` in the words of IAM.
        """
        made = Credentials()
        self._callers[made.access_key] = made, statements
        return made

    def credentials(self, access_key: str) -> Credentials | None:
        """The credentials of a caller that ``give`` made; ``None`` for other keys."""
        found = self._callers.get(access_key)
        return None if found is None else found[0]

    def check(self, access_key: str, service: str, operation: str, request: Request) -> None:
        """Refuse a request that its caller may not make.

        Args:
            access_key: Who asks. Keys that ``give`` did not make may do everything.
            service: As in a signature's scope.
            operation: As the service names it.
            request: Names the resources.

        Raises:
            AwsError: with the code and status that the service has for it. The refusal is in ``refused`` as
                well.
        """
        if access_key not in self._callers:
            return
        statements = self._callers[access_key][1]
        for asked in self._asked(service, operation, request):
            if not any(_allows(statement, asked) for statement in statements):
                code = "AccessDenied" if service in ("s3", "sqs") else "AccessDeniedException"
                text = (
                    f"The caller is not authorized to perform: {asked.action} on resource: {asked.resource}"
                )
                self.refused.append(text)
                raise AwsError(code, text, 403 if service in ("s3", "scheduler", "lambda") else 400)

    # -- what a request asks for

    def _asked(self, service: str, operation: str, request: Request) -> Iterable[_Asked]:
        match service:
            case "sqs":
                # A batch needs the permission of its single operation.
                queue = str(_document(request).get("QueueUrl", "")).rpartition("/")[2]
                yield _Asked(f"sqs:{operation.removesuffix('Batch')}", self._place.arn("sqs", queue), {})
            case "dynamodb":
                document = _document(request)
                for table in document.get("RequestItems") or [document.get("TableName", "")]:
                    yield _Asked(f"dynamodb:{operation}", self._place.arn("dynamodb", f"table/{table}"), {})
            case "s3":
                bucket, _, key = request.raw_path.lstrip("/").partition("/")
                where = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
                yield _Asked(f"s3:{_S3.get(operation, operation)}", where, {})
            case "scheduler":
                yield from self._scheduling(operation, request)
            case "ssm":
                name = str(_document(request).get("Name", "")).lstrip("/")
                yield _Asked(f"ssm:{operation}", self._place.arn("ssm", f"parameter/{name}"), {})
            case "secretsmanager":
                name = str(_document(request).get("SecretId", ""))
                secret = (
                    name if name.startswith("arn:") else self._place.arn("secretsmanager", f"secret:{name}")
                )
                yield _Asked(f"secretsmanager:{operation}", secret, {})
            case _:
                yield _Asked(f"{service}:{operation}", "*", {})

    def _scheduling(self, operation: str, request: Request) -> Iterable[_Asked]:
        document = _document(request)
        group = request.query.get("groupName") or document.get("GroupName") or "default"
        name = request.segments[-1]
        yield _Asked(f"scheduler:{operation}", self._place.arn("scheduler", f"schedule/{group}/{name}"), {})
        # To hand a role to a service is a permission of its own, and the one that is most easily forgotten.
        role = (document.get("Target") or {}).get("RoleArn")
        if role:
            yield _Asked("iam:PassRole", role, {"iam:PassedToService": "scheduler.amazonaws.com"})


def _document(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _allows(statement: Mapping[str, Any], asked: _Asked) -> bool:
    return (
        statement.get("Effect", "Allow") == "Allow"
        and any(_matches(pattern, asked.action, re.IGNORECASE) for pattern in _listed(statement["Action"]))
        and any(_matches(pattern, asked.resource) for pattern in _listed(statement["Resource"]))
        and all(
            _holds(test, keys, asked.context) for test, keys in (statement.get("Condition") or {}).items()
        )
    )


def _matches(pattern: str, text: str, flags: int = 0) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, flags | re.DOTALL) is not None


def _holds(test: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """A key that the request does not have makes the test fail."""
    # Loud and not lenient: a condition that is not understood must not be taken for one that holds.
    if test not in ("StringEquals", "Bool", "StringLike"):
        raise NotImplementedError(f"the condition {test} is not evaluated here")
    return all(
        name in context and any(_compare(test, str(wanted), context[name]) for wanted in _listed(values))
        for name, values in keys.items()
    )


def _compare(test: str, wanted: str, found: str) -> bool:
    match test:
        case "StringLike":
            return _matches(wanted, found)
        case "Bool":
            return wanted.lower() == found.lower()
    return wanted == found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
