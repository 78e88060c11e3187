"""What a service answers when it refuses. Each protocol has its own way to write it down; see ``protocols``."""

from __future__ import annotations

from typing import Any

__all__ = ["AwsError", "ConnectionReset"]


class AwsError(Exception):
    """A refusal of a service.

    Args:
        code: The error's name as the service's documentation has it.
        message: For people.
        status: Of HTTP.
        fields: Stand beside the message in the answer.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


class ConnectionReset(Exception):
    """The caller's connection is cut instead of an answer."""
