"""What holds for every provider (``infinity.abc.model``)."""

from __future__ import annotations

import asyncio

import pytest

from infinity import errors
from infinity.abc.model import ModelCall, Reasoning, Text, ToolUse, Turn, Usage
from infinity.testing.script import Reply

from .conftest import Provider, request

RICH = (
    Reply()
    .think("First I look, then I leap.", "sig==")
    .say("Looking at it, ")
    .say("then leaping.")
    .call("run", path=".", deep={"list": [1, 2.5, None, True, "ünï"]})
    .call("run", path="b")
)


async def test_live_parts_add_up_to_the_one_turn_at_the_end(provider: Provider) -> None:
    *live, turn = await provider.parts(RICH)
    assert isinstance(turn, Turn) and not any(isinstance(part, Turn) for part in live)
    assert "".join(part.text for part in live if isinstance(part, Text)) == "Looking at it, then leaping."
    assert "".join(part.text for part in live if isinstance(part, Reasoning)) == "First I look, then I leap."
    assert [part.id for part in live if isinstance(part, ToolUse)] == [call.id for call in turn.calls]


async def test_text_arrives_in_pieces(provider: Provider) -> None:
    *live, _ = await provider.parts(Reply().say("one two three"))
    assert live == [Text("one "), Text("two "), Text("three")]


@pytest.mark.trap("M3")
async def test_blocks_are_what_the_provider_wants_back(provider: Provider) -> None:
    turn = await provider.turn(RICH.redacted("opaque==").say("!"))
    assert [block["type"] for block in turn.blocks] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
        "redacted_thinking",
        "text",
    ]
    assert turn.blocks[0] == {
        "type": "thinking",
        "thinking": "First I look, then I leap.",
        "signature": "sig==",
    }
    assert turn.blocks[4] == {"type": "redacted_thinking", "data": "opaque=="}


@pytest.mark.trap("L6")
async def test_calls_match_the_blocks_one_to_one(provider: Provider) -> None:
    turn = await provider.turn(RICH)
    uses = [block for block in turn.blocks if block["type"] == "tool_use"]
    assert [(use["id"], use["name"], use["input"]) for use in uses] == [
        (call.id, call.tool, call.arguments) for call in turn.calls
    ]
    assert turn.calls[0].arguments == {"path": ".", "deep": {"list": [1, 2.5, None, True, "ünï"]}}
    assert turn.stop_reason == "tool_use"


@pytest.mark.trap("M1")
@pytest.mark.parametrize("arguments", ['{"path": ', "[1]", "nonsense"])
async def test_bad_arguments_are_a_problem_and_not_the_end_of_the_turn(
    provider: Provider, arguments: str
) -> None:
    turn = await provider.turn(Reply().say("x").call_raw("run", arguments, "toolu_1").call("run"))
    assert turn.blocks[1]["input"] == {}
    assert turn.calls[0].arguments is None and turn.calls[0].problem
    assert turn.calls[1].arguments == {}


async def test_a_call_that_was_cut_off_was_never_made(provider: Provider) -> None:
    reply = Reply().say("x").call_raw("run", '{"path": "lon').stop("max_tokens")
    turn = await provider.turn(reply)
    assert turn == Turn([{"type": "text", "text": "x"}], (), "max_tokens", turn.usage)


async def test_the_model_may_have_nothing_to_say(provider: Provider) -> None:
    assert (await provider.turn(Reply())).blocks == []


@pytest.mark.parametrize("reason", ["end_turn", "max_tokens", "refusal", "pause_turn", "stop_sequence"])
async def test_the_stop_reason_is_passed_on(provider: Provider, reason: str) -> None:
    assert (await provider.turn(Reply().say("x").stop(reason))).stop_reason == reason


async def test_tokens_are_counted_by_kind(provider: Provider) -> None:
    reply = (
        Reply()
        .say("x")
        .tokens(input_tokens=3, output_tokens=5, cache_read_input_tokens=700, cache_creation_input_tokens=11)
    )
    assert (await provider.turn(reply)).usage == Usage(3, 5, 700, 11)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.InvalidModelRequest),
        (401, errors.ModelAuthentication),
        (403, errors.ModelAuthentication),
        (404, errors.InvalidModelRequest),
        (413, errors.ContextTooLong),
        (429, errors.RateLimited),
        (500, errors.ModelUnavailable),
        (529, errors.Overloaded),
    ],
)
async def test_errors_are_typed_by_status(
    provider: Provider, status: int, expected: type[errors.ModelError]
) -> None:
    with pytest.raises(errors.ModelError) as caught:
        await provider.parts(Reply().fail(status, message="because", retry_after=7))
    assert type(caught.value) is expected
    assert caught.value.status == status
    assert caught.value.retry_after == 7
    assert "because" in str(caught.value)


async def test_a_prompt_beyond_the_window_is_too_long(provider: Provider) -> None:
    with pytest.raises(errors.ContextTooLong):
        await provider.parts(Reply().fail(400, message="prompt is too long: 205668 tokens > 200000 maximum"))


@pytest.mark.trap("L8")
@pytest.mark.parametrize(
    ("status", "expected"),
    [(529, errors.Overloaded), (500, errors.ModelUnavailable), (429, errors.RateLimited)],
)
async def test_an_error_in_the_middle_ends_the_stream_without_a_turn(
    provider: Provider, status: int, expected: type[errors.ModelError]
) -> None:
    provider.answer(Reply().say("half a").fail(status))
    stream = provider.model.stream(request())
    live = [await anext(stream), await anext(stream)]
    with pytest.raises(errors.ModelError) as caught:
        await anext(stream)
    assert live == [Text("half "), Text("a")]
    assert type(caught.value) is expected


@pytest.mark.trap("L8")
async def test_a_connection_lost_in_the_middle_is_no_turn(provider: Provider) -> None:
    with pytest.raises(errors.ModelUnavailable):
        await provider.parts(Reply().say("half").break_off())


@pytest.mark.trap("R5")
async def test_nothing_is_retried_here(provider: Provider) -> None:
    for reply in (Reply().fail(529), Reply().fail(429), Reply().fail(500), Reply().say("x").break_off()):
        with pytest.raises(errors.ModelError):
            await provider.parts(reply)
    if provider.server is not None:
        assert len(provider.server.requests) == 4


async def test_closing_the_stream_stops_the_request(provider: Provider) -> None:
    never = asyncio.Event()
    provider.answer(Reply().say("one ").pause(never).say("two"))
    stream = provider.model.stream(request())
    assert await anext(stream) == Text("one ")
    await stream.aclose()  # type: ignore[attr-defined]
    if provider.server is not None:
        await provider.server.wait_for(lambda effects: effects.abandoned == 1)


async def test_cancelling_stops_the_request(provider: Provider) -> None:
    never = asyncio.Event()
    started = asyncio.Event()
    provider.answer(Reply().say("one ").pause(never))

    async def consume() -> None:
        async for _ in provider.model.stream(request()):
            started.set()

    task = asyncio.create_task(consume())
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if provider.server is not None:
        await provider.server.wait_for(lambda effects: effects.abandoned == 1)


async def test_streams_do_not_wait_for_each_other(provider: Provider) -> None:
    gate = asyncio.Event()
    provider.answer(Reply().pause(gate).say("late"))
    waiting = [asyncio.create_task(provider.parts(Reply().pause(gate).say("late"))) for _ in range(5)]
    if provider.server is not None:
        await provider.server.wait_for_requests(5)
    assert (await provider.turn(Reply().say("now"))).blocks == [{"type": "text", "text": "now"}]
    gate.set()
    provider.answer(Reply())
    for task in waiting:
        assert isinstance((await task)[-1], Turn)


async def test_the_same_request_gets_the_same_ids(provider: Provider) -> None:
    assert (await provider.turn(RICH)).calls == (await provider.turn(RICH)).calls


async def test_the_provider_lists_models(provider: Provider) -> None:
    models = await provider.model.list()
    assert models and all(model.name.startswith(f"{model.provider}/") for model in models)


async def test_closing_twice_is_fine(provider: Provider) -> None:
    await provider.turn(Reply().say("x"))
    await provider.model.close()
    await provider.model.close()


async def test_a_call_without_arguments_has_an_empty_object(provider: Provider) -> None:
    turn = await provider.turn(Reply().call_raw("run", {}, "toolu_1"))
    assert turn.calls == (ModelCall("toolu_1", "run", {}),)
