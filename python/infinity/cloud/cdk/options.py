"""What a deployment may choose. Everything has a default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infinity.errors import ConfigError

__all__ = ["Options"]

LONGEST = 900
"""Seconds that an invocation of Lambda may take."""
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Options:
    """``ConfigError`` if a value cannot be. Times in seconds, memory in MiB.

    ``agent``: ``module:name`` of an ``infinity.Agent`` in the code; without it ``infinity.toml`` says everything.
    ``environment``: further variables of the functions, in the clear; ``secrets``: variables of the agent function that are read from Secrets
    Manager or SSM when its process starts: an ``ISecret``, a pair of one and the key in its JSON, or an ``IStringParameter``.
    ``timeout``: of one slice. A completion that takes longer never ends. The messages of a process that ended are back within a minute, whatever it is.
    ``receives``: deliveries of a message before it goes to the dead-letter queue; the rest between them grows to 15 minutes.
    ``concurrency``: slices and batches of them that run at once; what is above that waits in the queue and counts no receive.
    ``reserve``: invocations that only callbacks may take, and as many as they may; with 10 more for the relay they are part of the account's concurrency, of which AWS
    leaves 100 (10 in a new account) to others. 0: no reserve for either.
    ``api_token``: guards the API with a bearer token in place of IAM.
    ``public_url``: a domain of one's own in front of the receiver's function URL.
    ``key``: a KMS key for everything that is stored; without it the services' own.
    ``snap_start``: the agent function starts from a snapshot; deploys take minutes longer.
    ``alarm_actions``: what alarms do (``IAlarmAction``); ``alarm_email``: an address that they write to, once it has confirmed that; ``oldest``: age of a message in the inbox queue that is an alarm.
    ``keep``: the cluster, the table, the bucket, the inbox queue and its dead letters outlive the stack.
    """

    agent: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    database_role: str = "infinity"
    timeout: int = 900
    memory: int = 1024
    receives: int = 20
    concurrency: int = 100
    reserve: int = 50
    api_token: Any = None
    public_url: str = ""
    key: Any = None
    snap_start: bool = False
    log_days: int = 30
    log_level: str = "info"
    alarm_actions: Sequence[Any] = ()
    alarm_email: str = ""
    oldest: int = 3600
    keep: bool = True

    def __post_init__(self) -> None:
        problems = [
            (
                self.timeout not in range(30, LONGEST + 1),
                f"timeout is {self.timeout} s, but must be 30 to {LONGEST}",
            ),
            (self.memory not in range(256, 10241), f"memory is {self.memory} MiB, but must be 256 to 10240"),
            (self.receives not in range(5, 1001), f"receives is {self.receives}, but must be 5 to 1000"),
            (
                self.concurrency not in range(2, 1001),
                f"concurrency is {self.concurrency}, but must be 2 to 1000",
            ),
            (self.reserve not in range(1001), f"reserve is {self.reserve}, but must be 0 to 1000"),
            (
                self.database_role == "admin" or not _ROLE.fullmatch(self.database_role),
                f"database_role is {self.database_role!r}, but must be a name of small letters, digits and _, and not admin",
            ),
            (
                self.log_level not in ("debug", "info", "warning", "error"),
                f"log_level is {self.log_level!r}, but must be debug, info, warning or error",
            ),
            (
                bool(self.alarm_email) and "@" not in self.alarm_email,
                f"alarm_email is {self.alarm_email!r}, but must be an address",
            ),
            (bool(self.agent) and ":" not in self.agent, f"agent is {self.agent!r}, but must be module:name"),
        ]
        names = [*self.environment, *self.secrets]
        problems += [
            (not _VARIABLE.fullmatch(name), f"{name!r} is no name of a variable: write A to Z, 0 to 9 and _")
            for name in names
        ]
        wrong = [text for is_wrong, text in problems if is_wrong]
        if wrong:
            raise ConfigError("; ".join(wrong))
