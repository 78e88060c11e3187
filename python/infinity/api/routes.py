"""A route: what is served, and what ``/openapi.json`` says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

__all__ = ["DELETION", "KEYED", "PAGED", "Route"]

H = TypeVar("H")

PAGED = ("after", "limit")
DELETION = (
    (400, "It is a child thread; the message names its root."),
    (404, "There is no such thread."),
    (409, "It is being moved, or has moved."),
    (410, "It was deleted before, and nothing is left of it."),
    (
        503,
        "Nothing happened; or it is deleted and not everything of it is removed yet, which goes on by itself. The message says which.",
    ),
)
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
    later: bool = False
    """202: what was asked for holds, and its work is done afterwards."""
    refusals: tuple[tuple[int, str], ...] = ()
    """What statuses of 400 and above mean here, where that is not plain."""

    @property
    def authenticated(self) -> bool:
        return self.path.startswith("/v1/")
