"""The providers under contract: two that speak HTTP to a scripted server, one that is scripted itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from infinity.abc.model import Model, ModelInfo, ModelRequest, Part, Turn
from infinity.models.access import Access, ModelTimeouts
from infinity.models.anthropic import AnthropicModel
from infinity.models.anthropic_sdk import AnthropicSdkModel
from infinity.models.claude import info
from infinity.models.scripted import ScriptedModel
from infinity.testing.model_server import ModelServer
from infinity.testing.script import Reply, Script

HAIKU: ModelInfo = info("claude-haiku-5-5")
TOOLS = [{"name": "run", "description": "Runs.", "input_schema": {"type": "object"}}]
KEY = "sk-ant-contract"
TIMEOUTS = ModelTimeouts(connect=5, stall=10, total=20)
HTTP: dict[str, Callable[[Access, ModelTimeouts], Model]] = {
    "anthropic": AnthropicModel,
    "anthropic-sdk": AnthropicSdkModel,
}


def request(text: str = "hello", model: ModelInfo = HAIKU) -> ModelRequest:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return ModelRequest(model, "Be brief.", msgspec.json.encode(TOOLS), msgspec.json.encode(messages), 1000)


@dataclass
class Provider:
    """One implementation, and what it will answer."""

    name: str
    model: Model
    answer: Callable[[Reply], None]
    server: ModelServer | None

    async def parts(self, reply: Reply, text: str = "hello") -> list[Part]:
        self.answer(reply)
        return [part async for part in self.model.stream(request(text))]

    async def turn(self, reply: Reply) -> Turn:
        last = (await self.parts(reply))[-1]
        assert isinstance(last, Turn)
        return last


@pytest.fixture(params=[*HTTP, "scripted"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    replies: list[Reply] = []

    def answer(reply: Reply) -> None:
        replies[:] = [reply]

    def respond(_: Any) -> Reply:
        return replies[0]

    if request.param == "scripted":
        model = ScriptedModel(Script().otherwise().answer(respond))
        yield Provider(request.param, model, answer, None)
        await model.close()
        return
    async with ModelServer(respond, api_key=KEY) as server:
        spoken = HTTP[request.param](Access(api_key=KEY, base_url=server.url), TIMEOUTS)
        yield Provider(request.param, spoken, answer, server)
        await spoken.close()
        assert server.violations == []
