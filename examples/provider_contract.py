import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from infinity.models.access import Access
from infinity.models.openai import OpenAIModel
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.provider_contract import ProviderContract, Subject
from infinity.testing.script import Reply


class TestMine(ProviderContract):
    too_long = Reply().fail(400, type="context_length_exceeded")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Subject]:
        replies = [Reply()]

        def answer(reply: Reply) -> None:
            replies[0] = reply

        async with OpenAIServer(lambda request: replies[0]) as server:
            model = OpenAIModel(Access("key", base_url=server.url))
            yield Subject(model, model.info("my-model"), answer, server)
            await model.close()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
