"""Messages-shaped history as OpenAI's APIs take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from infinity.abc.model import ModelRequest
from infinity.models import openai_chat, openai_responses, reasoning
from infinity.models.openai_edge import Conversation, short_name
from infinity.models.openai_models import info, is_chat_model, is_openai
from infinity.testing.openai_rules import check_chat, check_responses

ORIGIN = "here"
LONG = "toolset__" + "a_tool_with_a_very_long_name_" * 3
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def conversation(
    *messages: dict[str, Any], model: str = "gpt-5.5", tools: tuple[str, ...] = ()
) -> Conversation:
    offered = [{"name": name, "description": "d", "input_schema": {"type": "object"}} for name in tools]
    encode = msgspec.json.encode
    return Conversation(ModelRequest(info(model), "Be brief.", encode(offered), encode(messages), 5), ORIGIN)


CALLS = (
    {"role": "user", "content": "go"},
    {
        "role": "assistant",
        "content": [
            reasoning.block(
                "hm", ORIGIN, {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"}
            ),
            {"type": "thinking", "thinking": "foreign", "signature": "EqQB=="},
            {"type": "redacted_thinking", "data": "foreign"},
            text("Both."),
            {"type": "tool_use", "id": "call_" + "1" * 60, "name": LONG, "input": {"a": "ü"}},
            {"type": "tool_use", "id": "call_2", "name": "run", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_" + "1" * 60, "content": [text("seen"), IMAGE]},
            {
                "type": "tool_result",
                "tool_use_id": "call_2",
                "content": [text("no such file")],
                "is_error": True,
            },
            text("and?"),
            IMAGE,
            {"type": "document", "source": {}},
        ],
    },
)


def test_results_are_items_right_behind_their_calls() -> None:
    body = openai_responses.body(conversation(*CALLS, tools=(LONG, "run")))
    assert check_responses(body, {"e"}) == []
    kinds = [item["type"] for item in body["input"]]
    assert kinds == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    first, second = body["input"][5:7]
    assert first["call_id"] == body["input"][3]["call_id"] and len(first["call_id"]) <= 40
    assert [part["type"] for part in first["output"]] == ["input_text", "input_image"]
    assert second["output"] == "Error:\nno such file"
    assert body["input"][3]["arguments"] == '{"a":"ü"}'
    assert "id" not in body["input"][3]
    assert body["instructions"] == "Be brief." and body["store"] is False
    assert body["max_output_tokens"] == 16
    assert body["input"][-1]["content"][-1]["text"] == "[a document that this model cannot be sent]"


def test_images_of_results_follow_in_the_users_message() -> None:
    asked = conversation(*CALLS, tools=(LONG, "run"))
    body = openai_chat.body(asked)
    kept = body["messages"][2].pop("type"), body["messages"][2].pop("id")
    assert kept == ("reasoning", "rs")  # what this origin wants back, whatever it is
    assert check_chat(body) == []
    assert [message["role"] for message in body["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    first, second, user = body["messages"][3:]
    assert first["content"] == "seen\n(The images of this result follow.)"
    assert second["content"] == "Error:\nno such file"
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text", "image_url", "text"]
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


def test_a_long_name_goes_out_short_and_comes_back_long() -> None:
    asked = conversation(*CALLS, tools=(LONG, "run"))
    name = openai_chat.body(asked)["tools"][0]["function"]["name"]
    assert len(name) == 64 and name == short_name(LONG) != short_name(LONG + "x")
    assert asked.named(name) == LONG
    assert asked.named("run") == "run" and asked.named("unknown") == "unknown"


def test_only_models_that_reason_are_asked_to() -> None:
    plain = {"role": "user", "content": "x"}
    for model, asked in (("gpt-5.5", True), ("o3", True), ("gpt-4.1", False), ("gpt-5-chat-latest", False)):
        body = openai_responses.body(conversation(plain, model=model), effort="low", summary="auto")
        assert ("include" in body, "reasoning" in body) == (asked, asked), model
    chat = conversation(plain)
    assert openai_chat.body(chat, effort="low")["reasoning_effort"] == "low"
    chat.request = replace(chat.request, model=replace(chat.request.model, thinking=0))
    assert "reasoning_effort" not in openai_chat.body(chat, effort="low")


def test_reasoning_stays_behind_when_it_is_not_to_be_replayed() -> None:
    asked = conversation(*CALLS)
    asked.replays = False
    assert "reasoning" not in [item["type"] for item in openai_responses.body(asked)["input"]]


def test_openais_own_addresses_are_known() -> None:
    assert (
        is_openai("api.openai.com") and is_openai("eu.api.openai.com:443") and is_openai("x.openai.azure.com")
    )
    assert not is_openai("openai.com.evil.example") and not is_openai("notopenai.com")
    assert is_openai("127.0.0.1:8000") is False


@pytest.mark.parametrize(
    "id", ["whisper-1", "gpt-4o-realtime-preview", "text-embedding-3-large", "gpt-image-1"]
)
def test_models_that_do_not_chat_are_not_listed(id: str) -> None:
    assert not is_chat_model(id) and is_chat_model("gpt-5.5")
