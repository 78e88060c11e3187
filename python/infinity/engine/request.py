"""The request of a completion: history rendered in the form that is in force, and no more tokens to answer than the window leaves."""

from __future__ import annotations

import zlib

import msgspec

from infinity._core import Thread, weight
from infinity.abc import ModelInfo, ModelRequest
from infinity.engine import compaction, prompts
from infinity.engine.content import CHARS_PER_TOKEN, fits
from infinity.engine.memo import Simpler, glance
from infinity.engine.slice.state import Slice

LEAST_ANSWER = 256
"""Tokens that are asked for however full the window seems: the estimate may be wrong, and the API says when it is not."""
MOST_CHARS_PER_TOKEN = 4
"""Endpoints that count less than this promises count wrongly, or not at all."""
_MARGIN = 64
"""Tokens of a request beside its texts."""
LEAST_TEXT = 200
"""Characters that a shortened text keeps."""
_LONGEST_FORM = 1_000
"""Bytes of a form that an entry takes along (I10)."""


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the entry of a turn says of the request that it answers: enough to render it again, and to know that it is the same."""

    bytes: int
    """Of its messages, before the provider puts them into the shape of its API."""
    crc32: int
    """Of the same."""
    max_tokens: int
    images: bool = True
    """Whether images and documents were sent as such."""
    simpler: Simpler = Simpler()
    """The form in which history was rendered; left out if it is long, and then the same is not rendered again."""


def form(current: Slice, info: ModelInfo, simpler: Simpler | None = None) -> tuple[bool, Simpler]:
    """Whether images and documents are sent, and what is shown in a simpler form. ``simpler``: as for ``request_of``."""
    simpler = glance(current.thread).simpler if simpler is None else simpler
    if not compaction.is_summariser(current):
        return info.images, simpler
    # A summary is words about words, and its range must fit whatever it holds (DESIGN 5.5).
    system, tools = _prefix(current)
    return False, _fitted(current, info, simpler, len(system.encode()) + len(tools))


def sent(current: Slice, info: ModelInfo, request: ModelRequest, simpler: Simpler | None) -> Sent:
    """What is on record of a request that was answered. ``simpler``: the form it was made with, if it was not the thread's."""
    images, used = form(current, info, simpler)
    brief = len(msgspec.json.encode(used)) <= _LONGEST_FORM
    return Sent(
        len(request.messages),
        zlib.crc32(request.messages),
        request.max_tokens,
        images,
        used if brief else Simpler(),
    )


def request_of(current: Slice, info: ModelInfo, simpler: Simpler | None = None) -> ModelRequest:
    """What the model is asked now. ``simpler``: a form other than the one on record for this thread."""
    system, tools = _prefix(current)
    images, simpler = form(current, info, simpler)
    messages = rendered(current.thread, images, simpler)
    return ModelRequest(
        model=info,
        system=system,
        tools=tools,
        messages=messages,
        max_tokens=_answer_limit(current, info, len(system) + len(tools), messages),
    )


def rendered(thread: Thread, images: bool, simpler: Simpler) -> bytes:
    """The messages of a thread in a form. ``images``: and documents, as such."""
    return thread.render(images=images, documents=images, simpler=msgspec.json.encode(simpler))


def _prefix(current: Slice) -> tuple[str, bytes]:
    tools = current.catalog.tools if current.catalog is not None else b"[]"
    return prompts.system(current.services.settings.instructions), tools


def _fitted(current: Slice, info: ModelInfo, simpler: Simpler, fixed: int) -> Simpler:
    """The same with the largest texts shortened as far as the window wants it."""
    if not info.context_window or simpler.longest_before >= current.thread.position > 0:
        return simpler
    longest = current.thread.longest_text(max(fits(info.context_window, fixed), 0))
    return (
        simpler if longest is None else simpler.shortened(max(longest, LEAST_TEXT), current.thread.position)
    )


def _answer_limit(current: Slice, info: ModelInfo, fixed: int, messages: bytes) -> int:
    """Tokens of the answer: what the model may say at most, within what its window leaves. ``fixed``: characters beside the messages."""
    if fixed + len(messages) + info.output_limit < info.context_window or not info.context_window:
        return info.output_limit  # Even if every character were a token.
    characters = fixed + weight(messages)
    tokens = characters // CHARS_PER_TOKEN
    known = current.thread.context_tokens
    if known:
        # What the provider counted last time is better than an estimate, where it is plausible; only what came since has to be guessed.
        counted = known + current.thread.unanswered_weight() // CHARS_PER_TOKEN
        tokens = min(tokens, max(counted, characters // MOST_CHARS_PER_TOKEN))
    left = info.context_window - tokens - _MARGIN
    return min(info.output_limit, max(left, LEAST_ANSWER))
