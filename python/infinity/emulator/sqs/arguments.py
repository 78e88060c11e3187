"""What the operations of SQS are given, as far as it is checked in the same way by several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..failure import AwsError
from .failures import invalid, missing

__all__ = ["between", "entries", "handle"]

_ENTRY_ID = re.compile(r"[0-9A-Za-z_-]{1,80}")


def handle(arguments: Mapping[str, Any]) -> str:
    handle = arguments.get("ReceiptHandle")
    if not handle:
        raise missing("ReceiptHandle")
    return str(handle)


def between(arguments: Mapping[str, Any], parameter: str, least: int, most: int, reason: str) -> int | None:
    """An optional whole number of a request.

    Args:
        arguments: The request's JSON object.
        parameter: Its name.
        least: The smallest that is allowed.
        most: The largest.
        reason: SQS's words for a value out of range.

    Raises:
        AwsError: if it is out of range or no whole number.
    """
    value = arguments.get(parameter)
    if value is None:
        return None
    if not isinstance(value, int) or not least <= value <= most:
        raise invalid(value, parameter, reason)
    return value


def entries(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of a batch.

    Raises:
        AwsError: if there are none, too many, or two of one id.
    """
    given: list[Mapping[str, Any]] = arguments.get("Entries") or []
    if not given:
        raise AwsError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(given) > 10:
        message = f"Maximum number of entries per request are 10. You have sent {len(given)}."
        raise AwsError("TooManyEntriesInBatchRequest", message)
    names = [str(entry.get("Id")) for entry in given]
    for name in names:
        if _ENTRY_ID.fullmatch(name) is None:
            raise AwsError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            )
        if names.count(name) > 1:
            raise AwsError("BatchEntryIdsNotDistinct", f"Id {name} repeated.")
    return given
