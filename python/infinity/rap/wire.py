"""The messages of the protocol: what leaves (invocations, notices, choice responses) and what comes back
(five callbacks). docs/protocol.md describes each field.

Outgoing ones are encoded with ``encode``; callbacks are read with ``read_callback``, which checks every
field (CB-1, CB-6) and ignores those it does not know. Nothing here knows of threads' state.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from infinity.errors import BadRequest

from .address import url_problem
from .document import Node, sound

MAX_NAME = 128
"""Characters of the type of a view or of a displayed segment."""
MAX_ID = 256
"""Characters of an id."""
MAX_PROMPT = 16_384
"""Characters of a question."""
MAX_CHOICES = 100
"""Choices of one question."""
MAX_CHOICE = 1_024
"""Characters of one choice."""
MAX_ITEMS = 1_000
"""Items of a result's content, or of what it displays."""
MAX_SEQ = 2**63 - 1
"""The largest number of an event; a signed 64-bit integer holds it."""

_MEDIA_TYPE = re.compile(r"image/[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """``POST {endpoint}`` (INV-3).

    ``arguments`` is a JSON object. ``id`` is the call's id at the runtime, under which everything about
    it comes back; ``call_id`` is the provider's, repeated for logs. ``group_id`` is the thread.
    ``thread_ancestors`` are root → parent, left out for a root thread.
    """

    operation: str
    arguments: Raw
    id: str
    call_id: str | None = None
    callback_url: str
    group_id: str
    thread_ancestors: list[str] | UnsetType = UNSET
    user_id: str | UnsetType = UNSET


class CloseThread(msgspec.Struct, frozen=True):
    """``POST {base}/close_thread`` (THR-2)."""

    thread_id: str


class CancelToolCall(msgspec.Struct, frozen=True):
    """``POST {base}/cancel_tool_call`` (CAN-1)."""

    thread_id: str
    tool_call_id: str


class ChoiceResponse(msgspec.Struct, frozen=True):
    """``POST {response_url}`` (CHO-1). ``selected``: index into the choices."""

    id: str
    selected: int


class Migrate(msgspec.Struct, frozen=True):
    """``POST {base}/migrate`` (MIG-1): the server is to move its state of a session to
    ``destination_url``.
    """

    session_id: str
    destination_url: str


class _Callback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    group_id: str


class ToolResult(_Callback, frozen=True, kw_only=True, tag="tool_result"):
    """The result of a call (RES-1).

    ``content`` items are as on the wire: ``{"type":"text","text"}``,
    ``{"type":"image","data","mediaType"}``; ``display_as`` is for people alone (RES-3).
    """

    id: str
    call_id: str | None = None
    text: str | None = None
    content: list[dict[str, Any]] | None = None
    display_as: list[dict[str, Any]] | None = None
    subscription: bool = False


class SubscriptionEvent(_Callback, frozen=True, kw_only=True, tag="subscription_event"):
    """An event of a subscription (SUB-1).

    ``event_id`` and ``seq`` are our extension: the event's identity and its number, counted from 1 per
    subscription.
    """

    tool_call_id: str
    text: str
    associative: bool = False
    final: bool = False
    event_id: str | None = None
    seq: int | None = None


class OAuthRequest(_Callback, frozen=True, kw_only=True, tag="oauth"):
    """A page at which the user is to grant access, https only (OAU-1)."""

    id: str
    call_id: str | None = None
    auth_url: str
    event_id: str | None = None


class UserChoice(_Callback, frozen=True, kw_only=True, tag="user_choice"):
    """A question to the user; ``default`` is an index of ``choices`` (CHO-1, CHO-2)."""

    id: str
    call_id: str | None = None
    prompt: str
    choices: list[str]
    default: int
    response_url: str
    event_id: str | None = None


class View(_Callback, frozen=True, kw_only=True, tag="view_update"):
    """``content`` is kept byte for byte and never interpreted (VIEW-1)."""

    view_type: str
    content: Raw


Callback = ToolResult | SubscriptionEvent | OAuthRequest | UserChoice | View
"""Any of the five."""

_encode = msgspec.json.Encoder().encode


def encode(message: msgspec.Struct) -> bytes:
    """The body to send: UTF-8 JSON.

    Args:
        message: one of the outgoing messages of this module.
    """
    return _encode(message)


def read_callback(body: bytes, max_bytes: int) -> Callback:
    """Any of the five callbacks.

    Args:
        body: as it came; halves of characters in it are repaired (CB-8).
        max_bytes: the longest body that is taken (CB-6).

    Raises:
        BadRequest: says where, what was expected, and which rule is broken.
    """
    if len(body) > max_bytes:
        raise BadRequest(f"the body has {len(body)} bytes; at most {max_bytes} are accepted", "CB-6")
    body = sound(body)
    # Decoded once into plain values; each reader checks the fields that it uses.
    node = Node.parse(body, BadRequest, "CB-6")
    tag = node["type"].text("CB-6")
    reader = _READERS.get(tag)
    if reader is None:
        node["type"].refuse(f"unknown callback type; expected one of {', '.join(_READERS)}", "CB-6")
    return reader(node, body)


def _tool_result(node: Node, body: bytes) -> ToolResult:
    # An empty text is a result, too; none at all is a mistake of the server.
    if not node["text"].present and not node["content"].present:
        node.refuse("a tool_result needs text or content", "RES-1")
    return ToolResult(
        group_id=_id(node["group_id"]),
        id=_id(node["id"]),
        call_id=node["call_id"].optional_text("CB-1", MAX_ID),
        text=node["text"].optional_text("CB-1"),
        content=_list(node["content"], _content_item),
        display_as=_list(node["display_as"], _display_segment),
        subscription=node["subscription"].flag("RES-4"),
    )


def _subscription_event(node: Node, body: bytes) -> SubscriptionEvent:
    seq = node["seq"].integer("CB-1") if node["seq"].present else None
    if seq is not None and not 0 <= seq <= MAX_SEQ:
        node["seq"].refuse("expected a number from 0 up", "CB-1")
    return SubscriptionEvent(
        group_id=_id(node["group_id"]),
        tool_call_id=_id(node["tool_call_id"]),
        text=node["text"].text("CB-1"),
        associative=node["associative"].flag("SUB-4"),
        final=node["final"].flag("SUB-6"),
        event_id=_optional_id(node["event_id"]),
        seq=seq,
    )


def _oauth(node: Node, body: bytes) -> OAuthRequest:
    return OAuthRequest(
        group_id=_id(node["group_id"]),
        id=_id(node["id"]),
        call_id=node["call_id"].optional_text("CB-1", MAX_ID),
        # People are sent there: nothing but https.
        auth_url=_url(node["auth_url"], "OAU-1", ("https",)),
        event_id=_optional_id(node["event_id"]),
    )


def _user_choice(node: Node, body: bytes) -> UserChoice:
    choices = [item.text("CHO-2", 1, MAX_CHOICE) for item in node["choices"].items("CHO-2", MAX_CHOICES)]
    if not choices:
        node["choices"].refuse("must hold at least one choice", "CHO-2")
    default = node["default"].integer("CHO-2")
    if not 0 <= default < len(choices):
        node["default"].refuse(f"must be an index of choices, 0 to {len(choices) - 1}", "CHO-2")
    return UserChoice(
        group_id=_id(node["group_id"]),
        id=_id(node["id"]),
        call_id=node["call_id"].optional_text("CB-1", MAX_ID),
        prompt=node["prompt"].text("CHO-1", 1, MAX_PROMPT),
        choices=choices,
        default=default,
        response_url=_url(node["response_url"], "CHO-1", ("http", "https")),
        event_id=_optional_id(node["event_id"]),
    )


class _ViewContent(msgspec.Struct):
    content: Raw


_view_content = msgspec.json.Decoder(_ViewContent)


def _view_update(node: Node, body: bytes) -> View:
    view_type = node["view_type"].text("VIEW-1", 1, MAX_NAME)
    # null is a content as well, and shows that there is nothing.
    if "content" not in node.value:
        node["content"].fail("any JSON value", "VIEW-1")
    return View(
        group_id=_id(node["group_id"]),
        view_type=view_type,
        # From the bytes: decoded and encoded again, numbers and the order of keys might change (VIEW-1).
        content=_view_content.decode(body).content.copy(),
    )


_READERS: dict[str, Callable[[Node, bytes], Callback]] = {
    "tool_result": _tool_result,
    "subscription_event": _subscription_event,
    "oauth": _oauth,
    "user_choice": _user_choice,
    "view_update": _view_update,
}


def _id(node: Node) -> str:
    return node.text("CB-1", 1, MAX_ID)


def _optional_id(node: Node) -> str | None:
    return _id(node) if node.present else None


def _url(node: Node, rule: str, schemes: tuple[str, ...]) -> str:
    url = node.text(rule, 1)
    problem = url_problem(url, schemes)
    if problem:
        node.refuse(f"the URL {problem}", rule)
    return url


def _list(node: Node, check: Callable[[Node], None]) -> list[dict[str, Any]] | None:
    if not node.present:
        return None
    items = node.items("CB-1", MAX_ITEMS)
    for item in items:
        check(item)
    return [item.value for item in items]


def _content_item(item: Node) -> None:
    item.object("CB-1")
    kind = item["type"].text("CB-1")
    if kind == "text":
        item["text"].text("CB-1")
    elif kind == "image":
        _image(item)
    else:
        item["type"].refuse("unknown kind of content; expected text or image", "CB-1")


def _display_segment(segment: Node) -> None:
    """Clients skip kinds that they do not know (RES-3), so only the known ones are looked into."""
    segment.object("CB-1")
    kind = segment["type"].text("CB-1", 1, MAX_NAME)
    content = segment["content"]
    if not content.present:
        content.fail("the segment's content", "CB-1")
    if kind == "text":
        content.text("CB-1")
    elif kind == "diff":
        content.object("CB-1")
        content["path"].text("CB-1")
        content["patch"].text("CB-1")
    elif kind == "image":
        content.object("CB-1")
        _image(content)


def _image(item: Node) -> None:
    data = item["data"].text("CB-1", 1)
    try:
        # Strict: decoders disagree about what they skip, and the provider would refuse what we had taken.
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        item["data"].refuse(f"not base64: {str(error).lower()}", "CB-1")
    media_type = item["mediaType"].text("CB-1")
    if not _MEDIA_TYPE.fullmatch(media_type):
        item["mediaType"].refuse("expected an image type such as image/png", "CB-1")
