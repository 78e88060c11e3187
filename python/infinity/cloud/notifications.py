"""Notifications on the output queue: replies, prompts, problems and what became of a thread; derived from
what a commit wrote.

Each row has the position that it has in the thread's event stream, so that it is the same however often it
is derived, and a client may go on there with the API. At least once, keyed: within 5 minutes SQS drops
what is sent again, later the consumer has to (its ``id`` is for that).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from infinity._core import Delta
from infinity.abc import read_entry
from infinity.aws.sqs import LARGEST_MESSAGE, Outgoing, Queue, deduplication_id, escaped
from infinity.stores.postgres.commit import Notification

__all__ = ["Notifier"]

_PASSED_ON = frozenset({"problem", "prompt", "prompt_closed", "status"})
_SPARE = 8192
_CHARACTERS = (LARGEST_MESSAGE - 2 * _SPARE) // 6
"""No character takes more than 6 bytes in JSON."""

_encode = msgspec.json.Encoder().encode


class Notifier:
    """Writes what commits say to people to the output queue.

    Args:
        queue: The output queue, FIFO.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def rows(self, delta: Delta) -> list[Notification]:
        """Derive the rows for the output queue from a commit, its children's included.

        Args:
            delta: What the commit writes. The rows are made before it, because they are part of the same
                transaction (I6).

        Returns:
            Key, thread and JSON body of each row, in the order of each thread's event stream.
        """
        return list(_rows(delta))

    async def send(self, rows: Sequence[Notification]) -> None:
        """Send rows, each thread's in order.

        Raises:
            AwsError: if not all were taken; sending all again is safe, because each has a deduplication id
                of its own.
        """
        outgoing = [
            Outgoing(body.decode(), thread, deduplication_id(thread, _name(key, thread)))
            for key, thread, body in rows
        ]
        if len(outgoing) == 1:
            only = outgoing[0]
            await self._queue.send(only.body, group=only.group, deduplication_id=only.deduplication_id)
        elif outgoing:
            await self._queue.send_all(outgoing)


def _rows(delta: Delta) -> Iterator[Notification]:
    entries = dict(delta.entries)
    prompts = {prompt_id: body for prompt_id, _, body in delta.prompts}
    for position, kind, body in delta.feed:
        notification = _notification(kind, msgspec.json.decode(body), position, entries, prompts)
        if notification is not None:
            yield f"output.{delta.thread}.{position}", delta.thread, _body(delta, position, *notification)
    for child in delta.children:
        yield from _rows(child)


def _notification(
    kind: str,
    data: dict[str, Any],
    position: int,
    entries: Mapping[int, bytes],
    prompts: Mapping[str, bytes],
) -> tuple[str, dict[str, Any]] | None:
    """Kind and data of the row for the output queue; ``None`` if it is nobody's concern."""
    if kind == "entry":
        text = _visible(entries.get(data["position"]))
        return ("reply", {"cursor": position, "text": text}) if text else None
    if kind not in _PASSED_ON:
        return None
    if kind == "prompt" and data["id"] in prompts:
        # Kept out of the event stream, which stays for good; here nobody else could show where to sign in
        # (OAU-1).
        about = msgspec.json.decode(prompts[data["id"]])
        if "auth_url" in about:
            data = {**data, "auth_url": about["auth_url"]}
    return kind, data


def _visible(record: bytes | None) -> str:
    """What the agent says in a turn: without reasoning and calls. Empty for other entries."""
    if record is None:
        return ""
    entry = read_entry(record)
    if entry.kind != "turn":
        return ""
    return "".join(block["text"] for block in entry.assistant if block["type"] == "text").strip()


def _body(delta: Delta, position: int, kind: str, data: dict[str, Any]) -> bytes:
    body = {"id": f"{delta.thread}.{position}", "thread": delta.thread, "root": delta.root, "kind": kind}
    encoded = _encode({**body, "data": data})
    # SQS counts bytes, and a stranger's text may grow when the queue escapes it.
    if len(escaped(encoded.decode()).encode()) > LARGEST_MESSAGE:
        encoded = _encode({**body, "data": _shortened(data)})
    return encoded


def _shortened(data: dict[str, Any]) -> dict[str, Any]:
    """What is too large for a message: small members as they are, the text as far as it goes. The API has all
    of it.
    """
    kept = {name: value for name, value in data.items() if len(_encode(value)) <= _SPARE // 16}
    if isinstance(text := data.get("text"), str):
        kept["text"] = text[:_CHARACTERS]
    return {**kept, "truncated": True}


def _name(key: str, thread: str) -> str:
    """The part behind the thread: the position for what ``rows`` made."""
    return key.partition(f".{thread}.")[2] or key
