import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from infinity import Agent, Runtime
from infinity.abc.model import ModelInfo, ModelRequest, Part, Text, Turn
from infinity.models.registry import Models


class Echo:
    """A provider that repeats what the user said last."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        last = json.loads(request.messages)[-1]["content"]
        said = " ".join(block["text"] for block in last if block["type"] == "text")
        yield Text(said)
        yield Turn([{"type": "text", "text": said}])

    async def list(self) -> list[ModelInfo]:
        return [ModelInfo("echo/small", "echo", "small", context_window=8_000)]

    async def close(self) -> None:
        pass


async def answer_to(question: str, folder: Path) -> str:
    models = Models({"default": "echo/small"}, providers={"echo": Echo()})
    async with Runtime.open(Agent(), folder / "echo.db", models=models) as runtime:
        return await runtime.ask(await runtime.create(), question)


with tempfile.TemporaryDirectory() as folder:
    answer = asyncio.run(answer_to("Is anybody there?", Path(folder)))
    assert "Is anybody there?" in answer, answer
    print(answer)
