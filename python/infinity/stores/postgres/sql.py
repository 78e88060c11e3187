"""Ids and texts as columns hold them."""

from __future__ import annotations

import hashlib

__all__ = ["affected", "digest", "text"]


def digest(id: str) -> bytes:
    """16 bytes for an id of any length and any characters, exact for all practical purposes; the local journal's too."""
    return hashlib.sha256(id.encode()).digest()[:16]


def text(value: str) -> str:
    """PostgreSQL's TEXT has no NUL: such an id is nobody's, and such a title loses nothing by this."""
    return value.replace("\0", "\ufffd")


def affected(tag: str) -> int:
    """How many rows a statement changed, by its command tag (``INSERT 0 5``, ``DELETE 3``)."""
    return int(tag.rsplit(" ", 1)[1])
