"""Messages: whatever enters a thread's mailbox, by kind, with the body each kind has.

Bodies travel as JSON bytes (``encode``/``decode``). Clients' content is a list of content blocks in the shape of the Anthropic
Messages API: ``{"type": "text", "text": …}`` or ``{"type": "image", "source": {"type": "base64", "media_type": …, "data": …}}``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from infinity.characters import whole, whole_value

Block = dict[str, Any]


class Kind(StrEnum):
    USER = "user"
    RESULT = "result"
    EVENT = "event"
    REPORT = "report"
    PARENT = "parent"
    OAUTH = "oauth"
    CHOICE = "choice"
    CHOSEN = "chosen"
    TIMER = "timer"
    CONTROL = "control"
    SUMMARY = "summary"
    PROBLEM = "problem"


class Action(StrEnum):
    """What a control message asks for. ``START`` is a child's first wake-up; ``REVIEW`` has the user asked about a call of another host."""

    START = "start"
    INTERRUPT = "interrupt"
    STOP = "stop"
    RESUME = "resume"
    COMPACT = "compact"
    CLOSE = "close"
    MODEL = "model"
    UNSUBSCRIBE = "unsubscribe"
    REVIEW = "review"


KEEP_CALLS = "keep calls"
"""An interrupt with this argument ends the completion only; without it, open calls are cancelled as well."""


class TimerPurpose(StrEnum):
    SLEEP = "sleep"
    DEADLINE = "deadline"
    RETRY = "retry"
    PROMPT = "prompt"
    """A question or sign-in has waited long enough."""


class Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    kind: ClassVar[Kind]


class UserText(Body, frozen=True, omit_defaults=True, kw_only=True):
    """What a person (or the API) says; ``user_id`` is theirs and stays with the calls it causes (S11)."""

    kind = Kind.USER
    content: list[Block]
    user_id: str | None = None
    print: str | None = None
    """Of what was sent under a key: tells other content under the same key from a repeat."""


class Result(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A ``tool_result``, whose message id is the call id, or the runtime's own result for a call that it gives up (``failed.<call id>``)."""

    kind = Kind.RESULT
    call_id: str
    content: list[Block]
    display: list[dict[str, Any]] | None = None
    subscription: bool = False
    failed: bool = False
    """The runtime gave up on the call: dispatch failed for good, or what its server sent was refused."""
    cancel: bool = False
    """Its server may still be at work and is told to end."""


class Event(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A ``subscription_event``."""

    kind = Kind.EVENT
    call_id: str
    content: list[Block]
    associative: bool = False
    final: bool = False
    seq: int | None = None


class Report(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A child's report; ``call_id`` is the parent's call that made the child (spawn or subscription)."""

    kind = Kind.REPORT
    child: str
    call_id: str
    tool: str
    arguments: Any
    text: str
    user_id: str | None = None
    """On whose behalf the child worked (S11)."""
    closed: bool = False
    by_runtime: bool = False
    """The child has said nothing; the runtime says why its parent is not to wait for more (THR-5)."""


class ParentText(Body, frozen=True, omit_defaults=True, kw_only=True):
    """``send_message_to_child``, as the child gets it."""

    kind = Kind.PARENT
    text: str
    user_id: str | None = None


class OAuth(Body, frozen=True, omit_defaults=True, kw_only=True):
    kind = Kind.OAUTH
    call_id: str
    auth_url: str


class Choice(Body, frozen=True, omit_defaults=True, kw_only=True):
    kind = Kind.CHOICE
    call_id: str
    prompt: str
    choices: list[str]
    default: int
    response_url: str


class Chosen(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A user's answer to a prompt; ``selected`` is the index of the choice, the default when it was dismissed."""

    kind = Kind.CHOSEN
    choice_id: str
    call_id: str
    prompt_kind: str
    selected: int
    response_url: str = ""
    user_id: str | None = None


class Timer(Body, frozen=True, omit_defaults=True, kw_only=True):
    kind = Kind.TIMER
    purpose: TimerPurpose
    call_id: str | None = None
    attempt: int = 0
    rounds: int = 0
    """Completions that the slices before have made in a row, where one goes on what another could not end."""
    version: int = 0
    """Of the commit that set a retry, of 0.1.0: a retry is stale once the thread has another version. Later versions know it by its id."""
    choice: Choice | None = None
    """The question that a ``prompt`` timer ends, with its default."""
    message_id: str = ""
    """Of that question."""
    cause: str | None = None
    """The cause outside the thread that a retry waits for."""
    asked: bool = False
    """By a person, in the slice that set a retry."""


class Control(Body, frozen=True, omit_defaults=True, kw_only=True):
    kind = Kind.CONTROL
    action: Action
    argument: str | None = None
    """The new model of ``model``; the report of ``close``; the call id of ``unsubscribe`` and ``review``; ``KEEP_CALLS`` of ``interrupt``."""


class Summary(Body, frozen=True, omit_defaults=True, kw_only=True):
    """What a compaction's child made of ``[start, end)`` of its parent's history, or why it failed."""

    kind = Kind.SUMMARY
    child: str
    start: int
    end: int
    text: str
    failed: bool = False


class ProblemReport(Body, frozen=True, omit_defaults=True, kw_only=True):
    """Something that the user should know of and that concerns no model: it goes on record and wakes nobody."""

    kind = Kind.PROBLEM
    code: str
    text: str
    call_id: str = ""


BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        UserText,
        Result,
        Event,
        Report,
        ParentText,
        OAuth,
        Choice,
        Chosen,
        Timer,
        Control,
        Summary,
        ProblemReport,
    )
}

_decoders = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_encode = msgspec.json.Encoder().encode


def encode(body: Body) -> bytes:
    """The body as JSON. Halves of characters in it become U+FFFD: a Python string can hold them, JSON in UTF-8 cannot."""
    try:
        return _encode(body)
    except UnicodeEncodeError:
        return _encode(whole_value(msgspec.to_builtins(body)))


def decode(kind: str, body: bytes) -> Body:
    """The body of a message. ``ValueError`` (``msgspec.ValidationError`` or an unknown kind) if it is not one of ours."""
    decoder = _decoders.get(kind)
    if decoder is None:
        raise ValueError(f"unknown message kind {kind!r}; this version knows {', '.join(sorted(_decoders))}")
    return decoder.decode(body)


def text_blocks(text: str) -> list[Block]:
    """One text block that a model API takes: whole characters, no NUL, and a placeholder where the text is empty (I4, I11)."""
    text = whole(text)
    if "\0" in text:
        text = text.replace("\0", "")
    return [{"type": "text", "text": text if text.strip() else "(empty)"}]
