"""Answers of Chat Completions in the forms that servers give them: parts, late ends, open connections, errors of any form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import ModelRequest, Part, Reasoning, Text, Turn, Usage
from infinity.models import anthropic, frames, openai
from infinity.models.access import Access, ModelTimeouts
from infinity.models.anthropic import AnthropicModel
from infinity.models.chat_reading import ChatTurn
from infinity.models.openai import Api, OpenAIModel, OpenAIOptions
from infinity.models.openai_edge import Conversation
from infinity.models.openai_models import info

SIZED = replace(info("some/model"), sized=True)
REQUEST = ModelRequest(SIZED, "", b"[]", b'[{"role":"user","content":"x"}]', 100)
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
HOLD, RESET, AGAIN = "hold", "reset", "again"
"""``AGAIN``: what stands before it, until the client hangs up."""


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish}]}


def read(*chunks: dict[str, Any]) -> tuple[list[Part], Turn]:
    turn = ChatTurn(Conversation(REQUEST, "here"))
    parts = [part for each in chunks for part in turn.apply(each)]
    return parts, turn.finish()


def wire(*events: Any, done: bool = True) -> bytes:
    encoded = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    return encoded + (b"data: [DONE]\n\n" if done else b"")


def answer(body: Any, status: int = 200) -> bytes:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    kind = b"text/plain" if isinstance(body, bytes) else b"application/json"
    head = b"HTTP/1.1 %d X\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, kind, len(content)) + content


@asynccontextmanager
async def serving(*pieces: bytes | str) -> AsyncIterator[str]:
    """Answers every connection with these pieces; holds it open, or resets it, where they say so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            elif piece == HOLD:
                await reader.read(1 << 20)
                await reader.read(1)
            elif piece == AGAIN:
                with suppress(ConnectionError):
                    while True:
                        writer.write(pieces[-2])  # type: ignore[arg-type]
                        await writer.drain()
                        await asyncio.sleep(0)
            else:
                writer.transport.abort()
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(url: str, timeouts: ModelTimeouts | None = None) -> list[Part]:
    model = OpenAIModel(Access("key", base_url=url + "/v1"), timeouts, OpenAIOptions(Api.CHAT))
    try:
        return [part async for part in model.stream(REQUEST)]
    finally:
        await model.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [Text("a"), Text("b")]),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}], [Reasoning("hm")]),
        ([{"type": "thinking", "thinking": "hm"}, "x"], [Reasoning("hm"), Text("x")]),
        ([{"type": "reasoning", "summary": [{"text": "hm"}]}], [Reasoning("hm")]),
        ({"type": "output_text", "text": "a"}, [Text("a")]),
        ([{"type": "refusal", "refusal": "no"}], [Text("no")]),
        ([], []),
        (None, []),
        ("", []),
    ],
)
def test_content_may_be_a_list_of_parts(content: Any, expected: list[Part]) -> None:
    parts, turn = read(chunk(content=content), chunk("stop"))
    assert parts == expected
    said = "".join(part.text for part in expected if isinstance(part, Text))
    assert "".join(block["text"] for block in turn.blocks if block["type"] == "text") == said


def test_an_answer_that_was_not_streamed_is_one() -> None:
    message = {"role": "assistant", "content": "Hello", "tool_calls": []}
    _, turn = read({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE["usage"]})
    assert turn.blocks == [{"type": "text", "text": "Hello"}] and turn.usage == Usage(9, 3)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 9.0, "completion_tokens": "3"},
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None},
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}},
        {"input_tokens": 9, "output_tokens": 3},
    ],
)
def test_counts_of_any_form_are_numbers(usage: dict[str, Any]) -> None:
    assert read(chunk("stop", content="x"), {"choices": [], "usage": usage})[1].usage == Usage(9, 3)
    assert read({"choices": [{"delta": {}, "finish_reason": "stop", "usage": usage}]})[1].usage == Usage(9, 3)


@pytest.mark.trap("M8")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "end_turn"),
        ("tool-calls", "end_turn"),
        ("MAX_TOKENS", "max_tokens"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_good_ends_are_known_in_their_spellings(reason: str, expected: str) -> None:
    stop_reason = read(chunk(content="x"), chunk(reason))[1].stop_reason
    assert stop_reason == ("tool_use" if reason == "tool-calls" else expected)


def test_a_window_that_leaves_no_room_is_too_long() -> None:
    with pytest.raises(errors.ContextTooLong):
        read(chunk("model_context_window_exceeded"))


@pytest.mark.parametrize(
    ("frame", "kind", "words"),
    [
        ({"error": "out of credits", "code": 402}, errors.ModelAuthentication, "out of credits"),
        ({"object": "error", "message": "rate limited", "code": 429}, errors.RateLimited, "rate limited"),
        ({"detail": "the engine died", "status": 500}, errors.ModelUnavailable, "the engine died"),
        ({"error": [{"code": 401, "message": "bad key"}]}, errors.ModelAuthentication, "bad key"),
        ({"type": "error", "message": "busy", "code": "overloaded_error"}, errors.Overloaded, "busy"),
        ({"error": {"failed_generation": "<f>", "code": 400}}, errors.ModelUnavailable, "400"),
    ],
)
async def test_an_error_under_200_is_typed_by_what_it_says(
    frame: dict[str, Any], kind: type[errors.ModelError], words: str
) -> None:
    for pieces in ([SSE, wire(chunk(content="He"), frame)], [answer(frame)], [answer([frame])]):
        async with serving(*pieces) as url:
            with pytest.raises(errors.ModelError) as caught:
                await asked(url)
        assert type(caught.value) is kind and words in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([{"error": {"message": "API key not valid"}}], "API key not valid"),
        ({"detail": [{"msg": "Extra inputs are not permitted"}]}, "Extra inputs"),
        ({"message": "no such thing"}, "no such thing"),
        ({"error": "just words"}, "just words"),
        (b"upstream said no", "upstream said no"),
    ],
)
async def test_the_words_of_a_refusal_reach_the_user_from_every_api(body: Any, words: str) -> None:
    async with serving(answer(body, 400)) as url:
        with pytest.raises(errors.InvalidModelRequest, match=words):
            await asked(url)
        model = AnthropicModel(Access("key", base_url=url))
        with pytest.raises(errors.InvalidModelRequest, match=words):
            await anext(model.stream(REQUEST))
        await model.close()


@pytest.mark.parametrize(
    "rest",
    [
        [HOLD],
        [RESET],
        [wire(USAGE, done=False), HOLD],
        [b": heartbeat\n\n", HOLD],
        [b"data: {broken\n\n"],
        [],
    ],
    ids=["silent", "reset", "usage, then silent", "heartbeat", "unreadable", "closed"],
)
async def test_a_turn_whose_end_was_announced_counts(
    rest: Sequence[bytes | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "GRACE", 0.1)
    async with serving(SSE, wire(chunk(content="Hello"), chunk("stop"), done=False), *rest) as url:
        turn = (await asked(url))[-1]
    assert isinstance(turn, Turn) and turn.blocks == [{"type": "text", "text": "Hello"}]


async def test_what_follows_the_first_end_still_counts() -> None:
    """Some servers write an end into every chunk."""
    async with serving(SSE, wire(chunk("stop", content="a"), chunk("stop", content="b"), USAGE)) as url:
        turn = (await asked(url))[-1]
    assert isinstance(turn, Turn) and turn.blocks == [{"type": "text", "text": "ab"}]
    assert turn.usage == Usage(9, 3)


async def test_the_last_frame_may_lack_its_blank_line() -> None:
    async with serving(
        SSE, wire(chunk(content="a"), done=False), wire(chunk("stop"), done=False)[:-2]
    ) as url:
        assert isinstance((await asked(url))[-1], Turn)


@pytest.mark.trap("B1")
async def test_heartbeats_do_not_keep_a_silent_answer_alive_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_SILENCES", 0)
    async with serving(SSE, b": processing\n\n", AGAIN) as url:
        with pytest.raises(errors.ModelUnavailable, match="only signs of life"):
            await asked(url, ModelTimeouts(stall=30, total=60))


def messages_events(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


MESSAGES = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 9}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
]


@pytest.mark.parametrize(
    "rest", [[HOLD], [RESET], [], [b": heartbeat\n\n", HOLD]], ids=["silent", "reset", "closed", "heartbeat"]
)
async def test_a_messages_turn_whose_end_was_announced_counts(
    rest: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anthropic, "GRACE", 0.1)
    async with serving(SSE, messages_events(*MESSAGES), *rest) as url:
        model = AnthropicModel(Access("key", base_url=url))
        turn = [part async for part in model.stream(REQUEST)][-1]
        await model.close()
    assert isinstance(turn, Turn) and turn.blocks == [{"type": "text", "text": "Hello"}]


@pytest.mark.trap("B1")
async def test_pings_do_not_keep_a_silent_answer_alive_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anthropic, "MOST_SILENCES", 0)
    begun = messages_events(*MESSAGES[:2])
    for alive in (messages_events({"type": "ping"}, {"type": "ping"}, {"type": "ping"}), b": heartbeat\n\n"):
        async with serving(SSE, begun, alive, AGAIN) as url:
            model = AnthropicModel(Access("key", base_url=url))
            with pytest.raises(errors.ModelUnavailable, match="only signs of life"):
                async for _ in model.stream(REQUEST):
                    pass
            await model.close()


async def test_a_connection_that_fails_says_why_and_what_to_check() -> None:
    async with serving() as url:
        pass
    for model in (
        OpenAIModel(Access("key", base_url=url + "/v1")),
        AnthropicModel(Access("key", base_url=url)),
    ):
        with pytest.raises(errors.ModelUnavailable, match=r"(?s)refused|Connect.*base_url"):
            await anext(model.stream(REQUEST))
        await model.close()
