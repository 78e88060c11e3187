"""What users set for a named model reaches the API in its own words; what the API does not have is a configuration error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from infinity import errors
from infinity.abc.model import ModelRequest, Options
from infinity.models.registry import Models
from infinity.testing.messages_rules import check
from infinity.testing.model_server import ModelServer
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.script import Reply

TOOLS = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}]
MARKED = {
    "type": "text",
    "text": 'hello "cache_control":{"type":"ephemeral"}',
    "cache_control": {"type": "ephemeral"},
}
MESSAGES = [{"role": "user", "content": [MARKED]}]
KEY = "sk-options-0123456789"


async def sent(
    kind: str, named: dict[str, Any], *, tools: bool = True, **provider: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """The request's JSON and headers."""
    server: ModelServer | OpenAIServer
    server = (
        ModelServer(lambda _: Reply().say("x"))
        if kind == "anthropic"
        else OpenAIServer(lambda _: Reply().say("x"))
    )
    async with server:
        table = {"kind": kind, "base_url": server.url, "api_key": KEY, **provider}
        models = Models({"providers": {"mine": table}, "named": {"m": named}}, environment={})
        model, found = models.resolve("m")
        encode = msgspec.json.encode
        request = ModelRequest(found, "Be brief.", encode(TOOLS if tools else []), encode(MESSAGES), 2000)
        async for _ in model.stream(request):
            pass
        await models.close()
        assert server.violations == []
        return server.bodies[-1], server.requests[-1].headers


ANY: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["END"],
    "tool_choice": "look",
    "parallel_tool_calls": False,
    "effort": "low",
    "prompt_cache_key": "mine",
    "service_tier": "flex",
    "extra_body": {"metadata": {"a": "b"}},
    "extra_headers": {"x-title": "mine"},
}


async def test_chat_completions_take_what_is_set() -> None:
    body, headers = await sent("openai", {"model": "mine/some", "context_window": 9000, **ANY})
    TypeAdapter(CompletionCreateParamsStreaming).validate_python(body)
    assert {name: body[name] for name in ("temperature", "top_p", "seed", "stop", "parallel_tool_calls")} == {
        name: ANY[name] for name in ("temperature", "top_p", "seed", "stop", "parallel_tool_calls")
    }
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert (body["reasoning_effort"], body["service_tier"], body["metadata"]) == ("low", "flex", {"a": "b"})
    assert headers["x-title"] == "mine" and body["prompt_cache_key"] == "mine"


async def test_responses_take_what_is_set() -> None:
    named = {name: value for name, value in ANY.items() if name not in ("seed", "stop")}
    body, headers = await sent("openai", {"model": "mine/gpt-5.5", **named}, api="responses", summary="auto")
    TypeAdapter(ResponseCreateParamsStreaming).validate_python(body)
    assert body["tool_choice"] == {"type": "function", "name": "look"}
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert headers["x-title"] == "mine" and body["temperature"] == 0.5


async def test_messages_take_what_is_set() -> None:
    named = {
        "stop": ["END"],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "effort": "low",
        "service_tier": "auto",
        "cache": "1h",
        "extra_body": {"metadata": {"user_id": "u"}},
        "extra_headers": {"x-title": "mine"},
    }
    body, headers = await sent("anthropic", {"model": "mine/claude-haiku-5-5", **named})
    assert body["stop_sequences"] == ["END"] and body["output_config"] == {"effort": "low"}
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert "thinking" not in body, "a forced choice and reasoning exclude each other"
    assert headers["x-title"] == "mine" and body["metadata"] == {"user_id": "u"}
    hour = {"type": "ephemeral", "ttl": "1h"}
    assert body["system"][-1]["cache_control"] == body["messages"][0]["content"][0]["cache_control"] == hour
    assert body["messages"][0]["content"][0]["text"] == MARKED["text"], "what people say is not touched"


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_without_tools_nothing_is_said_of_their_choice(kind: str) -> None:
    model = "mine/claude-haiku-5-5" if kind == "anthropic" else "mine/some"
    named = {"model": model, "context_window": 9000, "tool_choice": "required", "parallel_tool_calls": True}
    body, _ = await sent(kind, named, tools=False)
    assert "tool_choice" not in body and "parallel_tool_calls" not in body


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("openrouter", {"reasoning": {"enabled": False}}),
        ("gemini", {"reasoning_effort": "none"}),
        ("deepseek", {"thinking": {"type": "disabled"}}),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("plain", {}),
    ],
)
async def test_a_budget_of_nothing_turns_reasoning_off_where_the_endpoint_can(
    row: str, expected: dict[str, Any]
) -> None:
    from infinity.models.dialects import ROWS
    from infinity.models.options import for_chat

    assert for_chat(Options(reasons=False), ROWS[row], tools=False) == expected
    assert for_chat(Options(reasons=True), ROWS[row], tools=False) == {}


async def test_responses_are_told_not_to_reason() -> None:
    body, _ = await sent("openai", {"model": "mine/gpt-5.5", "thinking": 0}, api="responses")
    assert body["reasoning"] == {"effort": "none"}


@pytest.mark.parametrize(
    ("kind", "api", "setting"),
    [
        ("anthropic", None, {"temperature": 0.0}),
        ("anthropic", None, {"seed": 1}),
        ("openai", "chat", {"cache": "1h"}),
        ("openai", "responses", {"stop": ["END"]}),
    ],
)
def test_what_an_api_does_not_have_is_a_configuration_error(
    kind: str, api: str | None, setting: dict[str, Any]
) -> None:
    table = {"kind": kind, "base_url": "http://127.0.0.1:9", "api_key": KEY} | ({"api": api} if api else {})
    models = Models(
        {"providers": {"mine": table}, "named": {"m": {"model": "mine/x", **setting}}}, environment={}
    )
    with pytest.raises(errors.ConfigError, match=rf"\[models.named.m\] {next(iter(setting))}"):
        models.resolve("m")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": 3}, "temperature"),
        ({"cache": "2h"}, "2h"),
        ({"extra_headers": {"Authorization": "Bearer x"}}, "Authorization"),
        ({"extra_headers": {"x-a": "b\nc"}}, "x-a"),
        ({"extra_body": {"messages": []}}, "messages"),
    ],
)
def test_wrong_settings_of_a_named_model_are_named(setting: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.ConfigError, match=complaint):
        Models({"named": {"m": {"model": "openai/x", **setting}}}, environment={})


def test_the_strict_server_knows_the_lifetimes_of_the_cache() -> None:
    hour, wrong = ({"type": "ephemeral", "ttl": ttl} for ttl in ("1h", "2h"))
    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    for mark, taken in ((hour, True), (wrong, False)):
        system = [{"type": "text", "text": "x", "cache_control": mark}]
        assert (check({**request, "system": system}) == []) is taken


def test_an_hour_in_the_cache_costs_twice_the_input() -> None:
    claude = {"model": "sonnet", "cache": "1h"}
    models = Models(
        {"named": {"m": claude, "n": {**claude, "price": [1.0, 1.0, 1.0, 1.0]}}},
        environment={"ANTHROPIC_API_KEY": KEY},
    )
    hour, plain = models.resolve("m")[1].price, models.resolve("sonnet")[1].price
    assert hour is not None and plain is not None
    assert (hour[:3], hour[3]) == (plain[:3], 2 * plain[0])
    assert models.resolve("n")[1].price == (1.0, 1.0, 1.0, 1.0), "what the user says counts"
