"""Prices from a package of data, which its own authors keep: ours are read from it as it calculates them."""

from __future__ import annotations

import importlib
import sys

import pytest
from genai_prices import Usage, calc_price

from infinity.models.prices import price_of
from infinity.models.registry import Models

OPENAI = "https://api.openai.com/v1"
MILLION = 1_000_000


@pytest.fixture(autouse=True)
def _anew() -> None:
    price_of.cache_clear()


@pytest.mark.parametrize(
    ("id", "url"),
    [("gpt-4o", OPENAI), ("gpt-5.4-mini", OPENAI), ("deepseek-chat", "https://api.deepseek.com/v1")],
)
def test_a_price_is_what_the_package_calculates(id: str, url: str) -> None:
    price = price_of(id, url)
    assert price is not None
    plain = calc_price(Usage(input_tokens=1000, output_tokens=1000), id, provider_api_url=url)
    assert (price[0] + price[1]) * 1000 / MILLION == pytest.approx(float(plain.total_price))
    cached = calc_price(
        Usage(input_tokens=1000, cache_read_tokens=1000, output_tokens=0), id, provider_api_url=url
    )
    assert price[2] * 1000 / MILLION == pytest.approx(float(cached.total_price))


def test_prices_that_grow_with_the_prompt_are_the_highest() -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/openai/"
    price = price_of("gemini-2.5-pro", url)
    long = calc_price(Usage(input_tokens=MILLION, output_tokens=0), "gemini-2.5-pro", provider_api_url=url)
    assert price is not None and price[0] == pytest.approx(float(long.total_price))


@pytest.mark.parametrize(("id", "url"), [("qwen3", "http://127.0.0.1:11434/v1"), ("no-such-model", OPENAI)])
def test_what_the_package_does_not_know_has_no_price(id: str, url: str) -> None:
    assert price_of(id, url) is None


def test_without_the_package_there_is_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert price_of("gpt-4o", OPENAI) is None


def test_a_price_in_the_configuration_wins() -> None:
    named = {"m": {"model": "openai/gpt-4o", "price": [1.0, 2.0, 3.0, 4.0]}, "n": {"model": "openai/gpt-4o"}}
    models = Models({"named": named}, environment={"OPENAI_API_KEY": "sk-prices-0123"})
    assert models.resolve("m")[1].price == (1.0, 2.0, 3.0, 4.0)
    assert models.resolve("n")[1].price == price_of("gpt-4o", OPENAI)
