"""What is known of OpenAI's models: sizes by family, and who reasons.

No prices: they change more often than this file; set ``price`` in ``[models.named]``, or install
genai-prices (``prices``).
"""

from __future__ import annotations

import re

from infinity.abc.model import ModelInfo

PROVIDER = "openai"
BASE_URL = "https://api.openai.com/v1"

_REASONS = 8_192
"""Any budget above 0 means that the model reasons; the number is not sent."""

# Family, context window, output limit, reasons. Where a family has several sizes the smallest: it only makes
# compaction come earlier.
_FAMILIES: tuple[tuple[re.Pattern[str], int, int, bool], ...] = (
    (re.compile(r"gpt-5[.\d]*-chat"), 128_000, 16_384, False),
    (re.compile(r"gpt-(?:[5-9]|\d\d)"), 400_000, 128_000, True),
    (re.compile(r"o\d"), 200_000, 100_000, True),
    (re.compile(r"gpt-4\.1"), 1_047_576, 32_768, False),
    (re.compile(r"gpt-4o"), 128_000, 16_384, False),
)
_UNKNOWN = (128_000, 8_192, False)

_CHAT = re.compile(r"gpt-|o\d|chatgpt-|codex-")
_SPECIAL = re.compile(r"audio|image|instruct|realtime|search|transcribe|tts")

TABLE = ("gpt-6.2-sol", "gpt-6-sol", "gpt-6-luna", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini")
"""What ``list`` gives when OpenAI itself cannot be asked."""


def info(model_id: str) -> ModelInfo:
    """What is known of a model.

    Args:
        model_id: any, those of other vendors behind compatible endpoints included; ``sized`` says whether it
            is known.
    """
    known = next((family[1:] for family in _FAMILIES if family[0].match(model_id)), None)
    window, output, reasons = known or _UNKNOWN
    return ModelInfo(
        f"{PROVIDER}/{model_id}",
        PROVIDER,
        model_id,
        context_window=window,
        output_limit=output,
        thinking=_REASONS if reasons else 0,
        sized=known is not None,
    )


def may_reason(model_id: str) -> bool:
    """Whether a model may reason: not if its family is known not to.

    Args:
        model_id: any.
    """
    return next((family[3] for family in _FAMILIES if family[0].match(model_id)), True)


def is_chat_model(model_id: str) -> bool:
    """Whether a model of OpenAI's own list can be talked to; it holds models for speech, images and
    search, too.

    Args:
        model_id: from the list.
    """
    return _CHAT.match(model_id) is not None and _SPECIAL.search(model_id) is None


def is_openai(host: str) -> bool:
    """Whether OpenAI or Azure's copy of it answers there.

    They have the Responses API and want ``max_completion_tokens``.

    Args:
        host: as in a URL, with the port where it has one.
    """
    name = host.partition(":")[0]
    return name.endswith((".openai.com", ".openai.azure.com", ".services.ai.azure.com"))
