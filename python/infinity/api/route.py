"""A route: what is served, by whom, and what ``/openapi.json`` says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec import Struct

from .backend import Backend, Part
from .requests import Request
from .responses import Response

__all__ = ["Handler", "Refusal", "Route"]

Handler = Callable[[Backend, Request], Awaitable[Response]]
Refusal = tuple[int, str, type[Struct]]
"""A status, what it means, and the shape of its JSON."""


@dataclass(frozen=True, slots=True)
class Route:
    """``returns``: the shape of the response's JSON, ``None`` where that is not JSON; ``body``: of the request's; ``query`` and ``headers``: names."""

    method: str
    path: str
    handler: Handler | str
    summary: str
    returns: type[Struct] | None
    parts: Part = Part.DAEMON | Part.API
    body: type[Struct] | None = None
    optional: bool = False
    """The body may be absent."""
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    produces: str = "application/json"
    uploads: bool = False
    """The request's body is a file."""
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    """Other statuses of success, and what they mean."""
    refusals: tuple[Refusal, ...] = ()
    """What statuses of 400 and above mean here, where that is not plain."""
    lets_in: bool = False
    """Its own body has the credential, and the answer another one."""
    described: bool = True
    """A page is no operation, and ``/openapi.json`` leaves it out."""

    @property
    def id(self) -> str:
        """The operation's."""
        return self.handler if isinstance(self.handler, str) else self.handler.__name__

    @property
    def authenticated(self) -> bool:
        return self.path.startswith("/v1/") and not self.lets_in
