"""What a deployment may choose. Everything has a default.

The user's stack makes one ``Options``; every construct reads it. Everything that is wrong is told at once,
before anything is synthesised. A secret is given as a reference to where it is kept, never as a text: a
template can be read by many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from infinity.errors import ConfigError

__all__ = ["Options"]

LONGEST = 900
"""Seconds that an invocation of Lambda may take."""
FEWEST = 17
"""Deliveries: more than twice as many as a thread spends on waiting for its dead letters (``order.WAITS``),
so that no healthy message dies of that."""
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,53}")
"""Room for ``_receiver``: a name in PostgreSQL has 63 bytes."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


_SAID_ELSEWHERE = {
    "INFINITY_STORE": "Options(store=…) takes a database of your own, its URL or a secret that holds it",
    "INFINITY_AGENT": "give Options(agent=…)",
    "INFINITY_LOG_LEVEL": "give Options(log_level=…)",
    "INFINITY_PUBLIC_URL": "give Options(public_url=…)",
    "INFINITY_API_TOKEN": "give Options(api_token=…)",
    "INFINITY_INBOX_QUEUE": "give InfinityAgent(stores=Stores.existing(inbox=…, dead_letters=…))",
    "INFINITY_DELAY_QUEUE": "give InfinityAgent(stores=Stores.existing(delay=…))",
    "INFINITY_OUTPUT_QUEUE": "give InfinityAgent(stores=Stores.existing(output=…))",
    "INFINITY_TABLE": "give InfinityAgent(stores=Stores.existing(table=…))",
    "INFINITY_BUCKET": "give InfinityAgent(stores=Stores.existing(bucket=…))",
    "INFINITY_SCHEDULE_GROUP": "the deployment makes its own",
    "INFINITY_SCHEDULE_ROLE": "the deployment makes its own",
    "INFINITY_SCHEDULE_DEAD_LETTERS": "the deployment makes its own",
    "INFINITY_METRICS": "the deployment says it",
}
"""Variables that the construct sets itself, with the permissions that belong to them."""


def _taken(environment: Mapping[str, str], secrets: Mapping[str, Any]) -> list[str]:
    """A variable alone would leave the permissions, the alarms and the other functions behind."""
    found = []
    for where, names in (("environment", environment), ("secrets", secrets)):
        for name in names:
            if name in _SAID_ELSEWHERE:
                found.append(f"{name} does not belong in {where}: {_SAID_ELSEWHERE[name]}")
            elif name.startswith("INFINITY_TOOLSETS_"):
                found.append(f"{name} does not belong in {where}: call add_toolset(…)")
            elif where == "secrets" and name.startswith("INFINITY_"):
                found.append(
                    f"{name} does not belong in secrets, which the agent function alone reads: settings of infinity.toml may be in environment"
                )
    return found


def _store_problems(store: Any) -> list[tuple[bool, str]]:
    if not isinstance(store, str):
        return []
    schemes = ("postgresql://", "postgres://")
    return [
        (
            not store.startswith(schemes),
            "store must begin with postgresql://, or be a secret that holds such a URL",
        ),
        (
            bool(urlsplit(store).password),
            "store has a password in it, which would be in the template: put the URL into a secret",
        ),
    ]


@dataclass(frozen=True)
class Options:
    """``ConfigError`` if a value cannot be. Times in seconds, memory in MiB.

    ``agent``: ``module:name`` of an ``infinity.Agent`` in the code; without it ``infinity.toml`` says
    everything. ``environment``: further variables of the functions, in the clear; ``secrets``: variables
    of the agent function that are read from Secrets Manager or SSM when its process starts: an
    ``ISecret``, a pair of one and the key in its JSON, or an ``IStringParameter``. ``store``: a PostgreSQL
    database of one's own in place of a cluster of Aurora DSQL: a secret that holds its URL, or the URL if
    no password is in it. ``timeout``: of one slice. A completion that takes longer never ends. The
    messages of a process that ended are back within a minute, whatever it is. ``receives``: deliveries of
    a message before it goes to the dead-letter queue; the rest between them grows to 15 minutes.
    ``concurrency``: slices and batches of them that run at once; what is above that waits in the queue and
    counts no receive. ``reserve``: invocations that only callbacks may take, and as many as they may; as
    many for the API if it has a token in place of IAM, and 10 for the relay. All of them are part of the
    account's concurrency, of which AWS leaves 100 (10 in a new account) to others. 0: no reserve for
    either. ``None``: a parameter of the stack (``AgentReserve``) says how many, and by default none.
    ``vpc``: an ``IVpc`` that the functions are in, in its ``subnets`` (``SubnetSelection``) and with
    ``security_groups`` of one's own or one that is made for all of them. ``backup``: days for which AWS
    Backup keeps a daily copy of the cluster, the table and the bucket; 0: none. ``api_token``: guards the
    API with a bearer token in place of IAM. ``public_url``: a domain of one's own in front of the
    receiver's function URL. ``key``: a KMS key for everything that is stored; without it the services'
    own. ``snap_start``: the agent function starts from a snapshot; deploys take minutes longer.
    ``alarm_actions``: what alarms do (``IAlarmAction``); ``alarm_email``: an address that hears them, once
    it has confirmed that (their topic is an output); ``oldest``: age of a message in the inbox queue that
    is an alarm. ``started``: the event sources are deployed switched on; else ``infinity cloud migrate``
    starts them, after every deployment that changes them. ``restored``: a name for the last time that the
    database was put back to an earlier time; with a new one the table and the output queue, which were
    ahead of it, are made anew. ``keep``: the cluster, the table, the bucket, the inbox queue and its dead
    letters outlive the stack.
    """

    agent: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    store: Any = None
    database_role: str = "infinity"
    timeout: int = 900
    memory: int = 1024
    receives: int = 20
    concurrency: int = 100
    reserve: int | None = None
    api_token: Any = None
    public_url: str = ""
    vpc: Any = None
    subnets: Any = None
    security_groups: Sequence[Any] = ()
    backup: int = 0
    key: Any = None
    snap_start: bool = False
    log_days: int = 30
    log_level: str = "info"
    alarm_actions: Sequence[Any] = ()
    alarm_email: str = ""
    oldest: int = 3600
    started: bool = False
    restored: str = ""
    keep: bool = True

    def __post_init__(self) -> None:
        problems = [
            (
                self.timeout not in range(30, LONGEST + 1),
                f"timeout is {self.timeout} s, but must be 30 to {LONGEST}",
            ),
            (self.memory not in range(256, 10241), f"memory is {self.memory} MiB, but must be 256 to 10240"),
            (
                self.receives not in range(FEWEST, 1001),
                f"receives is {self.receives}, but must be {FEWEST} to 1000",
            ),
            (
                self.concurrency not in range(2, 1001),
                f"concurrency is {self.concurrency}, but must be 2 to 1000",
            ),
            (
                self.reserve is not None and self.reserve not in range(1001),
                f"reserve is {self.reserve}, but must be 0 to 1000",
            ),
            (self.backup not in range(3651), f"backup is {self.backup} days, but must be 0 to 3650"),
            (
                self.vpc is None and (self.subnets is not None or bool(self.security_groups)),
                "subnets and security_groups are of a vpc; give it too",
            ),
            (
                not re.fullmatch(r"[A-Za-z0-9]{0,20}", self.restored),
                f"restored is {self.restored!r}, but must be at most 20 letters and digits",
            ),
            *_store_problems(self.store),
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
            (
                not _VARIABLE.fullmatch(name),
                f"{name!r} is not a name of a variable: write A to Z, 0 to 9 and _",
            )
            for name in names
        ]
        problems += [(True, text) for text in _taken(self.environment, self.secrets)]
        wrong = [text for is_wrong, text in problems if is_wrong]
        if wrong:
            raise ConfigError("; ".join(wrong))
