"""Asking: send user text, and wait for what the agent says to it (``Runtime.ask``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from infinity.abc import Accepted, Header, Status, Store, read_header
from infinity.engine.memo import noted
from infinity.engine.missing import known, missing
from infinity.errors import InfinityError, Stopped
from infinity.feed import FeedEvent
from infinity.message import Block

__all__ = ["ask"]


class Asked(Protocol):
    """The part of ``infinity.runtime.Runtime`` that is needed here."""

    @property
    def store(self) -> Store: ...

    async def send(
        self, thread: str, content: str | list[Block], *, key: str | None = None, user_id: str | None = None
    ) -> Accepted: ...

    def watch(self, thread: str, after: int | None = None) -> AsyncGenerator[FeedEvent, None]: ...


async def ask(runtime: Asked, thread: str, content: str | list[Block], user_id: str | None) -> str:
    """Send user text, and wait for what the agent says to it.

    Args:
        runtime: Sends and watches.
        thread: Its id.
        content: A text, or content blocks.
        user_id: Who says it; ``None`` for nobody in particular.

    Returns:
        What the agent said last when the thread rests.

    Raises:
        InfinityError: if the thread cannot answer: closed, stopped, or with a problem; the text says which.
        UnknownThread: if there is no such thread.
    """
    store = runtime.store
    header = read_header(await known(store, thread))
    accepted = await runtime.send(thread, content, user_id=user_id)
    if accepted.status is Status.DISCARDED:
        raise InfinityError(f"{thread} cannot answer: it is closed")
    message_id = accepted.message.id if accepted.message is not None else ""
    said, folded = "", False
    async with aclosing(runtime.watch(thread, header.feed - 1)) as events:
        async for event in events:
            if event.kind == "entry":
                entry = msgspec.json.decode(event.data)
                folded = folded or entry["meta"].get("message_id") == message_id
                said = _visible(entry) if folded and entry["kind"] == "turn" else said
            elif event.kind == "discard" and msgspec.json.decode(event.data)["id"] == message_id:
                reason = msgspec.json.decode(event.data)["reason"]
                raise InfinityError(f"{thread} cannot answer: {reason}")
            elif event.kind == "slice" and folded:
                row = await store.thread(thread)
                if row is not None and row.status in ("stopped", "closed") and not said:
                    raise InfinityError(f"{thread} cannot answer: it is {row.status}")
                rests, header = await _rests(store, thread, event.position)
                if not said and header.problem and (rests or noted(header).cause):
                    raise InfinityError(f"{thread} cannot answer: {header.problem}")
                if rests:
                    return said
    if await store.thread(thread) is None:
        raise await missing(store, thread)
    raise Stopped(f"the runtime stopped while {thread} was being asked")


async def _rests(store: Store, thread: str, position: int | None) -> tuple[bool, Header]:
    """Whether nothing stands behind this position of the stream, and nothing comes without user text or an
    event; the header.
    """
    open_calls = [call for call, _ in await store.calls(thread) if not call.subscription]
    # Read last: if the stream still ends here, the calls are those of this very state.
    header = read_header(await known(store, thread))
    return not open_calls and not header.pending and header.feed - 1 == position, header


def _visible(entry: dict[str, Any]) -> str:
    return "".join(block["text"] for block in entry["assistant"] if block["type"] == "text")
