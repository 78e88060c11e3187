"""Reasoning of other providers in history: kept as it came, given back to nobody else."""

from __future__ import annotations

import msgspec
import pytest

from infinity.models import reasoning

ITEM = {"type": "reasoning", "encrypted_content": 'gA"\\ü\u2028', "summary": []}


@pytest.mark.trap("M3")
def test_an_item_comes_back_as_it_was() -> None:
    block = reasoning.block("hm", "here responses gpt", ITEM)
    stored = msgspec.json.decode(msgspec.json.encode(block))
    assert reasoning.item_of(stored, "here responses gpt") == ITEM
    assert block["thinking"] == "hm"


@pytest.mark.parametrize("origin", ["there responses gpt", "here chat gpt", "here responses other"])
def test_nobody_else_gets_it(origin: str) -> None:
    assert reasoning.item_of(reasoning.block("hm", "here responses gpt", ITEM), origin) is None


@pytest.mark.parametrize(
    "block", [{"type": "thinking", "thinking": "x", "signature": "EqQB=="}, {"type": "thinking"}]
)
def test_reasoning_of_the_messages_api_is_nobodys_item(block: dict[str, str]) -> None:
    assert reasoning.item_of(block, "here responses gpt") is None


def test_messages_without_it_are_passed_on_untouched() -> None:
    messages = b'[ {"role":"user",  "content":"x"} ]'
    assert reasoning.without_foreign(messages) is messages


def test_only_it_is_taken_out() -> None:
    theirs = {"type": "thinking", "thinking": "x", "signature": "EqQB=="}
    said = {"type": "text", "text": f"I know {reasoning.TAG} well"}
    assistant = {"role": "assistant", "content": [theirs, reasoning.block("hm", "o", ITEM), said]}
    user = {"role": "user", "content": f"what is {reasoning.TAG}?"}
    kept = msgspec.json.decode(reasoning.without_foreign(msgspec.json.encode([user, assistant, user])))
    assert kept == [user, {"role": "assistant", "content": [theirs, said]}, user]
