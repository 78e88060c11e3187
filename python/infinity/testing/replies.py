"""Models that answer with whole turns, for tests that decide what a model does and not how it says it: of
the simulator and of the project's own tests.

``Script`` is for conversations that read like one; here a reply is a turn, an error, or a stream of
one's own. Requests are never sent anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self

import msgspec

from infinity.abc import ModelCall, ModelInfo, ModelRequest, Models, Part, Text, Turn, Usage
from infinity.errors import ConfigError
from infinity.models.prompt_view import text_of
from infinity.stamps import is_stamp

__all__ = ["Json", "OneModel", "Reply", "body_of", "call", "say", "texts"]

Json = dict[str, Any]
Reply = Turn | Exception | Callable[[Json], AsyncIterator[Part]]
"""A function gets the request's body."""


def say(text: str) -> Turn:
    """A turn that says a text.

    Args:
        text: what is said.
    """
    return Turn([{"type": "text", "text": text}], usage=Usage(10, 5))


def call(*calls: tuple[str, Json], text: str = "", ids: Sequence[str] = ()) -> Turn:
    """A turn that calls tools.

    Args:
        *calls: tool and arguments of each.
        text: said before them.
        ids: the provider's; they repeat from turn to turn if not given, as some providers' do (L9).
    """
    made = [
        ModelCall(ids[number] if ids else f"toolu_{number}", tool, arguments)
        for number, (tool, arguments) in enumerate(calls)
    ]
    blocks: list[Json] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": each.id, "name": each.tool, "input": each.arguments} for each in made
    ]
    return Turn(blocks, tuple(made), "tool_use", Usage(10, 5))


def texts(message: Json) -> str:
    """All text of a request's message, results included, without the times.

    Args:
        message: of the Messages API.
    """
    found: list[str] = []
    for block in message["content"]:
        if block["type"] == "text" and not is_stamp(block):
            found.append(block["text"])
        elif block["type"] == "tool_result":
            found.append(text_of(block))
    return "\n".join(found)


def body_of(request: ModelRequest) -> Json:
    """The request as the Messages API would get it.

    Args:
        request: of the engine.
    """
    return {
        "model": request.model.id,
        "max_tokens": request.max_tokens,
        "system": request.system,
        "tools": msgspec.json.decode(request.tools),
        "messages": msgspec.json.decode(request.messages),
    }


class OneModel(Models):
    """``abc.Model`` and ``abc.Models`` of ``test/model``. Subclasses say what it replies."""

    info: ModelInfo = ModelInfo("test/model", "test", "model")

    async def reply_to(self, request: ModelRequest, body: Json) -> Reply:
        """What is answered. To be written by a subclass.

        Args:
            request: of the engine.
            body: the same as JSON.
        """
        raise NotImplementedError

    def said(self, turn: Turn) -> None:
        """The turn has come to its end and is handed over. For subclasses that count.

        Args:
            turn: that was replied.
        """

    def resolve(self, name: str) -> tuple[Self, ModelInfo]:
        # As strict as a configured registry, so that a wrong name is found.
        if name not in ("", self.info.name):
            raise ConfigError(f"there is no model {name!r}; configured: {self.info.name}")
        return self, self.info

    async def list(self) -> list[ModelInfo]:
        return [self.info]

    async def close(self) -> None:
        return

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        body = body_of(request)
        reply = await self.reply_to(request, body)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Turn):
            for block in reply.blocks:
                if block["type"] == "text":
                    yield Text(block["text"])
            self.said(reply)
            yield reply
            return
        async for part in reply(body):
            yield part
