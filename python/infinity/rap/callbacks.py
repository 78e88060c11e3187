"""From a tool server's callback to the message that enters a thread's mailbox.

The API of both hosts (``api/callbacks.py``) calls ``parse`` once it has checked the capability
(``Capabilities.open``), and so knows thread and call. What the body says must agree with them; what it
carries becomes the blocks that the model will see. Nothing here looks at a thread's state or at the
time: the same body always makes the same message, or a repeat would not be recognised.

Ids decide what "the same message again" means (CB-4, I3): a result's is its call id; an event's is the
sender's ``event_id`` within its call, else fresh (R3); a prompt's is its content within its call, or
its ``event_id`` where it gives one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infinity._core import Message
from infinity.abc import Expect
from infinity.errors import BadRequest
from infinity.ids import is_id
from infinity.message import Block, Body, Choice, Event, OAuth, Result, encode

from . import wire

EMPTY = "(empty)"
"""What the model reads of a text without a visible character."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message for the inbox, and what must be there for it to be accepted: an open call, or a
    subscription (CB-2, SUB-1).
    """

    message: Message
    expect: Expect
    call_id: str


@dataclass(frozen=True, slots=True)
class ViewUpdate:
    """The latest content of a view: stored and broadcast, never a message.

    ``content``: JSON, byte for byte as it came (VIEW-1).
    """

    thread: str
    view_type: str
    content: bytes


def parse(
    thread: str, call_id: str, body: bytes, *, max_bytes: int, fresh_id: Callable[[], str]
) -> Incoming | ViewUpdate:
    """Read a callback for this thread and call.

    Whether the call is pending is not known here: the store decides that by ``expect``. Whether a
    ``response_url`` belongs to the tool's server is not known here either (S3).

    Args:
        thread: the thread that the capability names.
        call_id: the call that the capability names.
        body: as it came, any bytes.
        max_bytes: the longest body that is taken.
        fresh_id: makes the id of an event that has none of its own.

    Returns:
        A message for the inbox, or the latest content of a view.

    Raises:
        BadRequest: the body is malformed, or speaks of another thread or call; the error has the rule.
    """
    callback = wire.read_callback(body, max_bytes)
    # The capability is for one thread: what the body says besides must agree with it (S6).
    if callback.group_id != thread:
        raise BadRequest("$.group_id: this callback URL belongs to another thread", "CB-2")
    match callback:
        case wire.View():
            return ViewUpdate(thread, callback.view_type, bytes(callback.content))
        case wire.SubscriptionEvent():
            _same_call(callback.tool_call_id, call_id, "tool_call_id")
            # Within the call: two subscriptions may number their events alike.
            identity = _id("", call_id, callback.event_id) if callback.event_id else fresh_id()
            return _incoming(thread, call_id, identity, _event(callback), Expect.EVENT)
        case wire.ToolResult():
            _same_call(callback.id, call_id, "id")
            # Under the call's own id, so that a second result is a repeat, whatever it says.
            return _incoming(thread, call_id, call_id, _result(callback), Expect.CALL)
        case wire.OAuthRequest():
            _same_call(callback.id, call_id, "id")
            request = OAuth(call_id=call_id, auth_url=callback.auth_url)
            return _incoming(thread, call_id, _prompt_id("oauth", request, callback), request, Expect.CALL)
        case wire.UserChoice():
            _same_call(callback.id, call_id, "id")
            choice = Choice(
                call_id=call_id,
                prompt=callback.prompt,
                choices=callback.choices,
                default=callback.default,
                response_url=callback.response_url,
            )
            return _incoming(thread, call_id, _prompt_id("choice", choice, callback), choice, Expect.CALL)


def _same_call(named: str, call_id: str, field: str) -> None:
    if named != call_id:
        raise BadRequest(f"$.{field}: this callback URL belongs to another call", "CB-2")


def _incoming(thread: str, call_id: str, identity: str, body: Body, expect: Expect) -> Incoming:
    return Incoming(Message(thread, identity, body.kind, encode(body)), expect, call_id)


def _result(callback: wire.ToolResult) -> Result:
    return Result(
        call_id=callback.id,
        content=_model_content(callback),
        display=callback.display_as,
        subscription=callback.subscription,
    )


def _event(callback: wire.SubscriptionEvent) -> Event:
    return Event(
        call_id=callback.tool_call_id,
        content=[_text_block(callback.text)],
        associative=callback.associative,
        final=callback.final,
        seq=callback.seq,
    )


def _model_content(callback: wire.ToolResult) -> list[Block]:
    """``content`` wins over ``text`` (RES-1); an empty list says nothing, so the text stands."""
    if callback.content:
        return [_block(item) for item in callback.content]
    return [_text_block(callback.text or "")]


def _block(item: dict[str, Any]) -> Block:
    if item["type"] == "text":
        return _text_block(item["text"])
    # Whether the bytes are an image that a model takes is seen where it enters history; many say "image/jpg".
    source = {"type": "base64", "media_type": item["mediaType"], "data": item["data"]}
    return {"type": "image", "source": source}


def _text_block(text: str) -> Block:
    # The model API refuses text without a visible character (I4).
    return {"type": "text", "text": text if text.strip() else EMPTY}


def _prompt_id(kind: str, body: Body, callback: wire.OAuthRequest | wire.UserChoice) -> str:
    return _id(f"{kind}:", callback.id, callback.event_id or _digest(encode(body)))


def _id(prefix: str, call_id: str, name: str) -> str:
    """``<prefix><call id>:<name>``, or with a digest in place of a name that does not fit into an id."""
    plain = f"{prefix}{call_id}:{name}"
    # Readable where it can be: ids stand in logs and in the event stream.
    if is_id(plain):
        return plain
    digested = f"{prefix}{call_id}:sha256.{_digest(name.encode())}"
    return digested if is_id(digested) else f"{prefix}sha256.{_digest(plain.encode())}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
