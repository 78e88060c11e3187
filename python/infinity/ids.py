"""Ids: opaque text, safe in a URL path and as a provider's ``tool_use`` id, never file names (trap S2)."""

from __future__ import annotations

import os
import re
from typing import NewType, Protocol

from .escaping import is_visible

ThreadId = NewType("ThreadId", str)
CallId = NewType("CallId", str)
MessageId = NewType("MessageId", str)

MAX_ID = 128
_ID = re.compile(r"[A-Za-z0-9_.:@+-]{1,128}")


class Ids(Protocol):
    """Where ids come from: random in production, counted in the simulator."""

    def mint(self, prefix: str) -> str:
        """A new id, unique for ever: ``<prefix>_<text>`` of ``[A-Za-z0-9_-]``."""


class RandomIds:
    """120 random bits behind the prefix."""

    def mint(self, prefix: str) -> str:
        return f"{prefix}_{os.urandom(15).hex()}"


class CountedIds:
    """``<prefix>_1``, ``<prefix>_2``, …: the same in every run."""

    def __init__(self) -> None:
        self._last = 0

    def mint(self, prefix: str) -> str:
        self._last += 1
        return f"{prefix}_{self._last}"


ID_RULE = "1 to 128 of letters, digits and _.:@+-, and neither '.' nor '..'"
"""What ``is_id`` takes, for messages to people."""

MAX_USER = 256
USER_RULE = f"1 to {MAX_USER} printable characters without line breaks"
"""What ``is_user`` takes, for messages to people."""


def is_id(text: str) -> bool:
    """Whether a client may use this as a thread's or message's id: 1–128 of ``[A-Za-z0-9_.:@+-]``.

    ``.`` and ``..`` are refused: every client that normalises paths would address something else (S2).
    """
    return _ID.fullmatch(text) is not None and text not in (".", "..")


def is_user(text: str) -> bool:
    """Whether a text can be a ``user_id``: opaque, as identity providers issue it (``auth0|5f7c…``,
    ``o'brien@example.com``).

    It reaches tool servers and logs, so control, format and bidirectional characters are refused: nothing
    in it is invisible (S12).
    """
    return 1 <= len(text) <= MAX_USER and is_visible(text) and bool(text.strip())
