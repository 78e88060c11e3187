"""The server's errors in the words of Infinity, told apart by SQLSTATE.

``transactions`` asks ``judge`` whether to try again, and ``translate`` for what it raises in the end.
The text of a server's error is for people; nothing is decided by it.
"""

from __future__ import annotations

from enum import Enum, auto

from infinity.errors import ConfigError, InfinityError, LimitReached, RuleBroken, StoreError

__all__ = ["MIGRATE", "Verdict", "judge", "translate"]

MIGRATE = "infinity daemon migrate --store URL"
"""The command that makes the tables."""

_MET_ANOTHER = {"40001", "40P01", "23505"}
"""Serialization failure (OC000 and OC001 of DSQL carry it), deadlock, and a key that another transaction
was faster to take: the next try sees what that one wrote.
"""
_SERVER_GOES = {"57P01", "57P02", "57P03", "53300", "25P03"}
"""Shut down, crashed, starting, too many connections, session idle for too long."""
_NO_TABLES = {"42P01", "42703", "3F000"}


class Verdict(Enum):
    """What an error says of the transaction."""

    AGAIN = auto()
    """It did not happen; trying again may help."""
    LOST = auto()
    """The connection is gone: a commit that was under way may have happened."""
    FINAL = auto()
    """It did not happen, and would not the next time."""


def judge(error: BaseException) -> Verdict:
    """What an error says of the transaction in which it was raised.

    Args:
        error: of asyncpg, of the network, or any other.
    """
    # Not above: who has no asyncpg is to hear that from ``address``.
    import asyncpg  # type: ignore[import-untyped]

    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        if state in _MET_ANOTHER or isinstance(error, asyncpg.InvalidCachedStatementError):
            return Verdict.AGAIN
        if state in _SERVER_GOES or state.startswith("08"):
            return Verdict.LOST
        return Verdict.FINAL
    if isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Verdict.LOST
    return Verdict.FINAL


def translate(error: BaseException, where: str) -> InfinityError:
    """The error that our caller gets.

    Args:
        error: of asyncpg, of the network, or one of ours, which is returned as it is.
        where: the server and database, without the password.

    Returns:
        ``ConfigError`` for what a person has to change, ``LimitReached`` for what is too much at once,
        else a ``StoreError``: nothing was written, and it may be tried again.
    """
    if isinstance(error, InfinityError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    if state in _NO_TABLES:
        return ConfigError(
            f"the database {where} has no tables of Infinity, or not all ({error}); run: {MIGRATE}"
        )
    if state.startswith("28"):
        return ConfigError(
            f"the database {where} refused the login ({error}); check the user and its password"
        )
    if state == "3D000":
        return ConfigError(f"there is no such database: {where} ({error}); create it, then run: {MIGRATE}")
    if state == "42501":
        return ConfigError(f"the database {where} refused ({error}); grant its user what it needs")
    if state.startswith("54"):
        return LimitReached(f"the database {where} refused so much at once ({error}); nothing was written")
    if state == "23505":
        return RuleBroken(f"the database {where} refused a write: {error}")
    if state in _MET_ANOTHER:
        return StoreError(
            f"the database {where} is busy: other transactions were faster each time ({error}); nothing was written, try again"
        )
    if judge(error) is Verdict.LOST:
        return StoreError(
            f"the database {where} cannot be reached ({_words(error)}); check that it runs, and the address"
        )
    return StoreError(f"the database {where} failed: {_words(error)}")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
