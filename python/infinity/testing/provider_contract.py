"""The contract of ``infinity.abc.model.Model`` as tests that anyone can run against a provider of their own.

::

    class TestMine(ProviderContract):
        @asynccontextmanager
        async def connect(self):
            async with MyServer(...) as server:
                ...
                yield Subject(model, info, answer, server)

pytest finds the tests in the subclass; they need pytest-asyncio. What a provider cannot do, the class attributes say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import Model, ModelInfo, ModelRequest, Part, Reasoning, Text, ToolUse, Turn, Usage
from infinity.models.reasoning import without_foreign

from .messages_rules import check
from .script import Reply
from .scripted_server import ScriptedServer

__all__ = ["ProviderContract", "Subject"]

Message = dict[str, Any]

HELLO: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
TOOLS = [{"name": "run", "description": "Runs.", "input_schema": {"type": "object"}}]
IMAGE = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    },
}
RICH = (
    Reply()
    .think("First I look, then I leap.", "sig==")
    .say("Looking at it, ")
    .say("then leaping.")
    .call("run", path=".", deep={"list": [1, 2.5, None, True, "ünï"]})
    .call("run", path="b")
)


@dataclass
class Subject:
    """A provider under test.

    ``answer``: sets what it will be answered; ``server``: what it talks to, ``None`` if to nobody.
    """

    model: Model
    info: ModelInfo
    answer: Callable[[Reply], None]
    server: ScriptedServer | None = None

    def request(self, messages: list[Message] | None = None) -> ModelRequest:
        """A request to the model under test.

        Args:
            messages: of the Messages API; a greeting if not given.
        """
        encode = msgspec.json.encode
        return ModelRequest(self.info, "Be brief.", encode(TOOLS), encode(messages or HELLO), 1000)

    async def parts(self, reply: Reply, messages: list[Message] | None = None) -> list[Part]:
        """Everything that a completion gives.

        Args:
            reply: what is answered.
            messages: as for ``request``.
        """
        self.answer(reply)
        return [part async for part in self.model.stream(self.request(messages))]

    async def turn(self, reply: Reply, messages: list[Message] | None = None) -> Turn:
        """The turn of a completion.

        Args:
            reply: what is answered.
            messages: as for ``request``.
        """
        last = (await self.parts(reply, messages))[-1]
        assert isinstance(last, Turn)
        return last


def answered(turn: Turn, *content: dict[str, Any], error: bool = False) -> list[Message]:
    """The conversation after a turn whose calls were answered, the calls under ids of Infinity's own as in
    history.

    Args:
        turn: with calls.
        *content: blocks beside the text of each result.
        error: whether the results are errors.
    """
    ours = {call.id: f"call_{index:030x}" for index, call in enumerate(turn.calls)}
    blocks = [
        {**block, "id": ours[block["id"]]} if block["type"] == "tool_use" else block for block in turn.blocks
    ]
    said = [{"type": "text", "text": "ok"}, *content]
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": call_id, "content": said}
        | ({"is_error": True} if error else {})
        for call_id in ours.values()
    ]
    return [
        *HELLO,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [*results, {"type": "text", "text": "and?"}]},
    ]


@pytest.mark.asyncio
class ProviderContract:
    """Subclass it, write ``connect``, name the subclass ``Test…``."""

    reasons: ClassVar[bool] = True
    """Whether the server's ``think`` comes out as reasoning."""
    too_long: ClassVar[Reply] = Reply().fail(
        400, message="prompt is too long: 205668 tokens > 200000 maximum"
    )
    """How the provider is told that the context is too long."""

    def connect(self) -> AbstractAsyncContextManager[Subject]:
        """A fresh provider and its server; closes both."""
        raise NotImplementedError

    async def test_live_parts_add_up_to_the_one_turn_at_the_end(self) -> None:
        async with self.connect() as subject:
            *live, turn = await subject.parts(RICH)
        assert isinstance(turn, Turn) and not any(isinstance(part, Turn) for part in live)
        assert "".join(part.text for part in live if isinstance(part, Text)) == "Looking at it, then leaping."
        thought = "".join(part.text for part in live if isinstance(part, Reasoning))
        assert thought == ("First I look, then I leap." if self.reasons else "")
        assert [part.id for part in live if isinstance(part, ToolUse)] == [call.id for call in turn.calls]

    async def test_text_arrives_in_pieces(self) -> None:
        async with self.connect() as subject:
            *live, turn = await subject.parts(Reply().say("one two three"))
        assert len(live) > 1
        assert "".join(part.text for part in live if isinstance(part, Text)) == "one two three"
        assert isinstance(turn, Turn) and turn.blocks == [{"type": "text", "text": "one two three"}]

    @pytest.mark.parametrize("content", [(), (IMAGE,)], ids=["text", "image"])
    @pytest.mark.parametrize("error", [False, True], ids=["result", "error"])
    async def test_a_turn_goes_back_with_the_results_of_its_calls(
        self, content: tuple[dict[str, Any], ...], error: bool
    ) -> None:
        async with self.connect() as subject:
            conversation = answered(await subject.turn(RICH), *(() if error else content), error=error)
            assert (await subject.turn(Reply().say("x"), conversation)).blocks
            assert subject.server is None or subject.server.violations == []

    async def test_a_turn_is_history_that_the_messages_api_would_take(self) -> None:
        async with self.connect() as subject:
            turn = await subject.turn(RICH)
        messages = msgspec.json.decode(without_foreign(msgspec.json.encode(answered(turn))))
        assert check({"model": "any", "max_tokens": 1, "messages": messages}) == []

    async def test_reasoning_at_the_end_is_left_out(self) -> None:
        async with self.connect() as subject:
            turn = await subject.turn(Reply().say("x").think("and yet", "sig=="))
        assert turn.blocks[-1]["type"] == "text"

    async def test_images_of_the_user_are_sent(self) -> None:
        message = {"role": "user", "content": [{"type": "text", "text": "what is this?"}, IMAGE]}
        async with self.connect() as subject:
            assert (await subject.turn(Reply().say("a dot"), [message])).blocks
            if subject.server is not None:
                assert IMAGE["source"]["data"].encode() in subject.server.requests[0].content  # type: ignore[index]

    async def test_calls_match_the_blocks_one_to_one(self) -> None:
        async with self.connect() as subject:
            turn = await subject.turn(RICH)
        uses = [block for block in turn.blocks if block["type"] == "tool_use"]
        assert [(use["id"], use["name"], use["input"]) for use in uses] == [
            (call.id, call.tool, call.arguments) for call in turn.calls
        ]
        assert turn.calls[0].arguments == {"path": ".", "deep": {"list": [1, 2.5, None, True, "ünï"]}}
        assert turn.stop_reason == "tool_use"

    @pytest.mark.parametrize("arguments", ['{"path": ', "[1]", "nonsense"])
    async def test_bad_arguments_are_a_problem_and_not_the_end_of_the_turn(self, arguments: str) -> None:
        async with self.connect() as subject:
            turn = await subject.turn(Reply().say("x").call_raw("run", arguments, "toolu_1").call("run"))
        assert turn.blocks[1]["input"] == {}
        assert turn.calls[0].arguments is None and turn.calls[0].problem
        assert turn.calls[1].arguments == {}

    async def test_a_call_without_arguments_has_an_empty_object(self) -> None:
        async with self.connect() as subject:
            turn = await subject.turn(Reply().call_raw("run", ""))
        assert [call.arguments for call in turn.calls] == [{}]

    async def test_a_call_that_was_cut_off_was_never_made(self) -> None:
        reply = Reply().say("x").call_raw("run", '{"path": "lon').stop("max_tokens")
        async with self.connect() as subject:
            turn = await subject.turn(reply)
        assert turn == Turn([{"type": "text", "text": "x"}], (), "max_tokens", turn.usage)

    async def test_the_model_may_have_nothing_to_say(self) -> None:
        async with self.connect() as subject:
            assert (await subject.turn(Reply())).blocks == []

    @pytest.mark.parametrize("reason", ["end_turn", "max_tokens", "refusal"])
    async def test_the_stop_reason_is_told(self, reason: str) -> None:
        async with self.connect() as subject:
            assert (await subject.turn(Reply().say("x").stop(reason))).stop_reason == reason

    async def test_tokens_are_counted_by_kind(self) -> None:
        reply = (
            Reply()
            .say("x")
            .tokens(
                input_tokens=3, output_tokens=5, cache_read_input_tokens=700, cache_creation_input_tokens=11
            )
        )
        async with self.connect() as subject:
            assert (await subject.turn(reply)).usage == Usage(3, 5, 700, 11)

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
    async def test_errors_are_typed_by_status(self, status: int, expected: type[errors.ModelError]) -> None:
        async with self.connect() as subject:
            with pytest.raises(errors.ModelError) as caught:
                await subject.parts(Reply().fail(status, message="because", retry_after=7))
        assert type(caught.value) is expected
        assert caught.value.status == status
        assert caught.value.retry_after == 7
        assert "because" in str(caught.value)

    async def test_a_prompt_beyond_the_window_is_too_long(self) -> None:
        async with self.connect() as subject:
            with pytest.raises(errors.ContextTooLong):
                await subject.parts(self.too_long)

    @pytest.mark.parametrize("status", [429, 500, 529])
    async def test_an_error_in_the_middle_ends_the_stream_without_a_turn(self, status: int) -> None:
        async with self.connect() as subject:
            subject.answer(Reply().say("half a").fail(status))
            live: list[Part] = []

            async def consume() -> None:
                async for part in subject.model.stream(subject.request()):
                    live.append(part)

            with pytest.raises(errors.ModelError) as caught:
                await consume()
        assert "".join(part.text for part in live if isinstance(part, Text)) == "half a"
        assert caught.value.retryable and not any(isinstance(part, Turn) for part in live)

    async def test_a_connection_lost_in_the_middle_is_no_turn(self) -> None:
        async with self.connect() as subject:
            with pytest.raises(errors.ModelUnavailable):
                await subject.parts(Reply().say("half").call("run").break_off())

    async def test_nothing_is_retried_here(self) -> None:
        async with self.connect() as subject:
            for reply in (
                Reply().fail(529),
                Reply().fail(429),
                Reply().fail(500),
                Reply().say("x").break_off(),
            ):
                with pytest.raises(errors.ModelError):
                    await subject.parts(reply)
            assert subject.server is None or len(subject.server.requests) == 4

    async def test_closing_the_stream_stops_the_request(self) -> None:
        never = asyncio.Event()
        async with self.connect() as subject:
            subject.answer(Reply().say("one ").pause(never).say("two"))
            stream = subject.model.stream(subject.request())
            assert isinstance(await anext(stream), Text)
            await stream.aclose()  # type: ignore[attr-defined]
            if subject.server is not None:
                await subject.server.wait_for(lambda effects: effects.abandoned == 1)

    async def test_cancelling_stops_the_request(self) -> None:
        never = asyncio.Event()
        started = asyncio.Event()
        async with self.connect() as subject:
            subject.answer(Reply().say("one ").pause(never))

            async def consume() -> None:
                async for _ in subject.model.stream(subject.request()):
                    started.set()

            task = asyncio.create_task(consume())
            await asyncio.wait_for(started.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if subject.server is not None:
                await subject.server.wait_for(lambda effects: effects.abandoned == 1)

    async def test_streams_do_not_wait_for_each_other(self) -> None:
        gate = asyncio.Event()
        late = Reply().pause(gate).say("late")
        async with self.connect() as subject:
            waiting = [asyncio.create_task(subject.parts(late)) for _ in range(5)]
            if subject.server is not None:
                await subject.server.wait_for_requests(5)
            assert (await subject.turn(Reply().say("now"))).blocks == [{"type": "text", "text": "now"}]
            gate.set()
            for task in waiting:
                assert isinstance((await task)[-1], Turn)

    async def test_the_provider_lists_models(self) -> None:
        async with self.connect() as subject:
            models = await subject.model.list()
        assert models and all(model.name.startswith(f"{model.provider}/") for model in models)

    async def test_closing_twice_is_fine(self) -> None:
        async with self.connect() as subject:
            await subject.turn(Reply().say("x"))
            await subject.model.close()
            await subject.model.close()
