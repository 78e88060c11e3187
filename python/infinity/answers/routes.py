"""A route: what is served, and what ``/openapi.json`` says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

__all__ = ["KEYED", "PAGED", "Route"]

H = TypeVar("H")

PAGED = ("after", "limit")
KEYED = ("Idempotency-Key",)


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """``body``: the shape of the request's JSON; ``optional``: it may be absent; ``query`` and ``headers``: names."""

    method: str
    path: str
    handler: H
    summary: str
    body: type[msgspec.Struct] | None = None
    optional: bool = False
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    produces: str = "application/json"
    created: bool = False
    uploads: bool = False
    """The request's body is a file."""

    @property
    def authenticated(self) -> bool:
        return self.path.startswith("/v1/")
