"""What holds for every provider (``infinity.abc.model``), and for those that speak the Messages API."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from infinity.models.openai import Api
from infinity.testing.provider_contract import HELLO, RICH, ProviderContract, Subject, answered
from infinity.testing.script import Reply

from .providers import PROVIDERS, bedrock, openai, scripted

# The traps that the contract as a whole guards against.
proves = pytest.mark.trap("L6", "L8", "M1", "M3", "R5")


@proves
class TestAnthropic(ProviderContract):
    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return PROVIDERS["anthropic"]()


@proves
class TestAnthropicSdk(ProviderContract):
    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return PROVIDERS["anthropic-sdk"]()


@proves
class TestBedrock(ProviderContract):
    too_long = Reply().fail(400, message="Input is too long for requested model.")

    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return bedrock()


@proves
class TestOpenAIResponses(ProviderContract):
    too_long = Reply().fail(400, type="context_length_exceeded")

    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return openai(Api.RESPONSES)()


@proves
class TestOpenAIChat(ProviderContract):
    too_long = Reply().fail(400, message="This model's maximum context length is 8192 tokens.")

    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return openai(Api.CHAT)()


@proves
class TestScripted(ProviderContract):
    def connect(self) -> AbstractAsyncContextManager[Subject]:
        return scripted()


MESSAGES_API = ["anthropic", "anthropic-sdk", "bedrock", "scripted"]


@pytest.mark.trap("M3")
@pytest.mark.parametrize("name", MESSAGES_API)
async def test_blocks_of_the_messages_api_are_as_they_came(name: str) -> None:
    async with PROVIDERS[name]() as subject:
        turn = await subject.turn(RICH.redacted("opaque==").say("!"))
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


@pytest.mark.parametrize("name", MESSAGES_API)
@pytest.mark.parametrize("reason", ["pause_turn", "stop_sequence"])
async def test_stop_reasons_of_the_messages_api_are_passed_on(name: str, reason: str) -> None:
    async with PROVIDERS[name]() as subject:
        assert (await subject.turn(Reply().say("x").stop(reason))).stop_reason == reason


@pytest.mark.parametrize("name", [*PROVIDERS])
async def test_the_same_request_gets_the_same_ids(name: str) -> None:
    async with PROVIDERS[name]() as subject:
        assert (await subject.turn(RICH)).calls == (await subject.turn(RICH)).calls


@pytest.mark.trap("M3")
@pytest.mark.parametrize("before", [*PROVIDERS])
@pytest.mark.parametrize("after", [*PROVIDERS])
async def test_a_thread_can_go_on_with_any_other_provider(before: str, after: str) -> None:
    async with PROVIDERS[before]() as first:
        conversation = answered(await first.turn(RICH))
    async with PROVIDERS[after]() as second:
        turn = await second.turn(RICH, conversation)
        more = [*conversation, *answered(turn)[len(HELLO) :]]
        ours = more[-2]["content"][-1]["id"], more[-2]["content"][-2]["id"]
        for index, id in enumerate(ours):
            _rename(more[-2:], id, f"call_again_{index}")
        assert (await second.turn(Reply().say("x"), more)).blocks
    # and back
    async with PROVIDERS[before]() as third:
        assert (await third.turn(Reply().say("x"), more)).blocks


def _rename(messages: list[dict[str, object]], id: str, new: str) -> None:
    for message in messages:
        for block in message["content"]:  # type: ignore[attr-defined]
            for key in ("id", "tool_use_id"):
                if block.get(key) == id:
                    block[key] = new


def test_every_built_in_provider_is_under_contract() -> None:
    from infinity.models.providers import BUILT_IN

    assert {name.removesuffix("-responses").removesuffix("-chat") for name in PROVIDERS} == set(BUILT_IN)
