"""The events of a Messages stream, decoded.

Both ways to the Messages API and the scripted model give these to ``turn.OpenTurn``.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


class Delta(msgspec.Struct):
    """Of a content block or, at the end, of the message; which fields are set follows from ``type``."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Any = None
    stop_reason: str | None = None


class Counts(msgspec.Struct):
    """Tokens so far; absent fields keep their earlier value."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Start(msgspec.Struct):
    """The message as it begins."""

    usage: Counts | None = None


class Failure(msgspec.Struct):
    """The error that an event, or an answer, tells of."""

    type: str = ""
    message: str = ""


class Event(msgspec.Struct):
    """One struct for all types, so that types and fields of later API versions are skipped, not refused."""

    type: str
    index: int = 0
    message: Start | None = None
    content_block: dict[str, Any] | None = None
    delta: Delta | None = None
    usage: Counts | None = None
    error: Failure | None = None


KNOWN = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
"""Types of events that mean something here; all others are skipped."""


class _Kind(msgspec.Struct):
    type: str = ""


_event = msgspec.json.Decoder(Event).decode
_kind = msgspec.json.Decoder(_Kind).decode


def decode(data: bytes) -> Event | None:
    """One event.

    Args:
        data: of the server-sent event; JSON, as gateways write it.

    Returns:
        ``None`` for types that this version does not know.

    Raises:
        msgspec.DecodeError: it is not an event at all.
    """
    try:
        event = _event(data)
    except msgspec.ValidationError as error:
        # A type of a later version may have other fields under the same names.
        if _kind(data).type not in KNOWN:
            return None
        event = _lenient(data, error)
    except msgspec.DecodeError as error:
        event = _lenient(data, error)
    except RecursionError:
        raise msgspec.DecodeError("an event is nested too deeply") from None
    return event if event.type in KNOWN else None


def _lenient(data: bytes, error: msgspec.DecodeError) -> Event:
    """An event as gateways write them: null for what is absent, fractional counts, an error that is a
    string, half of a surrogate pair.
    """
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise error
        fields = _without_nulls(fields)
        if isinstance(fields.get("error"), str):
            fields["error"] = {"message": fields["error"]}
        for usage in (fields.get("usage"), (fields.get("message") or {}).get("usage")):
            if isinstance(usage, dict):
                usage |= {name: int(count) for name, count in usage.items() if isinstance(count, float)}
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError:
        raise
    except (AttributeError, ValueError, OverflowError, RecursionError):
        raise error from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value
