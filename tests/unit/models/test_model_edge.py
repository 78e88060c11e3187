"""The edge between the engine and any provider: one kind of error, and turns that can be recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.patience import PATIENCE

from infinity.abc.model import (
    ModelCall,
    ModelInfo,
    ModelRequest,
    Part,
    Reasoning,
    Text,
    ToolUse,
    Turn,
    Usage,
)
from infinity.errors import (
    ConfigError,
    ContextTooLong,
    InvalidModelRequest,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    RateLimited,
    StoreError,
)
from infinity.models.access import Access
from infinity.models.anthropic import AnthropicModel
from infinity.models.claude import info
from infinity.models.edge import checked, completion
from infinity.testing.model_server import ModelServer
from infinity.testing.script import Reply, Script

REQUEST = ModelRequest(
    ModelInfo("t/m", "t", "m"), "", b"[]", b'[{"role":"user","content":[{"type":"text","text":"go"}]}]', 100
)
Stream = Callable[[ModelRequest], AsyncIterator[Part]]


class Provider:
    """``streams``: one for each request."""

    def __init__(self, *streams: Any) -> None:
        self.streams = [*streams]
        self.requests: list[ModelRequest] = []

    def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        self.requests.append(request)
        answer: AsyncIterator[Part] = self.streams.pop(0)(request)
        return answer

    async def list(self) -> list[ModelInfo]:
        return []

    async def close(self) -> None:
        return


def parts(*made: Part | BaseException) -> Stream:
    async def stream(_: ModelRequest) -> AsyncIterator[Part]:
        for part in made:
            if isinstance(part, BaseException):
                raise part
            yield part

    return stream


async def complete(*streams: Any) -> tuple[Turn, list[Part]]:
    shown: list[Part] = []
    return await completion(Provider(*streams), REQUEST, shown.append), shown


def said(text: str, **fields: Any) -> Turn:
    return Turn([{"type": "text", "text": text}], **fields)


class PanicException(BaseException):
    """As PyO3's, which is not an ``Exception``."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("choices"),
        TypeError("x"),
        AttributeError("x"),
        RecursionError(),
        MemoryError(),
        UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
        OSError(5, "x"),
        StopIteration(),
        StopAsyncIteration(),
        TimeoutError(),
        asyncio.CancelledError(),
        asyncio.InvalidStateError(),
        AssertionError(),
        StoreError("not its business"),
        ExceptionGroup("several", [ValueError("x")]),
        BaseExceptionGroup("several", [SystemExit(1)]),
        SystemExit(1),
        PanicException("the extension panicked"),
        Unspeakable(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_provider_raises_is_a_model_error(error: BaseException) -> None:
    for stream in (parts(error), parts(Text("half"), error)):
        with pytest.raises(ModelUnavailable):
            await complete(stream)


async def test_what_is_raised_before_there_is_a_stream_is_one_too() -> None:
    def broken(_: ModelRequest) -> AsyncIterator[Part]:
        raise ZeroDivisionError

    for stream in (broken, lambda _: None, lambda _: [1]):
        with pytest.raises(ModelUnavailable):
            await complete(stream)


@pytest.mark.parametrize(
    "error", [RateLimited("slow", retry_after=3), ModelRefused("no"), ConfigError("key")]
)
async def test_errors_that_say_what_they_are_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await complete(parts(error))
    assert caught.value is error


async def test_a_stream_without_a_turn_is_broken() -> None:
    with pytest.raises(ModelUnavailable):
        await complete(parts(Text("so")))


@pytest.mark.trap("S9")
async def test_what_looks_like_a_key_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-proj-0123456789abcdefABCDEF"
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelUnavailable) as caught:
        await complete(parts(ValueError(f"bad header value 'Bearer {key}' for https://x/?key={key}")))
    assert key not in str(caught.value) and key not in caplog.text
    assert "ValueError" in str(caught.value)


@pytest.mark.parametrize("ending", [None, ValueError("while cleaning up"), RateLimited("x")])
async def test_a_task_that_is_cancelled_ends_as_cancelled(ending: Exception | None) -> None:
    started = asyncio.Event()

    async def waits(_: ModelRequest) -> AsyncIterator[Part]:
        try:
            started.set()
            await asyncio.Event().wait()
            yield Text("never")
        finally:
            if ending is not None:
                raise ending

    task = asyncio.ensure_future(complete(waits))
    async with asyncio.timeout(PATIENCE):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_time_limit_around_it_still_ends_it() -> None:
    async def hangs(_: ModelRequest) -> AsyncIterator[Part]:
        await asyncio.Event().wait()
        yield Text("never")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await complete(hangs)


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), RateLimited("x")])
async def test_a_turn_that_is_there_is_not_lost_to_what_comes_after(error: BaseException) -> None:
    async def stream(_: ModelRequest) -> AsyncIterator[Part]:
        try:
            yield said("done")
        finally:
            raise error

    turn, _ = await complete(stream)
    assert turn.blocks == [{"type": "text", "text": "done"}]


async def test_halves_of_a_character_are_joined_across_pieces() -> None:
    turn, shown = await complete(
        parts(
            Text("hi \ud83d"),
            Text("\ude00!"),
            Reasoning("\ud83d"),
            Reasoning("x"),
            said("hi \ud83d\ude00!"),
        )
    )
    assert "".join(part.text for part in shown if isinstance(part, Text)) == "hi 😀!"
    assert "".join(part.text for part in shown if isinstance(part, Reasoning)) == "\ufffdx"
    assert turn.blocks == [{"type": "text", "text": "hi 😀!"}]


@pytest.mark.parametrize("half", ["\ud83d", "x\ude00", "\ude00 \ud83d"])
def test_a_half_that_stays_alone_is_replaced_wherever_it_stands(half: str) -> None:
    block = {"type": "tool_use", "id": "a", "name": f"run{half}", "input": {half: [f"x{half}", 1]}}
    turn = checked(Turn([block], (ModelCall("a", block["name"], block["input"]),), "tool_use"))  # type: ignore[arg-type]
    msgspec.json.encode(turn.blocks)
    msgspec.json.encode(turn.calls[0].arguments)
    assert turn.calls[0].arguments == turn.blocks[0]["input"]
    assert "\ufffd" in turn.calls[0].tool


USE = {"type": "tool_use", "id": "a", "name": "run", "input": {}}


@pytest.mark.parametrize(
    "turn",
    [
        Turn("text"),  # type: ignore[arg-type]
        Turn(["text"]),  # type: ignore[list-item]
        Turn([{"type": "text"}]),
        Turn([{"type": "text", "text": None}]),
        Turn([{"type": 5}]),
        Turn([USE]),
        Turn([USE], (ModelCall("b", "run", {}),)),
        Turn([], (ModelCall("a", "run", {}),)),
        Turn([{**USE, "input": []}], (ModelCall("a", "run", {}),)),
        Turn([USE], (ModelCall("a", "run", []),)),  # type: ignore[arg-type]
        Turn([{"type": "text", "text": "x", "extra": object()}]),
    ],
)
def test_what_cannot_be_recorded_is_no_turn(turn: Turn) -> None:
    with pytest.raises(ModelUnavailable):
        checked(turn)


def test_what_no_api_takes_back_is_left_out() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turn = checked(Turn([{"type": "text", "text": " "}, {"type": "text", "text": "x"}, thought]))
    assert turn.blocks == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (Usage(1, 2, 3, 4), Usage(1, 2, 3, 4)),
        (Usage(1.5, None, -3, "7"), Usage(1, 0, 0, 7)),  # type: ignore[arg-type]
        (Usage(float("nan"), float("inf"), 1 << 80, True), Usage(0, 0, 1 << 40, 1)),
    ],
)
def test_counts_of_tokens_are_counts(usage: Usage, counted: Usage) -> None:
    assert checked(said("x", usage=usage)).usage == counted


async def test_a_paused_turn_goes_on_where_it_was() -> None:
    provider = Provider(
        parts(Text("a"), said("a", stop_reason="pause_turn", usage=Usage(1, 2, 3, 4))),
        parts(Text("b"), said("b", stop_reason="pause_turn", usage=Usage(1, 2, 3, 4))),
        parts(
            ToolUse("a", "run"),
            Turn([USE], (ModelCall("a", "run", {}),), stop_reason="tool_use", usage=Usage(1, 2, 3, 4)),
        ),
    )
    turn = await completion(provider, REQUEST, lambda _: None)
    assert [block["type"] for block in turn.blocks] == ["text", "text", "tool_use"]
    assert turn.stop_reason == "tool_use" and turn.usage == Usage(3, 6, 9, 12)
    last = msgspec.json.decode(provider.requests[2].messages)
    assert [message["role"] for message in last] == ["user", "assistant"]
    assert [block["text"] for block in last[1]["content"]] == ["a", "b"]


async def test_a_model_that_only_pauses_is_asked_a_bounded_number_of_times() -> None:
    provider = Provider(*[parts(said("a", stop_reason="pause_turn"))] * 100)
    turn = await completion(provider, REQUEST, lambda _: None)
    assert turn.stop_reason == "pause_turn" and len(provider.requests) < 20


async def test_a_paused_turn_goes_on_at_the_real_wire_and_the_strict_server_takes_it() -> None:
    replies = Script.sequence(
        Reply().say("a").stop("pause_turn"), Reply().say("b").stop("pause_turn"), Reply().say("c")
    )
    async with ModelServer(replies) as server:
        model = AnthropicModel(Access("key", base_url=server.url))
        request = replace(REQUEST, model=info("claude-haiku-5-5"))
        turn = await completion(model, request, lambda _: None)
        await model.close()
    assert "".join(block["text"] for block in turn.blocks) == "abc"
    assert server.violations == [] and len(server.requests) == 3


async def test_the_strict_server_has_a_window() -> None:
    async with ModelServer(Script().otherwise().say("x"), window=150) as server:
        model = AnthropicModel(Access("key", base_url=server.url))
        request = replace(REQUEST, model=info("claude-haiku-5-5"))
        with pytest.raises(ContextTooLong):
            await completion(model, request, lambda _: None)
        await completion(model, replace(request, max_tokens=20), lambda _: None)
        await model.close()


def after(name: str, *more: dict[str, Any]) -> ModelRequest:
    """A request that goes on after a result of this tool."""
    use = {"type": "tool_use", "id": "a", "name": name, "input": {"role": "user"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "ok"}]}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result, *more]},
    ]
    return replace(REQUEST, messages=msgspec.json.encode(messages))


NOTHING = Turn([], usage=Usage(1, 1))


@pytest.mark.trap("M8")
async def test_an_empty_turn_right_after_a_result_is_asked_for_once_more() -> None:
    provider = Provider(parts(NOTHING), parts(said("so", usage=Usage(1, 1))), parts(NOTHING), parts(NOTHING))
    turn = await completion(provider, after("run"), lambda _: None)
    assert turn.blocks and turn.usage == Usage(2, 2)
    turn = await completion(provider, after("run"), lambda _: None)
    assert turn.stop_reason == "empty" and not provider.streams


@pytest.mark.rap("SUB-5")
@pytest.mark.parametrize("request_", [REQUEST, after("receive_event__injected")])
async def test_a_model_may_say_nothing_to_an_event_or_a_person(request_: ModelRequest) -> None:
    provider = Provider(parts(NOTHING))
    assert (await completion(provider, request_, lambda _: None)).stop_reason == "end_turn"


async def test_a_turn_that_was_cut_off_before_its_first_word_is_not_asked_for_again() -> None:
    for reason in ("max_tokens", "refusal"):
        provider = Provider(parts(replace(NOTHING, stop_reason=reason)))
        assert (await completion(provider, after("run"), lambda _: None)).stop_reason == reason


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (400, 40_000, ContextTooLong),
        (None, 40_000, ContextTooLong),
        (404, 40_000, InvalidModelRequest),
        (400, 24_000, ContextTooLong),
        (400, 40, InvalidModelRequest),
    ],
)
async def test_a_refusal_of_what_cannot_fit_is_too_long_whatever_it_says(
    status: int | None, words: int, expected: type[ModelError]
) -> None:
    messages = msgspec.json.encode([{"role": "user", "content": [{"type": "text", "text": "word " * words}]}])
    request = replace(REQUEST, model=replace(REQUEST.model, context_window=32_000), messages=messages)
    refusing = Provider(parts(InvalidModelRequest("no", status=status)))
    with pytest.raises(ModelError) as caught:
        await completion(refusing, request, lambda _: None)
    assert type(caught.value) is expected
