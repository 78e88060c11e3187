"""Whether a refused request was too long for the model's context: by code, then by the numbers in the
text, last by its words.

Every server has a wording of its own, and some have two. Codes are the most stable and the fewest;
numbers are next: a text about tokens that names a larger and a smaller number says what was asked for
and what the limit is. What is taken for too long by mistake costs one compaction, what is missed stops
the conversation; so the words are read generously, but never those about a single field, an image, a
tool or the output.
"""

from __future__ import annotations

import re

_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_too_long",
        "context_window_exceeded",
        "exceed_context_size_error",
        "exceeds_context_window",
        "input_too_long",
        "model_context_window_exceeded",
        "model_max_prompt_tokens_exceeded",
        "prompt_too_long",
        "request_too_large",
        "tokens_limit_reached",
        "token_limit_exceeded",
    }
)

_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]*(?![\w.]*\w)")
_LEAST_WINDOW = 256
"""Tokens. Smaller limits are those of lists and names."""

_TOKENS = re.compile(
    r"\btokens?\b|\bcontext\b|\bprompt\b|\binput length\b|\binputs?`?\s+(?:must|tokens)", re.I
)
_INPUT = re.compile(r"\b(?:context|prompt|inputs?|request(?:ed)?|messages|conversation|sequence)\b", re.I)
_OUTPUT = re.compile(
    r"\b(?:output|completion|generated?|response) tokens\b|\bmax_(?:completion_|output_)?tokens`? is too large",
    re.I,
)
_OF_THE_CONTEXT = re.compile(r"\bcontext(?:[ _-]?(?:length|window|size|limit))?\b|\bprompt\b|\binput\b", re.I)
_ELSEWHERE = re.compile(
    r"\b(?:call_id|tool_call_id|image|images|pdf|pages|tools?\[\d+\]|function name|metadata|tokens per (?:minute|min|day)|tpm|budget_tokens)\b",
    re.I,
)

_WORDS = re.compile(
    "|".join(
        (
            r"context[ _-]?(?:length|window|size|limit)",
            r"(?:length|size) of the context",
            r"\b(?:prompt|input|inputs|conversation|request|messages|history|chat|sequence)\b[^.:]{0,60}?\b(?:is |are |was |were )?(?:too (?:long|large|big)|over(?:size|ly long)|exceed)",
            r"\btoo many (?:input |prompt )?tokens\b",
            r"\btokens?\b[^.]{0,80}\b(?:exceed\w*|over|above|beyond|more than|greater than|larger than)\b[^.]{0,60}\b(?:limit|max\w*|allowed|window|length|capacity)\b",
            r"\bexceed\w*[^.]{0,60}\b(?:token limit|tokens? allowed|max\w* (?:number of )?(?:input |prompt )?tokens|(?:max\w* )?(?:prompt|input|sequence) (?:length|size))",
            r"\bmax\w*\.? (?:allowed |permitted )?(?:prompt|input|sequence|model)(?: token)? (?:length|size|len|tokens)",
            r"\b(?:input|prompt|sequence) length\b[^.]{0,60}\b(?:should be|must be|range|limit|at most|exceed)",
            r"\breduce (?:the |your )?(?:length|size|number)? ?(?:of )?(?:the |your )?(?:messages|prompt|input|context|conversation)",
            r"\b(?:shorten|truncate) (?:the |your )?(?:prompt|input|messages|context|conversation)",
            r"\blonger than\b[^.]{0,40}\b(?:model|context|window|maximum)\b",
        )
    ),
    re.I,
)


def is_context_too_long(message: str, *codes: str) -> bool:
    """Whether a request was refused for its length.

    Args:
        message: the refusal's text.
        *codes: its types and codes, as they came.
    """
    # A code is definite; words are read only without one.
    if any(code.lower().replace("-", "_") in _CODES for code in codes):
        return True
    # Bounded: the patterns search a stranger's text (I15).
    text = message[:4_000]
    if _ELSEWHERE.search(text) or (_OUTPUT.search(text) and not _OF_THE_CONTEXT.search(text)):
        return False
    return _by_numbers(text) or _WORDS.search(text) is not None


def _by_numbers(text: str) -> bool:
    """A text about the tokens of a request that names a larger and a smaller number: what was asked for,
    and the limit.
    """
    if not (_TOKENS.search(text) and _INPUT.search(text)):
        return False
    numbers = {int(digits) for each in _NUMBER.findall(text) if len(digits := re.sub("[,_]", "", each)) <= 9}
    # Two different ones: a limit alone is named by many other refusals.
    return sum(number >= _LEAST_WINDOW for number in numbers) >= 2


_LIMIT = re.compile(
    r"(?:context (?:length|window|size)|maximum|max\w*|limit\w*|allowed|only)\D{0,40}?(\d[\d,_]*)|>\s*(\d[\d,_]*)",
    re.I,
)


def window_in(message: str) -> int | None:
    """The limit that a refusal for length names, in tokens; ``None`` if it names none.

    Args:
        message: the refusal's text.
    """
    for found in _LIMIT.finditer(message[:4_000]):
        digits = re.sub("[,_]", "", found[1] or found[2])
        if len(digits) <= 9 and int(digits) >= _LEAST_WINDOW:
            return int(digits)
    return None
