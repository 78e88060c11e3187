"""What the Messages API refuses of images and documents: by their bytes, not by what is said of them."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
MOST_BYTES = 5 << 20
"""Of one image."""
MOST_PIXELS = 8_000
"""Width or height; of a request with more than ``MANY`` images ``MOST_PIXELS_OF_MANY``."""
MOST_PIXELS_OF_MANY = 2_000
"""Width or height in a request with many images."""
MANY = 20
"""From so many images on, the lower limit of pixels holds for each."""
MOST_IMAGES = 100
"""In one request."""
TOKENS_OF_AN_IMAGE = 1_600
"""About what an image costs, for estimates."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG that say its size."""


class Image(NamedTuple):
    """What the bytes are. ``size``: width and height, ``None`` where they end before they say."""

    media_type: str | None
    size: tuple[int, int] | None


def image_problems(source: Any, path: str, *, many: bool) -> Iterator[str]:
    """What the API refuses of an image.

    Args:
        source: of the block.
        path: of the block, for the problem.
        many: whether the request has more than ``MANY`` images.
    """
    kind = source.get("type") if isinstance(source, dict) else None
    if not isinstance(source, dict) or kind not in ("base64", "url", "file"):
        yield f"{path}.source: must be of type base64, url or file"
        return
    if kind != "base64":
        return
    where = f"{path}.image.source.base64"
    if source.get("media_type") not in TYPES:
        yield f"{where}.media_type: Input should be one of {', '.join(sorted(TYPES))}"
    data = _decoded(source.get("data"))
    if not data:
        yield f"{where}.data: must be base64"
        return
    # Of the decoded bytes, as the API counts them.
    if len(data) > MOST_BYTES:
        yield f"{where}: image exceeds 5 MB maximum: {len(data)} bytes > {MOST_BYTES} bytes"
        return
    image = look_at(data)
    if image.media_type is None:
        yield f"{where}.data: Could not process image"
    elif image.media_type != source.get("media_type"):
        yield (
            f"{where}.data: Image does not match the provided media type {source.get('media_type')}; "
            f"the image appears to be a {image.media_type} image"
        )
    elif image.size is not None:
        yield from _size_problems(image.size, where, many)


def document_problems(source: Any, path: str) -> Iterator[str]:
    """What the API refuses of a document.

    Args:
        source: of the block.
        path: of the block, for the problem.
    """
    if not isinstance(source, dict):
        yield f"{path}.source: field required"
    elif source.get("type") == "base64":
        data = _decoded(source.get("data"))
        if source.get("media_type") != "application/pdf" or not data:
            yield f"{path}.document.source.base64: must be base64 of application/pdf"
        elif b"%PDF-" not in data[:1024]:
            yield f"{path}.document.source.base64.data: The PDF specified was not valid"
    elif source.get("type") == "text" and not str(source.get("data") or "").strip():
        yield f"{path}.document.source.text.data: must be non-empty"


def _size_problems(size: tuple[int, int], where: str, many: bool) -> Iterator[str]:
    if 0 in size:
        yield f"{where}.data: Could not process image"
    elif max(size) > MOST_PIXELS:
        yield f"{where}.data: At least one of the image dimensions exceed max allowed size: {MOST_PIXELS} pixels"
    elif many and max(size) > MOST_PIXELS_OF_MANY:
        yield (
            f"{where}.data: At least one of the image dimensions exceed max allowed size for many-image requests: "
            f"{MOST_PIXELS_OF_MANY} pixels"
        )


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return b""


def look_at(data: bytes) -> Image:
    """The type that the first bytes show, and the size in pixels.

    Args:
        data: any bytes.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        size = struct.unpack(">II", data[16:24]) if data[12:16] == b"IHDR" and len(data) >= 24 else None
        return Image("image/png", size)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Image("image/gif", struct.unpack("<HH", data[6:10]) if len(data) >= 10 else None)
    if data.startswith(b"\xff\xd8\xff"):
        return Image("image/jpeg", _size_of_jpeg(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Image("image/webp", _size_of_webp(data))
    return Image(None, None)


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            # A JPEG says its height first.
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xFF or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
