"""A request as it arrived and the answer to it, without the web server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote, unquote_plus

__all__ = ["Reply", "Request"]


@dataclass(frozen=True)
class Request:
    """``target`` is the path with its query, exactly as it was sent; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0] or "/"

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    @cached_property
    def segments(self) -> list[str]:
        """The path's parts, decoded after they were split: an ARN or a key may hold ``%2F``."""
        return [unquote(part) for part in self.raw_path.split("/")[1:]]

    @cached_property
    def query(self) -> dict[str, str]:
        """Decoded; the last one wins where a name is repeated."""
        parts = (part.partition("=") for part in self.raw_query.split("&") if part)
        return {unquote_plus(name): unquote_plus(value) for name, _, value in parts}


@dataclass(frozen=True)
class Reply:
    """An answer: status, body bytes and headers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
