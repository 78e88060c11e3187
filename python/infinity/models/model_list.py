"""What ``GET /models`` of a compatible endpoint says of a model: its window, the most it answers, its
prices.

Every server has names of its own. What is read here only ever makes sizes smaller than were known, and
prices known where there was none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .turn import count

__all__ = ["Told", "told_of"]

_WINDOWS = (
    "loaded_context_length",
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "max_context_window",
    "max_input_tokens",
    "n_ctx",
)
"""The most telling first: a server may have loaded a model with less than it could take."""
_OUTPUTS = ("max_completion_tokens", "max_output_tokens", "output_limit")
_PRICES = ("prompt", "completion", "input_cache_read", "input_cache_write")
_NESTED = ("top_provider", "meta", "limits", "capabilities")
_MILLION = 1_000_000
_LEAST_WINDOW = 256


@dataclass(frozen=True, slots=True)
class Told:
    """``None`` where it says nothing. Prices in dollars per million tokens, as ``ModelInfo`` has them."""

    window: int | None = None
    output: int | None = None
    price: tuple[float, float, float, float] | None = None


def told_of(listed: Any, model_id: str) -> Told:
    """What a list of models says of one of them.

    Args:
        listed: the answer, as JSON.
        model_id: of the model.

    Returns:
        Nothing, for a model that is not in it, or an answer of another form.
    """
    models = listed.get("data") or listed.get("models") if isinstance(listed, dict) else listed
    for model in models if isinstance(models, list) else ():
        if isinstance(model, dict) and model_id in (model.get("id"), model.get("name"), model.get("model")):
            return Told(_number(model, _WINDOWS), _number(model, _OUTPUTS), _price(model.get("pricing")))
    return Told()


def _number(model: dict[str, Any], names: tuple[str, ...]) -> int | None:
    # At the top first: what is nested may be of another server behind this one.
    for place in (model, *(model[name] for name in _NESTED if isinstance(model.get(name), dict))):
        for name in names:
            if (number := count(place.get(name))) >= _LEAST_WINDOW:
                return number
    return None


def _price(pricing: Any) -> tuple[float, float, float, float] | None:
    """Dollars per token, as text.

    Reads of the cache that are not priced cost what the input costs, writes too.
    """
    if not isinstance(pricing, dict):
        return None
    try:
        prices = [
            float(pricing[name]) * _MILLION if pricing.get(name) is not None else None for name in _PRICES
        ]
    except (TypeError, ValueError):
        return None
    if (
        prices[0] is None
        or prices[1] is None
        or any(price is not None and not 0 <= price < _MILLION for price in prices)
    ):
        return None
    read, written = (prices[0] if price is None else price for price in prices[2:])
    return prices[0], prices[1], read, written
