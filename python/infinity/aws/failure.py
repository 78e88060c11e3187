"""What AWS refused or did not answer, in words: which service, which operation, its own name for it, and
what to do now.

A service's message may repeat what it was sent, so only its first line is passed on, and nothing of it
where the signature was refused: then it holds the session token (S9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from infinity.errors import StoreError

__all__ = ["AwsError", "is_throttling", "refused", "unreachable"]

MAX_WORDS = 300
"""Characters of a service's message that are passed on."""

_THROTTLING = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_TRANSIENT = frozenset({"InternalError", "RequestTimeout", "RequestTimeoutException", "RequestTimedOut"})
_IDENTITY = re.compile(
    r"InvalidSignature|SignatureDoesNotMatch|UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|ExpiredToken|InvalidToken|"
    r"MissingAuthenticationToken|IncompleteSignature|RequestTimeTooSkewed|RequestExpired"
)
_MISSING = re.compile(r"NotFound|DoesNotExist|NonExistent|NoSuchBucket|NoSuchKey")
_DENIED = re.compile(r"AccessDenied|NotAuthorized|UnauthorizedOperation|AuthorizationError")

_ACTIONS = {
    "SendMessageBatch": "sqs:SendMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "CreateSchedule": "scheduler:CreateSchedule, and iam:PassRole for the schedules' role",
    "Invoke": "lambda:InvokeFunction",
}
"""What a policy must allow, where that is not named like the operation."""
_HINTS = {
    "KMS.AccessDeniedException": "it is encrypted with a key: let the key's policy allow kms:Decrypt and kms:GenerateDataKey, and ",
    "KmsAccessDenied": "it is encrypted with a key: let the key's policy allow kms:Decrypt and kms:GenerateDataKey, and ",
    "GetObject": "who may not list a bucket hears this of objects that are not there, too: allow s3:ListBucket, and ",
}


class AwsError(StoreError):
    """AWS refused, or gave no answer.

    Args:
        text: what happened and what to do, without secrets.
        service_code: the service's own name of the error, such as ``QueueDoesNotExist``; empty if it
            gave no answer.
        status: of HTTP; 0 without an answer.
        retryable: the service was busy or could not be reached. It was tried several times already;
            later it may work.
        item: what DynamoDB had in place of what was to be written, where the request asked for it
            (``ReturnValuesOnConditionCheckFailure``).
    """

    def __init__(
        self,
        text: str,
        *,
        service_code: str = "",
        status: int = 0,
        retryable: bool = False,
        item: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.service_code = service_code
        self.status = status
        self.retryable = retryable
        self.item = item or {}


def refused(service: str, operation: str, status: int, headers: Mapping[str, str], body: bytes) -> AwsError:
    """The error for an answer that is no 2xx.

    Args:
        service: of AWS.
        operation: that was called.
        status: of the answer.
        headers: names in lower case.
        body: of the answer, JSON or XML.

    Returns:
        It says whether another try may help (``retryable``), and what to do otherwise.
    """
    code, message, item = _read(headers, body)
    code = code or f"HTTP {status}"
    retryable = status >= 500 or status == 429 or is_throttling(code) or code in _TRANSIENT
    # Of a refused signature nothing is repeated: the message holds what was signed (S9).
    words = "" if _IDENTITY.search(code) else _line(message)
    text = f"{service} {operation} was refused: {code}{': ' if words else ''}{words}"
    advice = _advice(service, operation, code, retryable)
    return AwsError(
        f"{text}; {advice}" if advice else text,
        service_code=code,
        status=status,
        retryable=retryable,
        item=item,
    )


def unreachable(service: str, operation: str, why: str) -> AwsError:
    """The error for a request without an answer.

    Args:
        service: of AWS.
        operation: that was called.
        why: without addresses, such as ``connection refused``.
    """
    return AwsError(
        f"{service} {operation} got no answer: {why}; check AWS_REGION, AWS_ENDPOINT_URL and the way there (a function in a VPC needs an endpoint of the service)",
        retryable=True,
    )


def is_throttling(code: str) -> bool:
    """Whether a request was refused for being called too often: it certainly did not happen.

    Args:
        code: the service's own name of its error.
    """
    return code in _THROTTLING or "Throttl" in code


def _advice(service: str, operation: str, code: str, retryable: bool) -> str:
    if _DENIED.search(code):
        action = _ACTIONS.get(operation, f"{service}:{operation}")
        return f"{_HINTS.get(code, '') or _HINTS.get(operation, '')}let the role's policy allow {action}"
    if _IDENTITY.search(code):
        return "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) and the machine's clock"
    if _MISSING.search(code):
        return "check its name, the region and the account"
    return "AWS is busy or disturbed; try again later" if retryable else ""


def _read(headers: Mapping[str, str], body: bytes) -> tuple[str, str, Any]:
    """Code, message and item, from JSON of either protocol, or S3's XML."""
    if body.lstrip()[:1] == b"<":
        text = body[:10_000].decode(errors="replace")
        return _element(text, "Code"), _element(text, "Message"), None
    try:
        document = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = {}
    if not isinstance(document, dict):
        document = {}
    code = headers.get("x-amzn-errortype") or document.get("__type") or document.get("code") or ""
    message = document.get("message") or document.get("Message") or ""
    # `com.amazonaws.sqs#QueueDoesNotExist`, or `ConflictException:http://internal…`
    return str(code).partition(":")[0].rpartition("#")[2], str(message), document.get("Item")


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""


def _line(message: str) -> str:
    # One line, and printable: it ends up in a terminal or a log.
    first = message.strip().partition("\n")[0][:MAX_WORDS].rstrip(".")
    return "".join(character if character.isprintable() else " " for character in first)
