"""What travels in the inbox and delay queues: whole messages, references to large ones, wakes, deletions; and
what a person wrote with the AWS CLI.

``seal`` and ``wake`` write, ``open`` reads. Anyone who may send to a queue may write anything, so ``open``
raises for nothing: what it cannot make sense of is ``Unreadable``, for good, and what a newer version
wrote is ``Newer``. A new kind of message or a changed body is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from infinity._core import Message
from infinity.aws.sqs import group_id
from infinity.errors import BadRequest
from infinity.ids import ID_RULE, USER_RULE, is_id, is_user
from infinity.message import Block, Kind, UserText, decode, encode

from .blobs import is_claim_of

__all__ = [
    "LARGEST_TEXT",
    "VERSION",
    "Claimed",
    "Envelope",
    "Erasure",
    "Newer",
    "Said",
    "Unreadable",
    "Wake",
    "check_body",
    "erasure",
    "open",
    "seal",
    "wake",
    "woken",
]

VERSION = 3
"""The newest that is read. A message is written in the oldest that has its kind, so that functions of two
versions work beside each other."""
_SINCE: dict[str, int] = {Kind.PROBLEM: 2}
LARGEST_TEXT = 1 << 20
"""Bytes of what a person may send: the default of ``limits.message_bytes``, and what SQS takes."""
_LATEST = 1 << 53
"""No time is later: beyond it, numbers of JSON are not exact everywhere."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message whose body (empty here) is in the bucket, under ``key``."""

    message: Message
    key: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a person sent as plain JSON: user text, which creates the root thread of its name if there is
    none.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class Wake:
    """Carries nothing: the thread has something on record. ``due``: ms since the epoch, of the timer that it
    is for. ``again``: so many times, what it has on record could not be seen to.
    """

    thread: str
    due: int | None = None
    again: int = 0


@dataclass(frozen=True, slots=True)
class Erasure:
    """The tree of this root is deleted: what is left of it is to be removed."""

    root: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It never will be read: tell, and drop it on record. ``reason``: for people; without its content (S9)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Newer:
    """Written by a newer version: it stays queued until that one is deployed (I8)."""

    version: int


Envelope = Message | Claimed | Said | Wake | Erasure | Unreadable | Newer

_Time = Annotated[int, msgspec.Meta(ge=0, le=_LATEST)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class _Version(msgspec.Struct):
    infinity: int | None = None


class _Sealed(msgspec.Struct, omit_defaults=True):
    infinity: int
    thread: _Text | None = None
    id: _Text | None = None
    kind: _Text | None = None
    accepted_at: _Time | None = None
    body: msgspec.Raw = msgspec.Raw()
    claim: _Text | None = None
    wake: _Text | None = None
    due: _Time | None = None
    again: _Time = 0
    erase: _Text | None = None


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    content: str | Block | list[Block]
    group_id: str
    user_id: str | None = None


_encode = msgspec.json.Encoder().encode
_version = msgspec.json.Decoder(_Version)
_sealed = msgspec.json.Decoder(_Sealed)
_plain = msgspec.json.Decoder(_Plain)


def seal(message: Message, claim: str | None = None) -> str:
    """Write a message as a queue carries it: one line of JSON.

    Args:
        message: The message; its body is JSON already, and is put in as it is.
        claim: The key of its body in the bucket, which then takes the place of the body. The body must be
            durable there before the message is sent (see ``blobs.py``).
    """
    sealed = _Sealed(
        infinity=_SINCE.get(message.kind, 1),
        thread=message.thread,
        id=message.id,
        kind=message.kind,
        accepted_at=message.accepted_at,
        claim=claim,
    )
    if claim is None:
        sealed.body = msgspec.Raw(message.body)
    return _encode(sealed).decode()


def wake(thread: str, due: int | None = None, again: int = 0) -> str:
    """Write a wake of a thread.

    Args:
        thread: The thread to wake.
        due: Milliseconds since the epoch of the timer that the wake is for, if it is for one.
        again: How often it could not be processed before; carried so that the rests grow.
    """
    return _encode(_Sealed(infinity=1, wake=thread, due=due, again=again)).decode()


def erasure(root: str) -> str:
    """Write the order to remove what is left of a deleted tree, named by its root thread."""
    return _encode(_Sealed(infinity=3, erase=root)).decode()


def open(record: Mapping[str, Any]) -> Envelope:  # noqa: A001  read as envelope.open, beside envelope.seal
    """Read a record of an SQS event. Nothing that the record may hold makes this raise.

    A record of a FIFO queue must be for the thread that its message group names, so that nobody writes to
    another thread under the order of this one.

    Args:
        record: One element of ``Records``, as Lambda delivers it.

    Returns:
        One of the kinds of ``Envelope``; ``Unreadable`` and ``Newer`` for what cannot be used.
    """
    try:
        body = record["body"].encode()
        attributes = record.get("attributes") or {}
        group = attributes.get("MessageGroupId")
        version = _version.decode(body).infinity
        if version is None:
            return _said(_plain.decode(body), record["messageId"], group, _sent_at(attributes), len(body))
        # Before the form is checked: a newer version may have changed it, and its message must stay queued
        # (I8).
        if version > VERSION:
            return Newer(version)
        if version < 1:
            return Unreadable(f"there is no version {version} of queue messages")
        return _opened(_sealed.decode(body), group)
    except RecursionError:
        # The order matters: a ``ValidationError`` is a ``DecodeError``, and a ``UnicodeError`` a
        # ``ValueError``.
        return Unreadable("its JSON is nested too deeply")
    except UnicodeError:
        return Unreadable("it is not valid Unicode")
    except BadRequest as error:
        return Unreadable(str(error))
    except msgspec.ValidationError as error:
        return Unreadable(f"its JSON is not of the expected form: {error}")
    except msgspec.DecodeError:
        return Unreadable("it is not JSON")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        return Unreadable(f"the record is not one of a queue ({type(error).__name__})")


def woken(body: str) -> str | None:
    """The thread that a message of the delay queue wakes.

    Args:
        body: Of the message; anything may be in it.

    Returns:
        ``None`` if it is not a wake.
    """
    opened = open({"body": body, "messageId": ""})
    return opened.thread if isinstance(opened, Wake) else None


def _opened(sealed: _Sealed, group: str | None) -> Envelope:
    if sealed.wake is not None:
        _check_group(sealed.wake, group)
        return Wake(sealed.wake, sealed.due, sealed.again)
    if sealed.erase is not None:
        _check_group(sealed.erase, group)
        return Erasure(sealed.erase)
    if sealed.thread is None or sealed.id is None or sealed.kind is None:
        raise BadRequest("it has neither 'wake' nor all of 'thread', 'id' and 'kind'")
    _check_group(sealed.thread, group)
    if sealed.claim is not None:
        if not is_claim_of(sealed.claim, sealed.thread):
            raise BadRequest("its 'claim' is not the key of a body of this thread")
        if sealed.kind not in frozenset(Kind):
            raise BadRequest("its 'kind' is not one that this version knows")
        return Claimed(_message(sealed, b""), sealed.claim)
    body = bytes(sealed.body)
    if not body:
        raise BadRequest("it has neither 'body' nor 'claim'")
    check_body(sealed.kind, body)
    return _message(sealed, body)


def check_body(kind: str, body: bytes) -> None:
    """Check that a body is one of its kind, also for bodies that were fetched from the bucket.

    Args:
        kind: One of ``Kind``.
        body: JSON bytes.

    Raises:
        BadRequest: if the kind is unknown or the content breaks the rules of ``Runtime.send``.
        msgspec.DecodeError: if the JSON has another form.
    """
    if kind not in frozenset(Kind):
        raise BadRequest("its 'kind' is not one that this version knows")
    decoded = decode(kind, body)
    if isinstance(decoded, UserText):
        _check_content(decoded.content)


def _message(sealed: _Sealed, body: bytes) -> Message:
    assert sealed.thread is not None and sealed.id is not None and sealed.kind is not None
    return Message(sealed.thread, sealed.id, sealed.kind, body, accepted_at=sealed.accepted_at or 0)


def _said(plain: _Plain, message_id: str, group: str | None, sent_at: int, size: int) -> Said:
    if not is_id(plain.group_id):
        raise BadRequest(f"'group_id' must be {ID_RULE}")
    if plain.group_id != group:
        raise BadRequest("'group_id' must be the same as the message group id")
    if plain.user_id is not None and not is_user(plain.user_id):
        raise BadRequest(f"'user_id' must be {USER_RULE}")
    if size > LARGEST_TEXT:
        raise BadRequest(f"it has {size} bytes, more than {LARGEST_TEXT}")
    content = plain.content
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = content if isinstance(content, list) else [content]
    blocks = _check_content(blocks)
    body = encode(UserText(content=blocks, user_id=plain.user_id))
    return Said(Message(plain.group_id, f"sqs.{message_id}", Kind.USER, body, accepted_at=sent_at))


def _check_content(blocks: list[Block]) -> list[Block]:
    """The rules of ``Runtime.send``. Not at the top: the relay has wakes only, and no runtime."""
    from infinity.engine.content import check_content

    return check_content(blocks)


def _check_group(thread: str, group: str | None) -> None:
    """A standard queue has no groups, and what comes from it is for the thread that it says."""
    if group is not None and group != group_id(thread):
        raise BadRequest("it is for another thread than its message group")


def _sent_at(attributes: Mapping[str, Any]) -> int:
    """When SQS took it; unknown is 0."""
    text = str(attributes.get("SentTimestamp", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
