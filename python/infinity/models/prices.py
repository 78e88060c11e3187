"""Prices of models that the built-in table does not have, from the data of the package genai-prices where
it is installed (extra ``prices``).

A price in the configuration wins over it, and it over what an endpoint says of itself. Where prices
grow with the length of a prompt the highest counts: limits in money must not undercount.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

__all__ = ["price_of"]

log = logging.getLogger("infinity.models")

PACKAGE = "genai_prices"


@lru_cache(maxsize=256)
def price_of(model_id: str, url: str) -> tuple[float, float, float, float] | None:
    """The price of a model behind an address.

    The first call loads the data, which takes a moment. Ids come from users, so only some are
    remembered.

    Args:
        model_id: the endpoint's own name of it.
        url: the base URL, by which the provider is known.

    Returns:
        Input, output, cache read and cache write, in dollars per million tokens; ``None`` if the data
        has none.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    snapshot = importlib.import_module(f"{PACKAGE}.data_snapshot").get_snapshot()
    try:
        _, model = snapshot.find_provider_model(model_id, None, None, url)
        prices = model.get_prices(datetime.now(UTC))
        # Both are needed; what the cache costs can be taken from the input.
        given, said = _dollars(prices, "input_mtok"), _dollars(prices, "output_mtok")
    except LookupError:
        return None
    except Exception as error:  # noqa: BLE001  data of a later version says nothing; the model works without a price
        log.warning("the price of %s cannot be read from %s: %r", model_id, PACKAGE, error)
        return None
    if given is None or said is None:
        return None
    read, written = _dollars(prices, "cache_read_mtok"), _dollars(prices, "cache_write_mtok")
    return given, said, given if read is None else read, given if written is None else written


def _dollars(prices: Any, name: str) -> float | None:
    price = getattr(prices, name, None)
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    return float(price) if tiers is None else float(max(price.base, *(tier.price for tier in tiers)))
