"""The refusals of SQS, in its words."""

from __future__ import annotations

from ..failure import AwsError

__all__ = ["QUERY_CODES", "gone", "invalid", "missing"]

QUERY_CODES = {
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "MissingRequiredParameterException": "MissingParameter",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}
"""What SDKs that grew up with the query protocol call them, where that differs."""


def invalid(value: object, parameter: str, reason: str) -> AwsError:
    message = f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    return AwsError("InvalidParameterValueException", message)


def missing(parameter: str) -> AwsError:
    return AwsError(
        "MissingRequiredParameterException", f"The request must contain the parameter {parameter}."
    )


def gone() -> AwsError:
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")
