"""TransactWriteItems and TransactGetItems: all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..failure import AwsError
from .changes import Change, planned
from .expression import Placeholders
from .values import bad, checked_item

if TYPE_CHECKING:
    from .service import DynamoDb

__all__ = ["Transactions"]

MOST = 100
MAX_BYTES = 4 << 20
TOKEN_MS = 10 * 60 * 1000
"""A repeated token is known for so long."""


class Transactions:
    def __init__(self, service: DynamoDb, now: Callable[[], int]) -> None:
        self._service = service
        self._now = now
        self._tokens: dict[str, tuple[int, str]] = {}

    def write(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        actions = _actions(arguments)
        if self._repeated(arguments):
            return {}
        changes: list[Change] = []
        reasons: list[dict[str, Any]] = []
        for action in actions:
            ((kind, request),) = action.items()
            table = self._service.asked(request)
            try:
                changes.append(planned(kind, table, request))
                reasons.append({"Code": "None"})
            except AwsError as error:
                reasons.append(_reason(error))
        self._check_distinct(actions)
        if len(changes) < len(actions):
            names = ", ".join(reason["Code"] for reason in reasons)
            raise AwsError(
                "TransactionCanceledException",
                f"Transaction cancelled, please refer cancellation reasons for specific reasons [{names}]",
                CancellationReasons=reasons,
                Message=f"Transaction cancelled, please refer cancellation reasons for specific reasons [{names}]",
            )
        if sum(change.size for change in changes) > MAX_BYTES:
            raise bad("Collection size limit exceeded: a transaction holds at most 4 MB")
        for change in changes:
            if self._service.writing:
                change.make()
            # A transaction prepares and commits: it costs twice.
            self._service.charge("write", change.size, {}, 2)
        token = arguments.get("ClientRequestToken")
        if token and self._service.writing:
            self._tokens[token] = (self._now(), _fingerprint(arguments))
        return {}

    def _repeated(self, arguments: Mapping[str, Any]) -> bool:
        """Whether this very request succeeded within ten minutes; ``AwsError`` if its token belonged to another."""
        token = arguments.get("ClientRequestToken")
        if token is None:
            return False
        if not isinstance(token, str) or not 1 <= len(token) <= 36:
            raise bad(
                "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have length between 1 and 36"
            )
        known = self._tokens.get(token)
        if known is None or known[0] + TOKEN_MS <= self._now():
            return False
        if known[1] != _fingerprint(arguments):
            raise AwsError(
                "IdempotentParameterMismatchException",
                "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical",
            )
        return True

    def _check_distinct(self, actions: list[Mapping[str, Any]]) -> None:
        seen = set()
        for action in actions:
            ((_, request),) = action.items()
            table = self._service.asked(request)
            given = checked_item(request.get("Key") or request.get("Item"))
            key = (table.name, *(json.dumps(given.get(name)) for name in table.keys))
            if key in seen:
                raise bad("Transaction request cannot include multiple operations on one item")
            seen.add(key)

    def get(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Consistent reads of up to 100 items at one point in time."""
        responses = []
        for action in _actions(arguments):
            request = {**action["Get"], "ConsistentRead": True}
            placeholders = Placeholders(request)
            table = self._service.asked(request)
            item, size = self._service.read(table, request, request.get("Key"), placeholders)
            placeholders.all_used()
            self._service.charge("read", size, {}, 2)
            responses.append({} if item is None else {"Item": item})
        return {"Responses": responses}


def _actions(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    actions: list[Mapping[str, Any]] = arguments.get("TransactItems") or []
    if not 1 <= len(actions) <= MOST:
        raise bad(
            f"1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to {MOST}"
        )
    if any(len(action) != 1 for action in actions):
        raise bad("TransactItems can only contain one of Check, Put, Update or Delete")
    return actions


def _reason(error: AwsError) -> dict[str, Any]:
    if error.code == "ConditionalCheckFailedException":
        return {"Code": "ConditionalCheckFailed", "Message": error.message, **error.fields}
    if error.code == "ValidationException":
        return {"Code": "ValidationError", "Message": error.message}
    raise error


def _fingerprint(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments.get("TransactItems"), sort_keys=True)
