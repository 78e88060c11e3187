"""How a function is set up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..failure import AwsError

__all__ = ["FunctionSettings", "Handler"]

Handler = Callable[[Any, Any], Any]
"""``handler(event, context)``, a function or a coroutine function."""
_ENVIRONMENT_BYTES = 4096


@dataclass(frozen=True)
class FunctionSettings:
    """How a function is set up.

    Args:
        name: Of the function.
        handler: ``"module.function"`` in ``code`` for a process of its own, or a callable in this one.
        start: Makes a callable for each new environment, for handlers that keep something between
            invocations.
        environment: At most 4 KB, names included.
        timeout: Seconds, up to 900.
        memory: In MB; it is told, not enforced.
        code: The directory of the handler's module.
        layers: Unpacked directories with ``python/`` in them.
        concurrency: The reserved one; ``None`` is without a limit.
        on_failure: ARN of a queue for events that could not be handled.

    Raises:
        ValueError: unless exactly one of ``handler`` and ``start`` is given.
        AwsError: for what Lambda would refuse.
    """

    name: str
    handler: str | Handler | None = None
    start: Callable[[], Handler] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 3
    memory: int = 128
    code: Path | None = None
    layers: Sequence[Path] = ()
    concurrency: int | None = None
    on_failure: str | None = None
    python: str = sys.executable
    """The interpreter; ``awslambdaric`` must be importable in it."""

    def __post_init__(self) -> None:
        if (self.handler is None) == (self.start is None):
            raise ValueError(f"function {self.name!r} needs either a handler or start")
        size = sum(len(name.encode()) + len(value.encode()) for name, value in self.environment.items())
        if size > _ENVIRONMENT_BYTES:
            raise AwsError(
                "InvalidParameterValueException",
                "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded "
                f"the 4KB limit. ({size} bytes)",
            )
        if not 0 < self.timeout <= 900:
            raise AwsError("InvalidParameterValueException", "Timeout must be between 1 and 900 seconds")
