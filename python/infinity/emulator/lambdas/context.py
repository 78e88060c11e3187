"""The context that a handler in this process is called with; it has what handlers use of Lambda's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    aws_request_id: str
    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    deadline: int
    """In ms, by the emulator's clock."""
    now: Callable[[], int]
    function_version: str = "$LATEST"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return f"[$LATEST]{self.aws_request_id}"

    def get_remaining_time_in_millis(self) -> int:
        return max(self.deadline - self.now(), 0)
