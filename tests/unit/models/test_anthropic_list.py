"""The models that a Messages API lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from infinity import errors
from infinity.abc.model import Model
from infinity.models import claude
from infinity.models.access import Access, ModelTimeouts
from infinity.models.anthropic import AnthropicModel
from infinity.models.anthropic_sdk import AnthropicSdkModel
from infinity.testing.model_server import ModelServer
from infinity.testing.script import Script

Make = Callable[[Access, ModelTimeouts], Model]
KEY = "sk-list"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(Script(), api_key=KEY) as running:
        yield running


@pytest.fixture(params=[AnthropicModel, AnthropicSdkModel])
async def model(request: pytest.FixtureRequest, server: ModelServer) -> AsyncIterator[Model]:
    # On a loaded machine the first request waits for the import of the SDK.
    made = request.param(Access(KEY, base_url=server.url), ModelTimeouts())
    yield made
    await made.close()


async def test_every_page_is_read_and_the_table_fills_in_the_rest(server: ModelServer, model: Model) -> None:
    listed = {each.id: each for each in await model.list()}
    assert [*listed] == [entry["id"] for entry in server.models] and len(listed) > 2
    haiku = listed["claude-haiku-5-5"]
    assert haiku.output_limit == 64_000
    assert (haiku.name, haiku.price) == ("anthropic/claude-haiku-5-5", claude.info("claude-haiku-5-5").price)


async def test_a_wrong_key_is_told(server: ModelServer, model: Model) -> None:
    server.api_key = "another"
    with pytest.raises(errors.ModelAuthentication):
        await model.list()


@pytest.mark.parametrize("make", [AnthropicModel, AnthropicSdkModel])
async def test_where_there_is_no_list_the_table_is_one(make: Make, server: ModelServer) -> None:
    made = make(Access(KEY, base_url=server.url + "/gateway"), ModelTimeouts(5, 5, 10))
    assert await made.list() == [*claude.MODELS]
    await made.close()
    unreachable = make(Access(KEY, base_url="http://127.0.0.1:9"), ModelTimeouts(5, 5, 10))
    assert await unreachable.list() == [*claude.MODELS]
    await unreachable.close()
