"""How long a thread was silent, by the clock of the queues: what a person waits for who listens to the output queue."""

from __future__ import annotations

import json
from typing import Any

from .host import CloudHost

LONGEST = 120.0
"""Seconds that no innocent thread may be silent, whatever fails beside it."""


def told(host: CloudHost) -> list[tuple[int, dict[str, Any]]]:
    """What the output queue has, with the time at which it came, in ms."""
    messages = host.aws.sqs.queue(host.stage.output).messages()
    return [(message.sent_at, json.loads(message.body)) for message in messages]


def silence(host: CloudHost, thread: str, text: str, since: int) -> float:
    """Seconds from ``since`` (in ms) until the thread has said the text; infinite if it has not yet."""
    said = [
        at
        for at, body in told(host)
        if body["thread"] == thread and body["kind"] == "reply" and text in body["data"]["text"]
    ]
    return (min(said) - since) / 1000 if said else float("inf")


async def broken_silence(host: CloudHost, thread: str, text: str, since: int) -> float:
    """The same, once it has."""
    await host.until(lambda: silence(host, thread, text, since) < float("inf"), f"{text} of {thread}")
    return silence(host, thread, text, since)


def problems(host: CloudHost, thread: str) -> list[str]:
    """Codes of the problems that people were told of."""
    return [
        body["data"]["code"]
        for _, body in told(host)
        if body["kind"] == "problem" and body["thread"] == thread
    ]
