"""The face of a conversation: how it began and what was said last, kept with the thread for listings.

It lies in the header, which every commit writes, so that a page of a listing reads no entry and a commit writes no row more.
"""

from __future__ import annotations

from infinity._core import Thread
from infinity.engine.memo import Face, recall, remember
from infinity.engine.slice.state import LOOKED_AT, Slice

__all__ = ["OPENING", "SAID", "begin", "keep"]

OPENING, SAID = 80, 160
"""Characters that are kept of the first and of the last words."""


def keep(current: Slice) -> None:
    """Remember what this slice has brought, with its commit."""
    if current.words is None:
        return
    memo = recall(current.thread)
    words, by_person = current.words
    memo.face = Face(
        opening=memo.face.opening or _cut(current.opening, OPENING),
        said=_cut(words, SAID),
        by_person=by_person,
        at=current.now,
    )
    remember(current.thread, memo)


def begin(thread: Thread, text: str) -> None:
    """A child begins with what it was told to do.

    Args:
        thread: The child, not committed yet.
        text: Its instructions.
    """
    memo = recall(thread)
    memo.face = Face(opening=_cut(" ".join(text[:LOOKED_AT].split()), OPENING))
    remember(thread, memo)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
