"""Reasoning of providers with another wire format than the Messages API, kept in history (M3).

It stands in a ``thinking`` block whose signature says whose it is and holds what that provider wants
back. Only the same model at the same address gets it back: no other can read it, and some refuse a
request that has it.
"""

from __future__ import annotations

from typing import Any

import msgspec

TAG = "infinity-reasoning:"
"""No signature of the Messages API begins like this: those are base64."""

_KINDS = ("thinking", "redacted_thinking")

NOBODY = ""
"""The origin of reasoning that goes back to nobody."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Kept(msgspec.Struct):
    origin: str
    item: Any


_kept = msgspec.json.Decoder(_Kept).decode


def block(text: str, origin: str, item: Any) -> dict[str, Any]:
    """A thinking block that holds what a provider wants back.

    Args:
        text: what people may see.
        origin: who takes it back.
        item: what is given back, as JSON.
    """
    return {"type": "thinking", "thinking": text, "signature": TAG + _encode(_Kept(origin, item)).decode()}


def item_of(block: dict[str, Any], origin: str) -> Any | None:
    """What this origin wants back of a block; ``None`` if the block is someone else's.

    Args:
        block: of history.
        origin: who asks.
    """
    signature = block.get("signature")
    if not isinstance(signature, str) or not signature.startswith(TAG):
        return None
    kept = _kept(signature[len(TAG) :])
    # By model and address: another account at the same address is found out by its refusal.
    return kept.item if kept.origin == origin else None


_THINKING = (b'"type":"thinking"', b'"type":"redacted_thinking"')
_EITHER = b'thinking"'
"""In both, so that a history without any is gone through once."""


def marked(blocks: list[dict[str, Any]], origin: str | None) -> list[dict[str, Any]]:
    """A turn of the Messages API whose reasoning is for one origin alone.

    Args:
        blocks: of the turn.
        origin: who takes it back; ``None``: the blocks stay as they are, because Claude's go to every
            host of Claude.
    """
    if origin is None or not any(each["type"] in _KINDS for each in blocks):
        return blocks
    return [
        block(str(each.get("thinking") or ""), origin, each)
        if each["type"] in _KINDS and not _is_tagged(each)
        else each
        for each in blocks
    ]


def for_messages_api(messages: bytes, origin: str | None) -> bytes:
    """Messages with the reasoning that this endpoint takes back.

    Reasoning of another vendor is refused whole, so it stays behind. Nothing is decoded where there is
    none to leave out (G1).

    Args:
        messages: the request's, as bytes.
        origin: whose reasoning is given back; ``None``: Claude's.
    """
    if origin is None:
        return without_foreign(messages)
    if _EITHER not in messages or not any(mark in messages for mark in _THINKING):
        return messages
    decoded: list[dict[str, Any]] = _decode(messages)
    for message in decoded:
        if message["role"] == "assistant" and isinstance(message["content"], list):
            message["content"] = [
                kept for each in message["content"] if (kept := _given_back(each, origin)) is not None
            ]
    return _encode(decoded)


def _given_back(block: dict[str, Any], origin: str) -> Any | None:
    return item_of(block, origin) if block.get("type") in _KINDS else block


def without_foreign(messages: bytes) -> bytes:
    """Messages as the Messages API takes them.

    Those without tagged reasoning, nearly all, are passed on as they are (G1).

    Args:
        messages: the request's, as bytes.
    """
    # One search over the bytes; decoding a long history for each request would cost more than all else (G1).
    if TAG.encode() not in messages:
        return messages
    decoded: list[dict[str, Any]] = _decode(messages)
    for message in decoded:
        if message["role"] == "assistant" and isinstance(message["content"], list):
            message["content"] = [block for block in message["content"] if not _is_tagged(block)]
    return _encode(decoded)


def _is_tagged(block: dict[str, Any]) -> bool:
    return block.get("type") == "thinking" and str(block.get("signature", "")).startswith(TAG)
