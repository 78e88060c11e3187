"""What brings work to the functions is synthesised switched off, so that nothing fails before the tables
are there; this switches it on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from infinity.backoff import Backoff

from .client import Aws
from .failure import AwsError

__all__ = ["start"]

_PATH = "/2015-03-31/event-source-mappings/"
_ON = ("Enabled", "Enabling")
_TRIES = 6
_BETWEEN = Backoff(first=1.0, longest=10.0)


async def start(
    aws: Aws,
    mappings: Sequence[str],
    rules: Sequence[str],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> int:
    """Switch on what is off.

    Args:
        aws: the client.
        mappings: event source mappings by their UUIDs.
        rules: of EventBridge, by name.
        sleep: waits while a mapping is being changed.

    Returns:
        How many were off.

    Raises:
        AwsError: names the permission that is missing.
    """
    started = 0
    for each in mappings:
        started += await _patiently(partial(_mapping, aws, each), sleep)
    for rule in rules:
        found = await aws.json("events", "DescribeRule", {"Name": rule})
        if found.get("State") != "ENABLED":
            await aws.json("events", "EnableRule", {"Name": rule})
            started += 1
    return started


async def _patiently(work: Callable[[], Awaitable[int]], sleep: Callable[[float], Awaitable[object]]) -> int:
    """A mapping that is being made or changed takes no other change until that is over."""
    for tried in range(_TRIES):
        try:
            return await work()
        except AwsError as error:
            if error.service_code != "ResourceInUseException" or tried == _TRIES - 1:
                raise
            await sleep(_BETWEEN.wait(tried))
    raise AssertionError("unreachable")


async def _mapping(aws: Aws, mapping: str) -> int:
    path = f"{_PATH}{quote(mapping, safe='')}"
    found = await aws.rest("lambda", "GET", path, operation="GetEventSourceMapping")
    document: Any = msgspec.json.decode(found.body)
    # Switched on again it would be changed for nothing, and refuse other changes meanwhile.
    if document.get("State") in _ON:
        return 0
    wanted = msgspec.json.encode({"Enabled": True})
    headers = {"Content-Type": "application/json"}
    await aws.rest("lambda", "PUT", path, operation="UpdateEventSourceMapping", headers=headers, body=wanted)
    return 1
