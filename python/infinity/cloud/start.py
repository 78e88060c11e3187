"""The start of a function's process: what it opens may be away for a moment, and the messages of its first
batch must not wait for it (I7).

``open_patiently`` tries again within the start. What fails all the same is a failure of that batch, as it
would be in a process that is warm: ``turn_away`` gives its messages back after a rest that grows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from infinity.aws.breaker import Breaker
from infinity.aws.client import Aws
from infinity.aws.secrets import resolve
from infinity.aws.sqs import Queue
from infinity.backoff import Backoff
from infinity.engine.attempts import is_outage
from infinity.errors import ConfigError

from .batch import REST
from .clock import SystemClock
from .groups import groups_of
from .hints import HintTable, Trouble
from .hold import Hold
from .host import Host
from .metrics import Figures, write
from .order import look

__all__ = ["keys_changed", "open_patiently", "turn_away"]

log = logging.getLogger("infinity.cloud")

T = TypeVar("T")

_CLOCK = SystemClock()

PATIENCE = 5.0
"""Seconds within which a start is tried again."""
BETWEEN = Backoff(first=0.2, longest=1.0)
OFTEN = 60.0
"""Seconds between two looks whether a secret has changed."""


async def open_patiently(opening: Callable[[], Awaitable[T]], sleep: Callable[[float], Awaitable[None]]) -> T:
    """Open something, again and again within ``PATIENCE`` seconds.

    Args:
        opening: One try. A setting that is wrong stays wrong, and is not tried again.
        sleep: Waits for so many seconds; the tests give one of their own.

    Raises:
        Exception: what the last try raised.
    """
    until, tried = time.monotonic() + PATIENCE, 0
    while True:
        try:
            return await opening()
        except Exception as error:
            wait = BETWEEN.wait(tried)
            if isinstance(error, ConfigError) or not is_outage(error) or time.monotonic() + wait > until:
                raise
            log.warning("the process cannot start yet: %s", error)
        tried += 1
        await sleep(wait)


async def turn_away(
    environment: Mapping[str, str],
    event: Mapping[str, Any],
    error: Exception,
    now: Callable[[], int] = _CLOCK.now,
    *,
    breaker: Breaker | None = None,
) -> dict[str, Any]:
    """Give back a batch whose process could not start: all of it failed, and comes back after a rest that
    grows.

    Args:
        environment: The function's variables, unresolved: only what names the queue and the table is used.
        event: The batch.
        error: Why the process could not start.
        now: Milliseconds since the epoch.
        breaker: The process's own, for DynamoDB.

    Raises:
        ConfigError: ``error`` itself if it is one, after the messages were given back, so that the
            function's own count of errors says it.
    """
    log.error("the process could not start: %s", error)
    aws = Aws(environment)
    try:
        hold = Hold(Queue(aws, environment.get("INFINITY_INBOX_QUEUE", "")))
        hints = HintTable(aws, environment.get("INFINITY_TABLE", ""), now, breaker=breaker)
        groups = groups_of(event["Records"])
        write(environment, Figures(failed=len(groups)), now())
        await look(hints, groups)
        for group in groups:
            await hold.rest(group.records, round(REST.wait(group.receives - 1)))
            before = await hints.trouble(group.thread) or Trouble()
            reason = f"the function could not start: {error}"
            # Excused: a start that fails is no fault of the thread, and must not count as one of its attempts
            # (I12).
            now_known = Trouble(reason, before.excused + 1, heard=group.receives)
            await hints.put_trouble({group.thread: now_known})
    finally:
        await aws.close()
    if isinstance(error, ConfigError):
        raise error
    failed = [record["messageId"] for group in groups for record in group.records]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


async def keys_changed(host: Host, environment: Mapping[str, str]) -> bool:
    """Whether a provider has refused a key and the secrets say something else by now: then the process begins
    anew.

    It looks at most once in ``OFTEN`` seconds. Secrets that cannot be read count as unchanged.
    """
    if not host.runtime.probes.keys_refused or time.monotonic() - host.looked_at < OFTEN:
        return False
    host.looked_at = time.monotonic()
    try:
        fresh = await resolve(environment, host.aws)
    except Exception as error:  # noqa: BLE001 the keys that it has are as good as before
        log.warning("whether a key was renewed cannot be found out: %s", error)
        return False
    # Of secrets only: Lambda changes variables of its own with each invocation.
    return any(
        fresh[name] not in (written, host.environment.get(name)) for name, written in environment.items()
    )
