"""The official SDK as the oracle: the same conversation is the same request, and the same stream the same turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import msgspec
import pytest

from infinity.abc.model import ModelInfo, ModelRequest, Turn
from infinity.models.access import Access
from infinity.models.anthropic import AnthropicModel
from infinity.models.claude import info
from infinity.testing.model_server import ModelServer
from infinity.testing.script import Reply, Script

KEY = "sk-ant-oracle"
SYSTEM = "You are careful. ünï"
CACHED = {"cache_control": {"type": "ephemeral"}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
TOOLS = [
    {
        "name": "run",
        "description": "Runs a suite.",
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
    {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},
]


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def use(id: str, name: str = "run", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(id: str, *content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": list(content), **fields}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


CONVERSATIONS = {
    "text": [user(text("hello", **CACHED))],
    "image": [user(text("what is this?"), IMAGE)],
    "thinking and parallel calls": [
        user(text("look")),
        assistant(
            {"type": "redacted_thinking", "data": "opaque=="},
            {"type": "thinking", "thinking": "hm", "signature": "sig=="},
            text("I look twice."),
            use("toolu_1", path="."),
            use("toolu_2", "look"),
        ),
        user(
            result("toolu_1", text("12 passed"), IMAGE),
            result("toolu_2", text("Error: dark"), is_error=True),
            text("and?", **CACHED),
        ),
    ],
    "event": [
        user(text("watch")),
        assistant(
            use("toolu_1", "receive_event__injected", original_tool_name="watch", original_args={"n": 1})
        ),
        user(result("toolu_1", text("it changed"))),
    ],
}

THINKING: dict[str, dict[str, Any] | None] = {
    "claude-haiku-4-5": None,
    "claude-opus-4-8": {"type": "disabled"},
    "claude-opus-5": {"type": "adaptive", "display": "summarized"},
}

REPLIES = {
    "text": Reply().say("Hello, ").say("wörld 😀."),
    "thinking": Reply().think("Let me think.", "sig==").say("So."),
    "redacted": Reply().redacted("opaque==").say("So."),
    "parallel calls": Reply()
    .say("Both.")
    .call("run", path="a/b")
    .call("look", deep={"list": [1, 2.5, None]}),
    "call without arguments": Reply().call("look"),
    "cut off text": Reply().say("half a").stop("max_tokens"),
    "refusal": Reply().say("I can").stop("refusal"),
    "usage": Reply()
    .say("x")
    .tokens(input_tokens=3, output_tokens=5, cache_read_input_tokens=700, cache_creation_input_tokens=11),
}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(Script().otherwise().say("fine"), api_key=KEY) as running:
        yield running
        assert running.violations == []


@pytest.fixture
async def ours(server: ModelServer) -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel(Access(api_key=KEY, base_url=server.url))
    yield model
    await model.close()


@pytest.fixture
async def sdk(server: ModelServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
        yield client


def our_request(messages: list[dict[str, Any]], model: ModelInfo) -> ModelRequest:
    return ModelRequest(model, SYSTEM, msgspec.json.encode(TOOLS), msgspec.json.encode(messages), 1000)


async def ask(model: AnthropicModel, request: ModelRequest) -> Turn:
    *_, turn = [part async for part in model.stream(request)]
    assert isinstance(turn, Turn)
    return turn


async def ask_sdk(
    client: anthropic.AsyncAnthropic, messages: list[dict[str, Any]], id: str = "claude-haiku-4-5"
) -> anthropic.types.Message:
    thinking = THINKING[id]
    async with client.messages.stream(
        model=id,
        max_tokens=1000,
        system=[{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        tools=TOOLS,  # type: ignore[arg-type]
        messages=messages,  # type: ignore[arg-type]
        **({} if thinking is None else {"thinking": thinking}),  # type: ignore[arg-type]
    ) as stream:
        return await stream.get_final_message()


@pytest.mark.parametrize("id", THINKING)
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_our_request_and_the_sdks_are_equal(
    server: ModelServer,
    ours: AnthropicModel,
    sdk: anthropic.AsyncAnthropic,
    messages: list[dict[str, Any]],
    id: str,
) -> None:
    await ask_sdk(sdk, messages, id)
    await ask(ours, our_request(messages, info(id)))
    theirs, mine = server.requests
    assert mine.body == theirs.body
    for name in ("anthropic-version", "content-type"):
        assert mine.headers[name] == theirs.headers[name]


async def test_a_budget_for_reasoning_is_sent_as_the_sdk_does(
    server: ModelServer, ours: AnthropicModel, sdk: anthropic.AsyncAnthropic
) -> None:
    haiku = ModelInfo("anthropic/claude-haiku-4-5", "anthropic", "claude-haiku-4-5", thinking=2048)
    conversation = CONVERSATIONS["text"]
    async with sdk.messages.stream(
        model=haiku.id,
        max_tokens=4096,
        thinking={"type": "enabled", "budget_tokens": 2048},
        messages=conversation,  # type: ignore[arg-type]
    ) as stream:
        await stream.get_final_message()
    await ask(ours, ModelRequest(haiku, "", b"[]", msgspec.json.encode(conversation), 4096))
    theirs, mine = server.bodies
    assert mine == theirs


async def test_bound_reasoning_is_asked_for_as_the_sdks_beta_does(
    server: ModelServer, ours: AnthropicModel, sdk: anthropic.AsyncAnthropic
) -> None:
    opus = info("claude-opus-5-5")
    conversation = CONVERSATIONS["thinking and parallel calls"]
    async with sdk.beta.messages.stream(
        model=opus.id,
        max_tokens=1000,
        betas=["thinking-binding-controls-2026-08-01"],
        thinking={
            "type": "adaptive",
            "display": "summarized",
            "block_binding": {"prefix_mismatch_behavior": "drop_block"},
        },
        messages=conversation,  # type: ignore[arg-type]
    ) as stream:
        await stream.get_final_message()
    await ask(ours, ModelRequest(opus, "", b"[]", msgspec.json.encode(conversation), 1000))
    theirs, mine = server.requests
    assert mine.body == theirs.body
    assert mine.headers["anthropic-beta"] == theirs.headers["anthropic-beta"]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_our_turn_and_the_sdks_message_are_equal(
    server: ModelServer, ours: AnthropicModel, sdk: anthropic.AsyncAnthropic, reply: Reply
) -> None:
    server.respond = lambda _: reply
    conversation = CONVERSATIONS["text"]
    message = await ask_sdk(sdk, conversation)
    turn = await ask(ours, our_request(conversation, info("claude-haiku-4-5")))
    assert turn.blocks == [block.to_dict(exclude_none=True) for block in message.content]
    assert turn.stop_reason == message.stop_reason
    assert [(call.id, call.tool, call.arguments) for call in turn.calls] == [
        (block.id, block.name, block.input) for block in message.content if block.type == "tool_use"
    ]
    usage = message.usage
    assert (turn.usage.input, turn.usage.output) == (usage.input_tokens, usage.output_tokens)
    assert turn.usage.cache_read == (usage.cache_read_input_tokens or 0)
    assert turn.usage.cache_write == (usage.cache_creation_input_tokens or 0)


async def test_what_the_model_said_goes_back_as_the_sdk_sends_it_back(
    server: ModelServer, ours: AnthropicModel, sdk: anthropic.AsyncAnthropic
) -> None:
    reply = Reply().think("hm", "sig==").redacted("opaque==").say("Both.").call("run", path=".").call("look")
    server.respond = lambda _: reply
    conversation = CONVERSATIONS["text"]
    message = await ask_sdk(sdk, conversation)
    turn = await ask(ours, our_request(conversation, info("claude-haiku-4-5")))
    results = user(*(result(call.id, text("ok")) for call in turn.calls))
    await ask_sdk(sdk, [*conversation, {"role": "assistant", "content": message.content}, results])
    await ask(ours, our_request([*conversation, assistant(*turn.blocks), results], info("claude-haiku-4-5")))
    *_, theirs, mine = server.bodies
    assert mine == theirs
