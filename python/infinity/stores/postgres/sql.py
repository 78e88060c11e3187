"""Ids and texts as columns hold them."""

from __future__ import annotations

import hashlib

__all__ = ["affected", "digest", "text"]


def digest(name: str) -> bytes:
    """16 bytes for an id of any length and any characters, exact for all practical purposes.

    The local journal has the same, so that exported rows keep theirs.

    Args:
        name: of a message, or the type of a view.
    """
    return hashlib.sha256(name.encode()).digest()[:16]


def text(value: str) -> str:
    """A text as a column holds it.

    PostgreSQL's TEXT has no NUL: such an id is nobody's, and such a title loses nothing by this.

    Args:
        value: any text.
    """
    return value.replace("\0", "\ufffd")


def affected(tag: str) -> int:
    """How many rows a statement changed.

    Args:
        tag: the command tag (``INSERT 0 5``, ``DELETE 3``).
    """
    return int(tag.rsplit(" ", 1)[1])
