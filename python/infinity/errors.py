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
    """The root of all errors that callers may catch.

    ``code`` is stable and goes on the wire; ``str(error)`` is for people and may change. Compare the
    class or the code, never the text.
    """

    code: str = "internal"
    rule: str | None = None
    """The id of the protocol rule that was broken, where there is one."""


class StoreError(InfinityError):
    """The store could not do it. Nothing was written; the same operation may be tried again (I8)."""

    code = "storage"


class DamagedStore(StoreError):
    """A record or file cannot be read. It is never taken for empty (L16); restore a backup or run the
    repair.
    """

    code = "damaged"


class NewerStore(StoreError):
    """A newer version of Infinity wrote the data. Update; going on would damage it."""

    code = "too_new"


class StoreLocked(StoreError):
    """Another process holds the store. Stop it, or wait until it has ended."""

    code = "locked"


class Conflict(StoreError):
    """Somebody else's change came first. Load the thread again and decide anew (I1)."""

    code = "conflict"


class RuleBroken(InfinityError):
    """A change would have made an invalid history (I4). This is a bug in Infinity, not in its caller."""

    code = "rule"


class NoFork(InfinityError):
    """A thread cannot be forked there: a call has no result yet, or nothing would be inherited."""

    code = "no_fork"


class LimitReached(InfinityError):
    """A configured limit, or one of the platform. The text names the limit and what to do."""

    code = "limit"


class UnknownThread(InfinityError):
    """No thread has this id, as far as this store knows."""

    code = "not_found"


class ThreadDeleted(UnknownThread):
    """The thread existed and was deleted for good; its id is not used again."""

    code = "deleted"


class BadRequest(InfinityError):
    """Malformed input from outside; the text says what is wrong and where."""

    code = "bad_request"

    def __init__(self, text: str, rule: str | None = None) -> None:
        """Make the error.

        Args:
            text: what is wrong and where, for the sender.
            rule: the id of the protocol rule that was broken (docs/rules.md), where there is one.
        """
        super().__init__(text)
        self.rule = rule


class AlreadyAnswered(BadRequest):
    """A question has its answer already, another one than this."""

    code = "not_pending"


class ConfigError(InfinityError):
    """A wrong setting. The text names the setting and what to write instead; starting again alone does not
    help.
    """

    code = "config"


class MoveFailed(InfinityError):
    """The move of a conversation was given up. The conversation is where it was, and in service."""

    code = "move_failed"


class MoveUnconfirmed(MoveFailed):
    """The other host did not answer: what was asked of it may have happened. Look there before trying
    again.
    """

    code = "move_unconfirmed"


class ToolsetError(InfinityError):
    """A tool server, or its manifest, cannot be used; other servers are not affected (B13)."""

    code = "toolset"

    def __init__(self, text: str, rule: str | None = None) -> None:
        """Make the error.

        Args:
            text: which server, and what is wrong with it.
            rule: the id of the protocol rule that the manifest breaks (docs/rules.md), where there is
                one.
        """
        super().__init__(text)
        self.rule = rule


class Stopped(InfinityError):
    """The host is shutting down; the operation did not happen. What was accepted before is durable."""

    code = "stopped"


class ModelError(InfinityError):
    """The provider failed, or refused. ``retryable`` says whether the same request may succeed later."""

    code = "model"
    retryable: ClassVar[bool] = False
    """Whether the engine may send the same request again after a wait."""

    def __init__(self, text: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        """Make the error.

        Args:
            text: what the provider said, without secrets.
            status: the HTTP status where there was one.
            retry_after: seconds that the provider asked to wait; ``None`` if it did not say.
        """
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class RateLimited(ModelError):
    """The account has used up its rate; ``retry_after`` is what the provider asks for."""

    code = "rate_limited"
    retryable = True


class Overloaded(ModelError):
    """The provider has no capacity at the moment."""

    code = "overloaded"
    retryable = True


class ModelUnavailable(ModelError):
    """No connection, a time-out, a 5xx or a stream that broke off."""

    code = "model_unavailable"
    retryable = True


class ContextTooLong(ModelError):
    """The request does not fit into the window of the model. The engine shortens or summarises the history
    (I11).
    """

    code = "context_too_long"


class ModelRefused(ModelError):
    """The provider declines to answer this content. Sending it again gives the same."""

    code = "refused"


class InvalidModelRequest(ModelError):
    """The provider takes the request for malformed. The engine sends a simpler form of the history (I11)."""

    code = "invalid_model_request"


class ModelAuthentication(ModelError):
    """The key is missing, expired or may not use this model. The thread parks with a problem until it is
    changed.
    """

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
    """The public error for an error of the core.

    Args:
        error: a ``_core.CoreError``, whose ``args`` are ``(code, text)``.

    Returns:
        An error of the class that ``CORE_CODES`` has for the code. It is returned, not raised, so that
        the caller can chain it (``raise from_core(error) from error``).
    """
    # A code that the table does not have is a mistake of ours, and a KeyError says so.
    code, text = error.args
    return CORE_CODES[code](text)


def code_of(error: BaseException) -> str:
    """The stable code of any error, for the wire and for records.

    Args:
        error: any exception.

    Returns:
        Its ``code`` if it is one of ours; else ``storage`` if the operating system raised it, else
        ``internal``.
    """
    if isinstance(error, InfinityError):
        return error.code
    return StoreError.code if isinstance(error, OSError) else InfinityError.code
