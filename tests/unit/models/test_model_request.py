"""The bytes of a request."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity.abc.model import ModelInfo, ModelRequest
from infinity.models import claude, request
from infinity.testing.messages_rules import check

MESSAGES = b'[ {"role":"user",  "content":[{"type":"text","text":"caf\\u00e9"}]} ]'
TOOLS = b'[{"name":"a","input_schema":{"type":"object"}},{"name":"b","input_schema":{"type":"object"}}]'


def make(
    id: str = "claude-haiku-4-5", *, system: str = "", tools: bytes = b"[]", **info: int
) -> ModelRequest:
    model = ModelInfo(f"anthropic/{id}", "anthropic", id, **info)  # type: ignore[arg-type]
    return ModelRequest(model, system, tools, MESSAGES, max_tokens=4096)


@pytest.mark.trap("G1")
def test_the_history_goes_out_byte_for_byte() -> None:
    assert request.body(make()).endswith(b',"messages":' + MESSAGES + b"}")


def test_a_full_request_holds_everything_once() -> None:
    body = request.body(make(system='Say "hi" – ünï', tools=TOOLS, thinking=2048))
    assert msgspec.json.decode(body) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "stream": True,
        "system": [{"type": "text", "text": 'Say "hi" – ünï', "cache_control": {"type": "ephemeral"}}],
        "tools": msgspec.json.decode(TOOLS),
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "messages": msgspec.json.decode(MESSAGES),
    }


@pytest.mark.parametrize("tools", [b"", b"[]", b" [ ] "])
def test_without_tools_and_system_both_are_absent(tools: bytes) -> None:
    body = msgspec.json.decode(request.body(make(system=" \n", tools=tools)))
    assert "tools" not in body and "system" not in body


def test_without_a_system_prompt_the_last_tool_ends_the_cached_prefix() -> None:
    body = msgspec.json.decode(request.body(make(tools=TOOLS)))
    assert [("cache_control" in tool) for tool in body["tools"]] == [False, True]
    assert check(body) == []


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": st.from_regex(r"[a-z]{1,9}", fullmatch=True), "input_schema": st.just({})}
        ),
        min_size=1,
    ),
    st.sampled_from(["", " ", "\n"]),
)
def test_the_breakpoint_is_spliced_into_any_tools(tools: list[dict[str, object]], space: str) -> None:
    text = msgspec.json.encode(tools)[:-1].decode()
    spliced = request.tools_with_breakpoint(f"{space}{text}{space}]{space}".encode())
    tools[-1]["cache_control"] = {"type": "ephemeral"}
    assert msgspec.json.decode(spliced) == tools


@pytest.mark.parametrize(
    ("id", "budget", "expected"),
    [
        ("claude-haiku-4-5", 0, None),
        ("claude-haiku-4-5-20251001", 2048, {"type": "enabled", "budget_tokens": 2048}),
        ("claude-haiku-4-5", 100_000, {"type": "enabled", "budget_tokens": 4095}),
        ("claude-haiku-4-5", 500, None),
        ("claude-opus-4-20250514", 2048, {"type": "enabled", "budget_tokens": 2048}),
        ("someone-elses-model", 0, None),
        ("claude-opus-4-6", 0, {"type": "disabled"}),
        ("claude-opus-4-6", 1, {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-5", 1, {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-5-5", 0, {"type": "between_tools"}),
    ],
)
def test_reasoning_is_asked_for_in_the_form_the_model_takes(
    id: str, budget: int, expected: dict[str, object] | None
) -> None:
    assert request.thinking(make(id, thinking=budget).model, 4096) == expected


@pytest.mark.parametrize(
    "id", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1"]
)
def test_models_that_bind_their_reasoning_are_told_to_drop_what_no_longer_fits(id: str) -> None:
    model = make(id, thinking=1).model
    config = request.thinking(model, 4096)
    assert config is not None and config["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert request.betas(model) == "thinking-binding-controls-2026-08-01"
    assert request.betas(make("claude-opus-5").model) is None


def test_a_model_that_always_reasons_is_never_asked_not_to() -> None:
    config = request.thinking(make("claude-opus-5-5", thinking=0).model, 4096)
    assert config is not None and config["type"] == "adaptive"


@pytest.mark.parametrize("model", claude.MODELS, ids=lambda model: model.id)
def test_the_request_to_every_built_in_model_keeps_the_rules(model: ModelInfo) -> None:
    made = ModelRequest(model, "Be brief.", TOOLS, MESSAGES, model.output_limit)
    assert check(msgspec.json.decode(request.body(made))) == []


def test_a_dated_snapshot_is_known_as_its_model() -> None:
    snapshot = claude.info("claude-haiku-4-5-20251001")
    assert (snapshot.id, snapshot.name) == (
        "claude-haiku-4-5-20251001",
        "anthropic/claude-haiku-4-5-20251001",
    )
    assert snapshot.price == claude.info("claude-haiku-4-5").price is not None


@pytest.mark.parametrize("id", ["claude-opus-6", "claude-3-haiku-20240307", "something-else"])
def test_a_model_that_the_table_does_not_know_has_no_price_which_is_not_free(id: str) -> None:
    """A limit in money refuses a model without a price; one that costs nothing would never reach it (L18)."""
    assert claude.info(id).price is None


def test_an_unknown_model_gets_what_its_generation_has() -> None:
    later, older = claude.info("claude-opus-7"), claude.info("claude-3-opus-20240229")
    assert later.context_window == 1_000_000 and later.thinking > 0
    assert older.context_window == 200_000 and older.thinking == 0


def _answered(first: dict[str, object]) -> bytes:
    """A turn that begins with this block, and the result of its call."""
    use = {"type": "tool_use", "id": "call_1", "name": "a", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "42"}]}
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": 'say {"role":"assistant","content":[{"type":"thinking"'}],
        },
        {"role": "assistant", "content": [first, use] if first else [use]},
        {"role": "user", "content": [result]},
    ]
    return msgspec.json.encode(messages)


@pytest.mark.parametrize(
    ("first", "thinks"),
    [
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, True),
        ({"type": "redacted_thinking", "data": "x"}, True),
        ({"type": "text", "text": "hm"}, False),
        ({}, False),
    ],
)
def test_a_budget_is_left_out_where_the_turn_that_goes_on_did_not_begin_with_reasoning(
    first: dict[str, object], thinks: bool
) -> None:
    """An event (SUB-2) is such a turn; the API would refuse the request."""
    asked = make("claude-haiku-4-5", thinking=2048)
    made = msgspec.json.decode(request.body(replace(asked, messages=_answered(first))))
    assert ("thinking" in made) is thinks
    assert check(made) == []
    assert bool(check({**made, "thinking": {"type": "enabled", "budget_tokens": 2048}})) is not thinks
