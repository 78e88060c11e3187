"""How much a tool server takes on at once, and how long its functions may take."""

from __future__ import annotations

from dataclasses import dataclass

from infinity.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tool server takes on at once.

    Args:
        concurrent: functions that run at once.
        long_running: those that run beside them, because they are so annotated or have run for some
            seconds.
        waiting: calls that may wait for their turn, beyond which invocations get 503 and come again
            later (INV-5).
        seconds: how long a function may take, and how long a call may wait for its turn; a tool has a
            time of its own with ``timeout``, and none if it is ``long_running``.
        result_bytes: the largest callback that is sent, larger ones are shortened; by default what a
            runtime takes.

    Raises:
        ConfigError: a limit with which nothing could be done.
    """

    concurrent: int = 64
    long_running: int = 256
    waiting: int = 1_000
    seconds: float = 900.0
    result_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        if (
            min(self.concurrent, self.long_running, self.waiting + 1, self.seconds, self.result_bytes - 4_095)
            <= 0
        ):
            raise ConfigError(
                "limits must be above zero, 'waiting' at least zero, 'result_bytes' at least 4096 so that errors fit"
            )
