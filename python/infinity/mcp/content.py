"""From what an MCP tool or resource gives to a RAP result: texts and images stay; everything else is told in
words.

``bridge`` calls it with each answer. Nothing is dropped without a word: the model reads what there was and
how large.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from infinity.rap.server import Image, Result, ToolError

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models can look at."""


def result_of(answer: CallToolResult, notes: Iterable[str] = ()) -> Result:
    """Make a RAP result of the answer of an MCP tool.

    Args:
        answer: The server's answer. Audio and other binary content becomes a sentence; structured content
            is added as JSON unless a text says the same.
        notes: Sentences for the model that are put behind it.

    Raises:
        ToolError: if the tool says that it failed (RES-5); its texts are the error's.
    """
    items = [item for block in answer.content for item in _items(block)]
    if answer.structured_content is not None and not _says(items, answer.structured_content):
        items.append(json.dumps(answer.structured_content, ensure_ascii=False))
    items.extend(notes)
    if answer.is_error:
        raise ToolError(
            "\n".join(item for item in items if isinstance(item, str)) or "the tool failed without a word"
        )
    return _result(items)


def resource_result(contents: Iterable[TextResourceContents | BlobResourceContents]) -> Result:
    """Make a RAP result of what was read from a resource."""
    return _result([_resource(each) for each in contents])


def _result(items: list[str | Image]) -> Result:
    if any(isinstance(item, Image) for item in items):
        return Result(content=items)
    return Result(text="\n".join(item for item in items if isinstance(item, str)) or None)


def _items(block: ContentBlock) -> list[str | Image]:
    match block:
        case TextContent(text=text):
            return [text]
        case ImageContent(data=data, mime_type=media_type):
            return [_image(data, media_type)]
        case AudioContent(data=data, mime_type=media_type):
            return [f"[audio, {media_type}, {_size(data)} bytes: it cannot be passed on]"]
        case EmbeddedResource(resource=resource):
            return [_resource(resource)]
        case ResourceLink():
            about = f": {block.description}" if block.description else ""
            kind = f", {block.mime_type}" if block.mime_type else ""
            return [f"[resource {block.name}{kind}{about}; read it at {block.uri}]"]


def _resource(resource: TextResourceContents | BlobResourceContents) -> str | Image:
    if isinstance(resource, TextResourceContents):
        return f"[resource {resource.uri}]\n{resource.text}"
    media_type = resource.mime_type or "application/octet-stream"
    if media_type in IMAGES:
        return _image(resource.blob, media_type)
    return f"[resource {resource.uri}, {media_type}, {_size(resource.blob)} bytes: not text]"


def _image(data: str, media_type: str) -> str | Image:
    if media_type not in IMAGES:
        return f"[image, {media_type}, {_size(data)} bytes: of a kind that cannot be looked at]"
    try:
        return Image(base64.b64decode(data, validate=True), media_type)
    except binascii.Error:
        return f"[image, {media_type}: the server sent it damaged]"


def _size(data: str) -> int:
    # Base64: four characters stand for three bytes, padding not counted. An estimate will do for a sentence.
    return len(data) * 3 // 4


def _says(items: list[str | Image], structured: Any) -> bool:
    """Whether the texts say the same as the structured content; servers are asked to send both, and the model
    needs one.
    """
    texts = [item for item in items if isinstance(item, str)]
    values = [_parsed(text) for text in texts]
    # Where there is one value, SDKs and servers wrap it, in "result" or a name of their own.
    one = isinstance(structured, dict) and len(structured) == 1
    wrapped = next(iter(structured.values())) if one else structured
    return any(said in ([structured], [wrapped], structured, wrapped) for said in (values, texts) if said)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
