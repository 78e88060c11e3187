"""How a move ends when it does not succeed."""

from __future__ import annotations

from infinity.errors import InfinityError

__all__ = ["MoveFailed", "Unconfirmed"]


class MoveFailed(InfinityError):
    """The move was given up; the conversation is where it was."""

    code = "move_failed"


class Unconfirmed(MoveFailed):
    """Nobody answered: what was asked for may have happened or not."""

    code = "move_unconfirmed"
