"""The edge between the engine and a provider: one completion, and one kind of error for whatever a
provider raises (I12).

The engine calls ``completion`` and nothing else of a provider's stream. A ``ModelError`` and a
``ConfigError`` pass; every other exception is ``ModelUnavailable``, so that it is counted, waited for
and reported like any failure of a model. What a provider calls a turn is checked here, before the
engine pays attention to it: a turn that cannot be recorded would be bought again and again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from infinity.abc.model import Model, ModelCall, ModelRequest, Part, Reasoning, Text, Turn, Usage
from infinity.errors import ConfigError, ContextTooLong, InvalidModelRequest, ModelError, ModelUnavailable

from .characters import Joiner, whole, whole_value
from .estimate import overfull
from .turn import CUT_OFF, MOST_TOKENS, REASONING, count

log = logging.getLogger("infinity.models")

_MOST_PAUSES = 8
"""Times that one turn is gone on with where the provider paused it."""
EMPTY = "empty"
"""The stop reason of a turn without a word or call where there should be one, twice."""
_RESULT = b'{"role":"user","content":[{"type":"tool_result"'
_EVENT = b'"name":"receive_event__injected"'
_encode = msgspec.json.Encoder().encode
_LONG_WORD = re.compile(r"[^\s'\"(),;]{20,}")
"""What a key or an address with one looks like; exceptions of libraries quote them (S9)."""


async def completion(model: Model, request: ModelRequest, show: Callable[[Part], None]) -> Turn:
    """The model's turn, gone on with where the provider paused it, and asked for twice where it is empty
    right after a result.

    Args:
        model: the provider.
        request: what is asked; ``request.counted`` hears what every part of it has used.
        show: gets the live parts: whole characters, never half of a surrogate pair. It must not block
            or raise.

    Returns:
        A turn that can be recorded and sent back. Its stop reason is ``EMPTY`` if it said nothing
        twice.

    Raises:
        ModelError: what the provider says went wrong, or ``ModelUnavailable`` for any exception that is
            none.
        ConfigError: from the provider. asyncio.CancelledError: only if the calling task is being
            cancelled; a cancellation inside a provider is its failure.
    """
    try:
        turn = await _stream(model, request, show)
        for _ in range(_MOST_PAUSES):
            # A pause with calls is answered by their results, as any turn with calls.
            if turn.stop_reason != "pause_turn" or turn.calls or not turn.blocks:
                break
            turn = _joined(turn, await _stream(model, _charged(_continued(request, turn), turn), show))
        if _says_nothing(turn) and answers_a_call(request.messages):
            # Some models end their turn on a result now and then; asked again they go on (M8).
            turn = _joined(turn, await _stream(model, _charged(request, turn), show))
            if _says_nothing(turn):
                turn = replace(turn, stop_reason=EMPTY)
        return turn
    except (ModelError, ConfigError) as error:
        if _being_cancelled():
            raise asyncio.CancelledError from error
        if isinstance(error, InvalidModelRequest) and overfull(request, error.status):
            # The refusal has words of its own; by our estimate the window is full (I11).
            raise ContextTooLong(str(error), status=error.status) from error
        raise
    except (KeyboardInterrupt, GeneratorExit):
        # The end of the program, or of this coroutine: neither is the provider's.
        raise
    except BaseException as error:  # noqa: BLE001
        # Whatever class it is: SystemExit, a panic of an extension and a stray cancellation are no reason to
        # end the program.
        _translate(error)


def _says_nothing(turn: Turn) -> bool:
    return not turn.blocks and turn.stop_reason not in CUT_OFF


def answers_a_call(messages: bytes) -> bool:
    """Whether the model is to go on after a result of a call of its own; it may say nothing to an event
    (SUB-5).

    The marks cannot stand in text: JSON escapes its quotes.

    Args:
        messages: the request's messages, as bytes.
    """
    user = messages.rfind(b'{"role":"user"')
    if user < 0 or not messages.startswith(_RESULT, user):
        return False
    return _EVENT not in messages[messages.rfind(b'{"role":"assistant"', 0, user) : user]


def _continued(request: ModelRequest, turn: Turn) -> ModelRequest:
    """The request that goes on after ``pause_turn``: what was said so far stands at the end of its
    messages.
    """
    # Appended to the bytes as they are: what was cached before stays cached.
    said = _encode({"role": "assistant", "content": turn.blocks})
    messages = request.messages.rstrip().removesuffix(b"]") + b"," + said + b"]"
    return replace(request, messages=messages)


def _joined(paused: Turn, turn: Turn) -> Turn:
    """Both parts as one turn; both were paid for."""
    before, after = paused.usage, turn.usage
    return replace(turn, blocks=[*paused.blocks, *turn.blocks], usage=_sum(before, after))


def _sum(before: Usage, after: Usage) -> Usage:
    return Usage(
        before.input + after.input,
        before.output + after.output,
        before.cache_read + after.cache_read,
        before.cache_write + after.cache_write,
    )


def _charged(request: ModelRequest, before: Turn) -> ModelRequest:
    """The same, with what the turn before it has used counted in: a completion that breaks off is charged
    by both (I12).
    """
    request.counted(before.usage)
    return replace(request, counted=lambda usage: request.counted(_sum(before.usage, usage)))


def _paid(turn: Turn, request: ModelRequest) -> Turn:
    """The turn, checked. One that cannot be recorded was paid for all the same."""
    if isinstance(turn.usage, Usage) and _counts(turn.usage):
        request.counted(turn.usage)
    return checked(turn)


def _translate(error: BaseException) -> NoReturn:
    if _being_cancelled():
        if isinstance(error, asyncio.CancelledError):
            raise error
        raise asyncio.CancelledError from error
    if isinstance(error, asyncio.CancelledError):
        raise ModelUnavailable("the provider's request was cancelled inside the provider") from error
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("a model provider failed with %s\n%s", type(error).__name__, where)
    words = _words(error)
    text = f"the model provider failed with {type(error).__name__}" + (f": {words}" if words else "")
    raise ModelUnavailable(text) from error


def _words(error: BaseException) -> str:
    """What the exception says, on one line and without what may be a key (S9)."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  an error that cannot even say what it is
        return ""
    return whole(_LONG_WORD.sub("…", " ".join(said.split()))[:200])


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _stream(model: Model, request: ModelRequest, show: Callable[[Part], None]) -> Turn:
    parts = model.stream(request)
    text, reasoning = Joiner(), Joiner()
    try:
        async for part in parts:
            kind = type(part)
            # Nearly every piece is plain: nothing is held back and nothing is to be looked for in it.
            if kind is Text:
                if text.held or not part.text.isascii():  # type: ignore[union-attr]
                    part = Text(text.feed(part.text))  # type: ignore[union-attr]
            elif kind is Reasoning:
                if reasoning.held or not part.text.isascii():  # type: ignore[union-attr]
                    part = Reasoning(reasoning.feed(part.text))  # type: ignore[union-attr]
            elif isinstance(part, Turn):
                return _paid(part, request)
            show(part)
    finally:
        # Also if the caller has gone: an answer that goes on is paid for.
        await _close(parts)
    raise ModelUnavailable("the model's stream ended without a turn")


async def _close(parts: AsyncIterator[Part]) -> None:
    """End the request.

    What goes wrong here changes nothing about the turn, which may be there and is paid for.
    """
    close = getattr(parts, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except asyncio.CancelledError:
        if _being_cancelled():
            raise
    except Exception as error:  # noqa: BLE001
        log.warning("a model provider failed to end its request: %r", error)


def checked(turn: Turn) -> Turn:
    """A turn that can be recorded and sent back.

    It has whole characters, a call for each tool_use block, and counts that are counts. Empty texts and
    trailing reasoning are left out: no API takes them back (I4).

    Args:
        turn: as the provider made it; a provider of somebody else may put anything into it.

    Raises:
        ModelUnavailable: it is beyond repair.
    """
    if not isinstance(turn.blocks, list):
        raise _unreadable()
    calls, is_taken_back = [], True
    for block in turn.blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text = block.get("text")
            if not isinstance(text, str):
                raise _unreadable()
            is_taken_back = is_taken_back and bool(text) and not text.isspace()
        elif kind == "tool_use":
            calls.append(block.get("id"))
            if not isinstance(block.get("name"), str) or not isinstance(block.get("input"), dict):
                raise _unreadable()
        elif not isinstance(kind, str):
            raise _unreadable()
    if calls or turn.calls:
        _check_calls(calls, turn)
    try:
        _encode(turn.blocks)
    except UnicodeEncodeError:
        turn = _of_whole_characters(turn)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelUnavailable(f"the model's answer cannot be recorded: {error}") from error
    # Rare, so that the usual turn is not copied.
    if not is_taken_back or (turn.blocks and turn.blocks[-1]["type"] in REASONING):
        turn = replace(turn, blocks=_taken_back(turn.blocks))
    return turn if _counts(turn.usage) else replace(turn, usage=_counted(turn.usage))


def _unreadable() -> ModelUnavailable:
    return ModelUnavailable("the model's answer holds a content block that cannot be read")


def _check_calls(ids: list[Any], turn: Turn) -> None:
    match = len(ids) == len(turn.calls)
    for call_id, call in zip(ids, turn.calls, strict=False):
        match = match and call_id == call.id and isinstance(call_id, str)
    if not match:
        raise ModelUnavailable("the model's answer holds calls that do not match its content")
    for call in turn.calls:
        if call.arguments is not None and not isinstance(call.arguments, dict):
            raise ModelUnavailable("the model's answer holds arguments that are no object")


def _taken_back(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [block for block in blocks if block["type"] != "text" or block["text"].strip()]
    while kept and kept[-1]["type"] in REASONING:
        kept.pop()
    return kept


def _of_whole_characters(turn: Turn) -> Turn:
    calls = tuple(
        ModelCall(
            whole_value(call.id),
            whole_value(call.tool),
            whole_value(call.arguments),
            whole_value(call.problem),
        )
        for call in turn.calls
    )
    return replace(turn, blocks=whole_value(turn.blocks), calls=calls)


def _counts(usage: Usage) -> bool:
    for number in (usage.input, usage.output, usage.cache_read, usage.cache_write):
        if type(number) is not int or not 0 <= number < MOST_TOKENS:
            return False
    return True


def _counted(usage: Usage) -> Usage:
    return Usage(count(usage.input), count(usage.output), count(usage.cache_read), count(usage.cache_write))
