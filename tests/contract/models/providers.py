"""The built-in providers, each with the server that it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from infinity.abc.model import Model
from infinity.models.access import Access, ModelTimeouts
from infinity.models.anthropic import AnthropicModel
from infinity.models.anthropic_sdk import AnthropicSdkModel
from infinity.models.bedrock import AwsIdentity, BedrockModel
from infinity.models.claude import info
from infinity.models.openai import Api, OpenAIModel, OpenAIOptions
from infinity.models.scripted import DEFAULT, ScriptedModel
from infinity.testing.bedrock_server import BedrockServer
from infinity.testing.model_server import ModelServer
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.provider_contract import Subject
from infinity.testing.script import Reply, Script

KEY = "sk-contract"
TIMEOUTS = ModelTimeouts(connect=5, stall=10, total=20)
CLAUDE = "claude-haiku-5-5"

Connect = Callable[[], AbstractAsyncContextManager[Subject]]


class Answers:
    """What is answered next."""

    def __init__(self) -> None:
        self.reply = Reply()

    def set(self, reply: Reply) -> None:
        self.reply = reply

    def __call__(self, _: Any) -> Reply:
        return self.reply


def messages_api(make: Callable[[Access, ModelTimeouts], Model]) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Subject]:
        answers = Answers()
        async with ModelServer(answers, api_key=KEY) as server:
            model = make(Access(KEY, base_url=server.url), TIMEOUTS)
            yield Subject(model, info(CLAUDE), answers.set, server)
            await model.close()
            assert server.violations == []

    return connect


def openai(api: Api) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Subject]:
        answers = Answers()
        async with OpenAIServer(answers, api_key=KEY) as server:
            access = Access(KEY, base_url=server.url, provider="OpenAI")
            model = OpenAIModel(access, TIMEOUTS, OpenAIOptions(api))
            yield Subject(model, model.info("gpt-5.5"), answers.set, server)
            await model.close()
            assert server.violations == []

    return connect


@asynccontextmanager
async def bedrock() -> AsyncIterator[Subject]:
    answers = Answers()
    async with BedrockServer(answers, secret_key="secret") as server:
        identity = AwsIdentity("eu-west-1", access_key="AKIDEXAMPLE", secret_key="secret", session_token="t")
        model = BedrockModel(identity, Access(base_url=server.url, provider="Bedrock"), TIMEOUTS)
        yield Subject(model, model.info(f"eu.anthropic.{CLAUDE}-v1:0"), answers.set, server)
        await model.close()
        assert server.violations == []


@asynccontextmanager
async def scripted() -> AsyncIterator[Subject]:
    answers = Answers()
    model = ScriptedModel(Script().otherwise().answer(answers))
    yield Subject(model, DEFAULT, answers.set)
    await model.close()


PROVIDERS: dict[str, Connect] = {
    "anthropic": messages_api(AnthropicModel),
    "anthropic-sdk": messages_api(AnthropicSdkModel),
    "bedrock": bedrock,
    "openai-responses": openai(Api.RESPONSES),
    "openai-chat": openai(Api.CHAT),
    "scripted": scripted,
}
