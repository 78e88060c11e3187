"""Messages: whatever enters a thread's mailbox, by kind, with the body each kind has.

Senders (API, callbacks, timers, other threads) make a body and ``encode`` it; the slice that takes the
message decodes it. Bodies are stored, and read by later versions: a field may be added with a default,
and is never renamed or given another meaning.

Bodies travel as JSON bytes. Clients' content is a list of content blocks in the shape of the Anthropic
Messages API: ``{"type": "text", "text": …}`` or ``{"type": "image", "source": {"type": "base64",
"media_type": …, "data": …}}``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from infinity.characters import whole, whole_value

Block = dict[str, Any]
"""One content block, as JSON builtins."""


class Kind(StrEnum):
    """What a message is; decides which class of ``BODIES`` its body has. The values are stored."""

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
    """What a control message asks for.

    ``CANCEL`` is of one call; ``START`` is a child's first wake-up; ``REVIEW`` has the user asked about a call of another host
    (S14).
    """

    START = "start"
    INTERRUPT = "interrupt"
    STOP = "stop"
    RESUME = "resume"
    COMPACT = "compact"
    CLOSE = "close"
    MODEL = "model"
    TITLE = "title"
    UNSUBSCRIBE = "unsubscribe"
    CANCEL = "cancel"
    REVIEW = "review"


KEEP_CALLS = "keep calls"
"""The argument of an interrupt that ends the completion alone; without it, open calls are cancelled as
well.
"""


class TimerPurpose(StrEnum):
    """Why a timer was set; decides what the slice does that it wakes."""

    SLEEP = "sleep"
    DEADLINE = "deadline"
    RETRY = "retry"
    PROMPT = "prompt"
    """A question or sign-in has waited long enough."""


class Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all bodies. Defaults are left out of the JSON, so that a new field costs old messages
    nothing.
    """

    kind: ClassVar[Kind]


class UserText(Body, frozen=True, omit_defaults=True, kw_only=True):
    """What a person (or the API) says; ``user_id`` is theirs and stays with the calls it causes (S11)."""

    kind = Kind.USER
    content: list[Block]
    user_id: str | None = None
    print: str | None = None
    """A digest of the content, where it was sent under the client's own key: the same key with another
    digest is a mistake of the client, with the same digest a repeat.
    """


class Result(Body, frozen=True, omit_defaults=True, kw_only=True):
    """The result of a call: a ``tool_result``, or the runtime's own for a call that it gives up.

    The message id of a ``tool_result`` is the call id, so that a second one is a duplicate (CB-4); the
    runtime's has the id ``failed.<call id>``.
    """

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
    """A ``subscription_event``: something happened that a call has subscribed to (SUB-1 to SUB-6)."""

    kind = Kind.EVENT
    call_id: str
    content: list[Block]
    associative: bool = False
    """It enters the subscribing thread itself; otherwise a child thread is made for it (SUB-4, SUB-5)."""
    final: bool = False
    """It ends the subscription (SUB-6)."""
    seq: int | None = None
    """The sender's own number of the event, where it has one."""


class Report(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A child's report to its parent (THR-5).

    ``call_id`` is the parent's call that made the child, by spawning it or by a subscription.
    """

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
    """A tool asks the user to sign in at ``auth_url`` (https only); its call stays open meanwhile (OAU-1)."""

    kind = Kind.OAUTH
    call_id: str
    auth_url: str


class Choice(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A tool asks the user a question (CHO-1, CHO-2). ``default`` is the index of the choice that is sent
    when the user dismisses the question; the answer goes to ``response_url``.
    """

    kind = Kind.CHOICE
    call_id: str
    prompt: str
    choices: list[str]
    default: int
    response_url: str


ALLOW = 0
"""The index that lets a call leave, of the runtime's own question about it."""


class Chosen(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A user's answer to a prompt.

    ``selected`` is the index of the choice, the default when it was dismissed. ``prompt_kind`` says
    what was asked: a question of a tool, a sign-in, or the runtime's own question about a call.
    """

    kind = Kind.CHOSEN
    choice_id: str
    call_id: str
    prompt_kind: str
    selected: int
    response_url: str = ""
    user_id: str | None = None
    reason: str = ""
    """Why a call was not allowed, for the model."""
    arguments: dict[str, Any] | None = None
    """With which a call is allowed, where the user changed them."""


class Timer(Body, frozen=True, omit_defaults=True, kw_only=True):
    """A timer is due. Which fields are set depends on ``purpose``."""

    kind = Kind.TIMER
    purpose: TimerPurpose
    call_id: str | None = None
    attempt: int = 0
    rounds: int = 0
    """Completions that the slices before have made in a row, where one goes on what another could not end."""
    version: int = 0
    """Of the commit that set a retry, of 0.1.0: a retry is stale once the thread has another version.

    Later versions know it by its id.
    """
    choice: Choice | None = None
    """The question that a ``prompt`` timer ends, with its default."""
    message_id: str = ""
    """Of that question."""
    cause: str | None = None
    """The cause outside the thread that a retry waits for."""
    asked: bool = False
    """By a person, in the slice that set a retry."""


class Control(Body, frozen=True, omit_defaults=True, kw_only=True):
    """The user, the API or the runtime wants something of the thread itself; nothing of it reaches the
    model.
    """

    kind = Kind.CONTROL
    action: Action
    argument: str | None = None
    """The new model of ``model``; the report of ``close``; the call id of ``unsubscribe`` and ``review``;
    ``KEEP_CALLS`` of ``interrupt``.
    """


class Summary(Body, frozen=True, omit_defaults=True, kw_only=True):
    """What a compaction's child made of ``[start, end)`` of its parent's history, or why it failed.

    It is folded in only if that range is still the oldest one: a compare-and-swap on ``start`` and
    ``end`` (B9).
    """

    kind = Kind.SUMMARY
    child: str
    start: int
    end: int
    text: str
    failed: bool = False


class ProblemReport(Body, frozen=True, omit_defaults=True, kw_only=True):
    """Something that the user should know of and that concerns no model: it goes on record and wakes
    nobody.
    """

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
"""The class of each kind of message; a new kind is added here."""

# Made once: a decoder compiles the class, which costs more than decoding a message.
_decoders = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_encode = msgspec.json.Encoder().encode


def encode(body: Body) -> bytes:
    """The body as JSON.

    Halves of characters (lone surrogates) in it become U+FFFD: a Python string can hold them, JSON in
    UTF-8 cannot.

    Args:
        body: any of the classes in ``BODIES``.

    Returns:
        UTF-8 bytes of one JSON object, without the fields that have their default.
    """
    try:
        return _encode(body)
    except UnicodeEncodeError:
        # Only now: nearly all bodies are whole, and this copies them.
        return _encode(whole_value(msgspec.to_builtins(body)))


def decode(kind: str, body: bytes) -> Body:
    """The body of a message, checked against the class of its kind.

    Args:
        kind: the kind that the message says it has; one of ``Kind``, as far as this version knows it.
        body: what ``encode`` made, by this version or an earlier one.

    Raises:
        ValueError: the kind is unknown, or the body is not one of that kind
            (``msgspec.ValidationError``). The message stays queued; it is never skipped (I8).
    """
    # A kind of a later version: the caller keeps the message, and says so (I8).
    decoder = _decoders.get(kind)
    if decoder is None:
        raise ValueError(f"unknown message kind {kind!r}; this version knows {', '.join(sorted(_decoders))}")
    return decoder.decode(body)


def text_blocks(text: str) -> list[Block]:
    """One text block that a model API takes: whole characters, no NUL, never empty (I4, I11).

    Args:
        text: any Python string, also with halves of characters.

    Returns:
        A list of exactly one block; an empty or blank text becomes the placeholder ``(empty)``.
    """
    text = whole(text)
    # PostgreSQL and some APIs take no NUL in a text.
    if "\0" in text:
        text = text.replace("\0", "")
    return [{"type": "text", "text": text if text.strip() else "(empty)"}]
