"""From a Messages-shaped request to what both of OpenAI's APIs have in common: names, ids, images, texts.

Everything here is a function of the request alone: the same history gives the same bytes, so that the
endpoint's prompt cache holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from infinity.abc.model import ModelRequest

from . import reasoning

Block = dict[str, Any]
"""One content block, as JSON builtins."""

NAME_LENGTH = 64
"""Characters of a tool's name."""
ID_LENGTH = 40
"""Of a call's id. The Responses API takes 64, older models behind Chat Completions 40."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Conversation:
    """One request, decoded. ``origin``: whose reasoning goes back (see ``reasoning``)."""

    request: ModelRequest
    origin: str
    replays: bool = True
    """Whether it does."""
    messages: list[dict[str, Any]] = field(init=False)
    tools: list[dict[str, Any]] = field(init=False)
    _names: dict[str, str] = field(init=False)
    _calls: dict[str, str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.messages = _decode(self.request.messages)
        self.tools = _decode(self.request.tools or b"[]")
        # Back from the short names that the endpoint is given.
        self._names = {short_name(tool["name"]): tool["name"] for tool in self.tools}

    def replayed(self, block: Block) -> Any | None:
        """What the provider wants back of a thinking block; ``None`` if it is of somebody else.

        Args:
            block: of history.
        """
        return reasoning.item_of(block, self.origin) if self.replays else None

    @property
    def calls(self) -> dict[str, str]:
        """The tools of all calls, by the calls' ids."""
        if self._calls is None:
            blocks = (block for _, content in self.turns() for block in content)
            self._calls = {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
        return self._calls

    def named(self, name: str) -> str:
        """The tool that the model means by this name.

        Args:
            name: as it came; one that was shortened is known by its short form.
        """
        return self._names.get(name, name)

    def turns(self) -> Iterator[tuple[str, list[Block]]]:
        """Role and content blocks of each message."""
        for message in self.messages:
            content = message["content"]
            yield (
                message["role"],
                [{"type": "text", "text": content}] if isinstance(content, str) else content,
            )


def short_name(name: str) -> str:
    """A tool's name as OpenAI takes it: at most 64 characters, the same for the same name.

    Args:
        name: as the catalog has it.
    """
    return _short(name, NAME_LENGTH)


def short_id(call_id: str) -> str:
    """A call's id as OpenAI takes it: at most 40 characters, the same for the same id.

    Args:
        call_id: as history has it.
    """
    return _short(call_id, ID_LENGTH)


_ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def nine(call_id: str) -> str:
    """An id of nine letters and digits, the same for the same id, for endpoints that take no other.

    Args:
        call_id: as history has it.
    """
    number = int.from_bytes(blake2b(call_id.encode(), digest_size=8).digest())
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_ALPHANUMERIC))
        digits.append(_ALPHANUMERIC[digit])
    return "".join(digits)


def _short(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # A digest at its end, so that two long names that begin alike stay apart.
    return f"{text[: most - 13]}_{blake2b(text.encode(), digest_size=6).hexdigest()}"


def parameters_of(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool's schema. OpenAI refuses an object whose properties are not spelled out.

    Args:
        tool: as the Messages API has it.
    """
    schema: dict[str, Any] = tool["input_schema"]
    return schema if "properties" in schema else {**schema, "properties": {}}


def arguments_of(block: Block) -> str:
    """A call's arguments, as the text that OpenAI wants.

    Args:
        block: of the type ``tool_use``.
    """
    return _encode(block["input"]).decode()


def image_url(block: Block) -> str:
    """An image as a URL, with its bytes in it.

    Args:
        block: of the type ``image``.
    """
    source = block["source"]
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    return str(source.get("url", ""))


def result_blocks(block: Block) -> list[Block]:
    """The content of a tool_result. OpenAI has no mark for failure, so the text says it.

    Args:
        block: of the type ``tool_result``.
    """
    content = block.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    if block.get("is_error") and not text_of(parts).startswith("Error"):
        parts.insert(0, {"type": "text", "text": "Error:"})
    return parts


def text_of(blocks: list[Block]) -> str:
    """The texts of blocks, joined by line breaks.

    Args:
        blocks: others than texts are left out.
    """
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")
