"""OpenAI's official SDK as the oracle: our requests are of its types, our servers' answers too, and it reads them as we do."""

from __future__ import annotations

from typing import Any

import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from infinity.abc.model import Turn
from infinity.models.openai import Api
from infinity.testing.openai_playback import ChatPlayback, ResponsesPlayback
from infinity.testing.provider_contract import IMAGE, RICH, Subject, answered
from infinity.testing.script import Reply

from .providers import KEY, PROVIDERS

APIS = {Api.CHAT: "openai-chat", Api.RESPONSES: "openai-responses"}
REPLIES = {
    "text": Reply().say("Hello, ").say("wörld 😀."),
    "rich": RICH,
    "redacted": Reply().redacted("opaque==").say("So."),
    "call without arguments": Reply().call("run"),
    "cut off": Reply().say("half a").stop("max_tokens"),
    "refused": Reply().say("I can").stop("refusal"),
}


async def bodies(api: Api) -> list[dict[str, Any]]:
    """What a conversation with everything in it is sent as."""
    async with PROVIDERS[APIS[api]]() as subject:
        conversation = answered(await subject.turn(RICH), IMAGE)
        await subject.turn(Reply().say("x"), conversation)
        assert subject.server is not None
        return subject.server.bodies


async def test_a_chat_request_is_what_the_sdk_declares() -> None:
    for body in await bodies(Api.CHAT):
        # What compatible endpoints want back and the SDK does not know.
        messages = [{k: v for k, v in m.items() if k != "reasoning_content"} for m in body["messages"]]
        TypeAdapter(CompletionCreateParamsStreaming).validate_python({**body, "messages": messages})


async def test_a_responses_request_is_what_the_sdk_declares() -> None:
    for body in await bodies(Api.RESPONSES):
        TypeAdapter(ResponseCreateParamsStreaming).validate_python(body)


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_our_servers_answers_are_of_the_sdks_types(reply: Reply) -> None:
    for event in ResponsesPlayback(reply, b"seed", model="gpt-5.5").events():
        TypeAdapter(ResponseStreamEvent).validate_json(msgspec.json.encode(event))
    for event in ChatPlayback(reply, b"seed", model="gpt-5.5").events():
        ChatCompletionChunk.model_validate_json(msgspec.json.encode(event))


async def ours(subject: Subject, reply: Reply) -> tuple[Turn, dict[str, Any]]:
    assert subject.server is not None
    turn = await subject.turn(reply)
    return turn, subject.server.bodies[-1]


def said(turn: Turn) -> str:
    return "".join(block["text"] for block in turn.blocks if block["type"] == "text")


def calls(turn: Turn) -> list[tuple[str, str, Any]]:
    return [(call.id, call.tool, call.arguments) for call in turn.calls]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_the_sdk_reads_a_response_as_we_do(reply: Reply) -> None:
    async with PROVIDERS["openai-responses"]() as subject:
        turn, body = await ours(subject, reply)
        async with openai.AsyncOpenAI(api_key=KEY, base_url=subject.server.url, max_retries=0) as sdk:  # type: ignore[union-attr]
            events = [event async for event in await sdk.responses.create(**body)]
    response = events[-1].response
    assert said(turn) == response.output_text
    assert calls(turn) == [
        (item.call_id, item.name, msgspec.json.decode(item.arguments or b"{}"))
        for item in response.output
        if item.type == "function_call"
    ]
    assert turn.usage.input == response.usage.input_tokens
    assert turn.usage.output == response.usage.output_tokens


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_the_sdk_reads_a_chat_completion_as_we_do(reply: Reply) -> None:
    async with PROVIDERS["openai-chat"]() as subject:
        turn, body = await ours(subject, reply)
        parameters = {name: value for name, value in body.items() if name != "stream"}
        url = subject.server.url  # type: ignore[union-attr]
        async with (
            openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as sdk,
            sdk.chat.completions.stream(**parameters) as stream,
        ):
            completion = [event async for event in stream]
    chunks = [event.chunk for event in completion if event.type == "chunk"]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said(turn) == text
    assert chunks[-1].usage is not None and turn.usage.output == chunks[-1].usage.completion_tokens
    names = [
        call.function.name
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or []
        if call.function and call.function.name
    ]
    assert [call.tool for call in turn.calls] == names
