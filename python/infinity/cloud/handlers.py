"""Entry points of the functions: ``infinity.cloud.handlers.agent`` and its siblings, each ``(event,
context)``.

A process serves one invocation after the other: its event loop and its host are made by the first and
kept. What a snapshot of the process would freeze (ids, secrets, connections) is made after it was
restored; only on Lambda, what the function imports is imported with this module, because a process that
starts there has more CPU than one that runs.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from infinity.abc import Observer
    from infinity.aws.breaker import Breaker
    from infinity.aws.sqs import Queue

    from .host import Host

__all__ = ["agent", "api", "dead_letters", "observe", "receiver", "relay", "sweep"]

Event = Mapping[str, Any]
Answer = dict[str, Any]


class Context(Protocol):
    """What Lambda says of an invocation."""

    def get_remaining_time_in_millis(self) -> int: ...


def agent(event: Event, context: Context) -> dict[str, Any]:
    """Handle a batch of the inbox queue: its messages become slices.

    Args:
        event: An SQS event with ``Records``, all of the one FIFO queue.
        context: Lambda's; its remaining time bounds the batch.

    Returns:
        ``batchItemFailures``, group by group from the first message that failed. The event source mapping
        must have ``ReportBatchItemFailures``, or failed messages would be deleted.

    Raises:
        ConfigError: if the process cannot start because of a setting; the messages come back after a rest.
    """
    from .batch import run_batch

    return _run(
        lambda host: run_batch(host, event, _remaining(context)),
        "store inbox_queue delay_queue schedule_group schedule_role table public_url keys tools",
        event,
    )


def receiver(event: Event, context: Context) -> dict[str, Any]:
    """Handle a callback of a tool server: durable in the queue first, then 200 (CB-3).

    Args:
        event: A Function URL event, from anybody.
        context: Lambda's.

    Returns:
        The response; a refusal is one as well.
    """
    from .function_url import receive

    return _run(lambda host: receive(host, event), "store inbox_queue table keys")


def api(event: Event, context: Context) -> dict[str, Any]:
    """Handle a request of a client (``/v1``).

    Args:
        event: A Function URL event.
        context: Lambda's.

    Returns:
        The response; a refusal is one as well.
    """
    from .function_url import serve

    return _run(lambda host: serve(host, event), "store inbox_queue table public_url keys tools")


def relay(event: Event, context: Context) -> dict[str, Any]:
    """Handle a batch of the delay queue: wakes whose time has come move to the inbox queue.

    Args:
        event: An SQS event with ``Records``.
        context: Lambda's.

    Returns:
        ``batchItemFailures``: the wakes that could not be forwarded.
    """
    from .relay import forward, open_relay

    async def invocation() -> dict[str, Any]:
        if _Process.relay is None:
            _Process.relay = open_relay(os.environ)
        return await forward(_Process.relay, event)

    return _loop().run_until_complete(invocation())


def dead_letters(event: Event, context: Context) -> dict[str, Any]:
    """Handle a batch of the inbox queue's dead letters: they are kept in the database, and people are told
    (I2).

    Args:
        event: An SQS event with ``Records``.
        context: Lambda's.

    Returns:
        ``batchItemFailures``: what could not be kept stays in the dead-letter queue.
    """
    from .dead_letters import keep

    return _run(lambda host: keep(host, event), "store inbox_queue table public_url keys")


def sweep(event: Event, context: Context) -> dict[str, Any]:
    """Handle the schedule of the sweep: threads whose wake was lost are woken, deletions go on.

    Args:
        event: Of the schedule; nothing in it is read.
        context: Lambda's; its remaining time bounds the sweep.

    Raises:
        StoreError: if a part of it failed, so that Lambda counts an error.
    """
    from .sweep import wake_overdue

    return _run(lambda host: wake_overdue(host, _remaining(context)), "store inbox_queue table public_url")


class _Process:
    """What is kept between invocations."""

    loop: asyncio.AbstractEventLoop | None = None
    host: Host | None = None
    relay: Queue | None = None
    breaker: Breaker | None = None
    wrap: Callable[[Observer], Observer] | None = None


def observe(wrap: Callable[[Observer], Observer]) -> None:
    """Put an observer in front of the host's own: tracing, or what ends the process in tests.

    Args:
        wrap: Gets the host's observer, and gives the one that is to stand before it. Call this before the
            first invocation: a host that is open keeps the observer that it has.
    """
    _Process.wrap = wrap


def _loop() -> asyncio.AbstractEventLoop:
    if _Process.loop is None:
        _Process.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_Process.loop)
        level = os.environ.get("INFINITY_LOG_LEVEL", "info").upper()
        logging.getLogger("infinity").setLevel(level)
    return _Process.loop


def _run(work: Callable[[Host], Awaitable[Answer]], needed: str, batch: Event | None = None) -> Answer:
    """``batch``: messages that are given back if the process cannot start."""

    async def invocation() -> Answer:
        from .start import keys_changed, turn_away

        # A host whose provider keys were renewed is replaced between invocations, never while work of it
        # runs.
        if _Process.host is not None and await keys_changed(_Process.host, os.environ):
            before, _Process.host = _Process.host, None
            await before.close()
        if _Process.host is None:
            try:
                _Process.host = await _open(needed)
            except Exception as error:
                if batch is None:
                    raise
                return await turn_away(os.environ, batch, error, breaker=_Process.breaker)
        return await work(_Process.host)

    return _loop().run_until_complete(invocation())


async def _open(needed: str) -> Host:
    from infinity.aws.breaker import Breaker

    from .host import Parts, open_host
    from .start import open_patiently

    # It outlives hosts: that DynamoDB gives no answer is a fact of the process, which a new host should not
    # learn anew.
    if _Process.breaker is None:
        _Process.breaker = Breaker("dynamodb")
    parts = Parts(observe=_Process.wrap, breaker=_Process.breaker)

    async def opening() -> Host:
        return await open_host(os.environ, needed.split(), parts)

    return await open_patiently(opening, asyncio.sleep)


def _remaining(context: Context) -> Callable[[], float]:
    return lambda: context.get_remaining_time_in_millis() / 1000


_IMPORTS = {
    "agent": ("asyncpg", "infinity.config.reading", "infinity.cloud.start"),
    "receiver": ("asyncpg", "infinity.config.reading", "infinity.cloud.function_url", "infinity.cloud.start"),
    "api": ("asyncpg", "infinity.config.reading", "infinity.cloud.function_url", "infinity.cloud.start"),
    "relay": ("infinity.cloud.relay",),
}


def _import_early(environment: Mapping[str, str]) -> None:
    """The heavy parts of the function that this process is for, if it is one of ours."""
    module, _, name = environment.get("_HANDLER", "").rpartition(".")
    for each in ("aiohttp", *_IMPORTS.get(name, ())) if module == __name__ else ():
        importlib.import_module(each)


# Importing has no effect elsewhere: programs and tests import this module, too.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    _import_early(os.environ)
