"""Everything that can go wrong, as one tree. A class exists only where a caller acts differently on it.

InfinityError
├── StoreError               the store could not do it; nothing was written, the message is still queued (I8)
│   ├── DamagedStore         a record or file cannot be read
│   ├── NewerStore           written by a newer version of Infinity
│   ├── StoreLocked          another process holds it
│   └── Conflict             the slice lost its claim; load again (I1)
├── RuleBroken               a rule of history was about to be broken (I4): a bug in Infinity
├── LimitReached             a configured limit
├── UnknownThread
│   └── ThreadDeleted        it was deleted for good; its id is not used again
├── BadRequest               malformed input; the text says what and where
│   └── AlreadyAnswered      a question that has its answer; the text says which
├── ConfigError              a wrong setting; the text says which and what to write instead
├── MoveFailed               the move was given up; the conversation is where it was
│   └── MoveUnconfirmed      nobody answered: what was asked for may have happened or not
├── ToolsetError             a tool server or its manifest cannot be used
├── ModelError               the provider could not or would not complete
│   ├── RateLimited          (retry_after)
│   ├── Overloaded           (retry_after)
│   ├── ModelUnavailable     connection, time-out, 5xx, broken stream
│   ├── ContextTooLong
│   ├── ModelRefused
│   ├── InvalidModelRequest
│   └── ModelAuthentication
└── Stopped                  the host is shutting down
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyAnswered",
    "BadRequest",
    "ConfigError",
    "Conflict",
    "ContextTooLong",
    "DamagedStore",
    "InfinityError",
    "InvalidModelRequest",
    "LimitReached",
    "ModelAuthentication",
    "ModelError",
    "ModelRefused",
    "ModelUnavailable",
    "MoveFailed",
    "MoveUnconfirmed",
    "NewerStore",
    "Overloaded",
    "RateLimited",
    "RuleBroken",
    "Stopped",
    "StoreError",
    "StoreLocked",
    "ThreadDeleted",
    "ToolsetError",
    "UnknownThread",
    "code_of",
    "from_core",
]


class InfinityError(Exception):
    """The root. ``code`` is stable and goes on the wire; ``str(error)`` is for people."""

    code: str = "internal"
    rule: str | None = None
    """The id of the protocol rule that was broken, where there is one."""


class StoreError(InfinityError):
    code = "storage"


class DamagedStore(StoreError):
    code = "damaged"


class NewerStore(StoreError):
    code = "too_new"


class StoreLocked(StoreError):
    code = "locked"


class Conflict(StoreError):
    code = "conflict"


class RuleBroken(InfinityError):
    code = "rule"


class LimitReached(InfinityError):
    code = "limit"


class UnknownThread(InfinityError):
    code = "not_found"


class ThreadDeleted(UnknownThread):
    """There was such a thread."""

    code = "deleted"


class BadRequest(InfinityError):
    """``rule``: the id of the protocol rule that was broken, where there is one."""

    code = "bad_request"

    def __init__(self, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.rule = rule


class AlreadyAnswered(BadRequest):
    """A question has its answer already, another one than this."""

    code = "not_pending"


class ConfigError(InfinityError):
    code = "config"


class MoveFailed(InfinityError):
    code = "move_failed"


class MoveUnconfirmed(MoveFailed):
    code = "move_unconfirmed"


class ToolsetError(InfinityError):
    """``rule``: the id of the protocol rule that the manifest breaks, where there is one."""

    code = "toolset"

    def __init__(self, text: str, rule: str | None = None) -> None:
        super().__init__(text)
        self.rule = rule


class Stopped(InfinityError):
    code = "stopped"


class ModelError(InfinityError):
    """The provider failed. ``status``: the HTTP status where there was one; ``retry_after``: seconds the provider asked for."""

    code = "model"
    retryable: ClassVar[bool] = False

    def __init__(self, text: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class RateLimited(ModelError):
    code = "rate_limited"
    retryable = True


class Overloaded(ModelError):
    code = "overloaded"
    retryable = True


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    retryable = True


class ContextTooLong(ModelError):
    code = "context_too_long"


class ModelRefused(ModelError):
    code = "refused"


class InvalidModelRequest(ModelError):
    code = "invalid_model_request"


class ModelAuthentication(ModelError):
    code = "model_authentication"


# The codes of rust/src/error.rs; a test holds the two tables together.
CORE_CODES: dict[str, type[InfinityError]] = {
    "damaged": DamagedStore,
    "too_new": NewerStore,
    "conflict": Conflict,
    "storage": StoreError,
    "locked": StoreLocked,
    "rule": RuleBroken,
    "limit": LimitReached,
    "not_found": UnknownThread,
    "deleted": ThreadDeleted,
    "closed": Stopped,
    "bad_request": BadRequest,
}


def from_core(error: BaseException) -> InfinityError:
    """The public error for a ``_core.CoreError``, whose ``args`` are ``(code, text)``."""
    code, text = error.args
    return CORE_CODES[code](text)


def code_of(error: BaseException) -> str:
    """The stable code of any error; of one that is not ours, ``storage`` if the operating system raised it, else ``internal``."""
    if isinstance(error, InfinityError):
        return error.code
    return StoreError.code if isinstance(error, OSError) else InfinityError.code
