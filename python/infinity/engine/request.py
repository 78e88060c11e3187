"""The request of a completion: history rendered in the form that is in force, and no more tokens to answer than the window leaves."""

from __future__ import annotations

import msgspec

from infinity._core import weight
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


def request_of(current: Slice, info: ModelInfo, simpler: Simpler | None = None) -> ModelRequest:
    """What the model is asked now. ``simpler``: a form other than the one on record for this thread."""
    system = prompts.system(current.services.settings.instructions)
    tools = current.catalog.tools if current.catalog is not None else b"[]"
    simpler = glance(current.thread).simpler if simpler is None else simpler
    images = info.images
    if compaction.is_summariser(current):
        # A summary is words about words, and its range must fit whatever it holds (DESIGN 5.5).
        images, simpler = False, _fitted(current, info, simpler, len(system.encode()) + len(tools))
    messages = current.thread.render(images=images, documents=images, simpler=msgspec.json.encode(simpler))
    return ModelRequest(
        model=info,
        system=system,
        tools=tools,
        messages=messages,
        max_tokens=_answer_limit(current, info, len(system) + len(tools), messages),
    )


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
