"""The Claude models: sizes, prices and how each is asked to reason.

From platform.claude.com/docs/en/models and …/build-with-claude/thinking, as of November 2026. Any other
id is accepted with defaults, so that a new model works before this table knows it. A size that is too
small only makes compaction come earlier; a price that is too low would let a limit in money be passed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from functools import lru_cache

from infinity.abc.model import ModelInfo

PROVIDER = "anthropic"


class Thinking(Enum):
    """How a model takes ``thinking``; a form it does not know is a 400."""

    BUDGET = "a budget of tokens, or absent"
    ADAPTIVE = "adaptive, or disabled"
    BETWEEN_TOOLS = "adaptive, or only between tools"
    ALWAYS = "adaptive; cannot be turned off"


def _model(
    model_id: str,
    *,
    window: int,
    output: int,
    price: tuple[float, float, float, float] | None,
    thinking: int = 0,
) -> ModelInfo:
    return ModelInfo(
        f"{PROVIDER}/{model_id}",
        PROVIDER,
        model_id,
        context_window=window,
        output_limit=output,
        thinking=thinking,
        price=price,
    )


_MILLION = 1_000_000
_ON = 8_192
"""For adaptive models any budget above 0 means "on"; the number is not sent."""

MODELS: tuple[ModelInfo, ...] = (
    _model("claude-opus-5-5", window=_MILLION, output=128_000, price=(4, 20, 0.2, 5), thinking=_ON),
    _model("claude-sonnet-5-5", window=_MILLION, output=128_000, price=(2, 10, 0.2, 2.5), thinking=_ON),
    # The prices of prompts above 100,000 tokens, five times those below: money limits must not undercount.
    _model("claude-haiku-5-5", window=_MILLION, output=128_000, price=(0.5, 2.5, 0.05, 0.625), thinking=_ON),
    # Nobody documents its cache prices yet: those of its line's older models, relative to its input price.
    _model("claude-fable-5-2", window=_MILLION, output=128_000, price=(8, 40, 0.8, 10), thinking=_ON),
    _model("claude-fable-5-1", window=_MILLION, output=128_000, price=(10, 50, 0.25, 12.5), thinking=_ON),
    _model("claude-fable-5", window=_MILLION, output=128_000, price=(10, 50, 1, 12.5), thinking=_ON),
    _model("claude-opus-5", window=_MILLION, output=128_000, price=(5, 25, 0.5, 6.25), thinking=_ON),
    _model("claude-sonnet-5", window=_MILLION, output=128_000, price=(2, 10, 0.2, 2.5), thinking=_ON),
    _model("claude-opus-4-8", window=_MILLION, output=128_000, price=(5, 25, 0.5, 6.25)),
    _model("claude-opus-4-7", window=_MILLION, output=128_000, price=(5, 25, 0.5, 6.25)),
    _model("claude-opus-4-6", window=_MILLION, output=128_000, price=(5, 25, 0.5, 6.25)),
    _model("claude-sonnet-4-6", window=_MILLION, output=128_000, price=(3, 15, 0.3, 3.75)),
    _model("claude-opus-4-5", window=200_000, output=64_000, price=(5, 25, 0.5, 6.25)),
    _model("claude-sonnet-4-5", window=200_000, output=64_000, price=(3, 15, 0.3, 3.75)),
    _model("claude-haiku-4-5", window=200_000, output=64_000, price=(1, 5, 0.1, 1.25)),
)
"""The table, the newest first; ``list`` gives it where an endpoint has no list."""

_BY_ID = {model.id: model for model in MODELS}

ALIASES: dict[str, str] = {
    "opus": f"{PROVIDER}/claude-opus-5-5",
    "sonnet": f"{PROVIDER}/claude-sonnet-5-5",
    "haiku": f"{PROVIDER}/claude-haiku-5-5",
}
"""Names that users write, and what they mean today."""

DEFAULT = ALIASES["sonnet"]
"""The model of new threads where nothing is configured and there is a key."""

_VERSION = re.compile(
    r"claude-(?P<line>[a-z]+)-(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2}))?(?:$|-\d{8}$|-latest$)"
)
_SNAPSHOT = re.compile(r"-\d{8}$")
# us.anthropic.claude-sonnet-4-5-20250929-v1:0
_BEDROCK = re.compile(r"(?:[a-z-]+\.)?anthropic\.(?P<id>claude-[a-z0-9-]+?)(?:-v\d+(?::\d+)?)?$")
_ALWAYS = {("opus", (5, 5))}


def plain(model_id: str) -> str:
    """Anthropic's own id of a model that goes by its Bedrock id or the name of an inference profile.

    Args:
        model_id: other ids are returned as they are.
    """
    found = _BEDROCK.search(model_id)
    return model_id if found is None else found["id"]


@lru_cache(maxsize=64)
def _version(model_id: str) -> tuple[str, tuple[int, int]]:
    """The line and version of a model id; ``("", (0, 0))`` for ids of another form."""
    found = _VERSION.match(plain(model_id))
    if found is None:
        return "", (0, 0)
    return found["line"], (int(found["major"]), int(found["minor"] or 0))


@lru_cache(maxsize=64)
def info(model_id: str, provider: str = PROVIDER) -> ModelInfo:
    """What is known of a model.

    From the table, for a dated snapshot too; otherwise what its generation has in common. Asked for
    several times a turn. Ids come from users, so only some are remembered.

    Args:
        model_id: the provider's own, or a Bedrock id.
        provider: the name under which it is configured.
    """
    known = _known(model_id)
    return known if provider == PROVIDER else replace(known, name=f"{provider}/{model_id}", provider=provider)


def _known(model_id: str) -> ModelInfo:
    known = _BY_ID.get(plain(model_id)) or _BY_ID.get(_SNAPSHOT.sub("", plain(model_id)))
    if known is not None:
        return replace(known, name=f"{PROVIDER}/{model_id}", id=model_id)
    _, version = _version(model_id)
    # Older models, and ids of which nothing is known.
    if version < (4, 6):
        return _model(model_id, window=200_000, output=8_192, price=None)
    return _model(
        model_id,
        window=_MILLION,
        output=64_000,
        price=None,
        thinking=_ON if version >= (5, 0) else 0,
    )


def thinking_of(model_id: str) -> Thinking:
    """Which form of ``thinking`` a model takes.

    Adaptive thinking came with 4.6; unknown ids get the budget form, sent only if they are given a
    budget.

    Args:
        model_id: the provider's own, or a Bedrock id.
    """
    line, version = _version(model_id)
    if version < (4, 6):
        return Thinking.BUDGET
    if line in ("fable", "mythos") or (line, version) in _ALWAYS:
        return Thinking.ALWAYS
    if line == "sonnet" and version >= (5, 5):
        return Thinking.BETWEEN_TOOLS
    return Thinking.ADAPTIVE


def is_bound(model_id: str) -> bool:
    """Whether the model's reasoning blocks are bound to the conversation before them ("preserved
    thinking").

    A compaction or a changed tool list edits what was before them; unless told to drop such blocks, the
    API answers 400.

    Args:
        model_id: the provider's own, or a Bedrock id.
    """
    line, version = _version(model_id)
    return version >= (5, 5) or (line in ("fable", "mythos") and version >= (5, 1))
