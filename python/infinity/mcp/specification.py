"""What one MCP server is: how it is reached and how it is offered. The daemon passes it on as JSON, in the
environment: it may hold secrets.
"""

from __future__ import annotations

import msgspec

from infinity.errors import ConfigError
from infinity.rap.address import shown

ENVIRONMENT = "INFINITY_MCP_SERVER"
"""The variable that carries a specification to the bridge."""
TOKEN = "INFINITY_MCP_TOKEN"  # noqa: S105 the name of a variable
"""The variable that holds what callers of the bridge must send."""


class ServerSpecification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MCP server: ``command`` with ``args``, ``env`` and ``cwd`` (stdio), or ``url`` with ``headers``
    (streamable HTTP).

    Times are in seconds. ``env`` and ``headers`` may hold secrets; no text for people shows them (S9).
    """

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    prefix: str = ""
    """Put before the names of its tools, where they clash with others (DISC-4)."""
    resources: bool = True
    """Whether its resources are offered too, as tools that list and read them."""
    start_timeout: float = 30.0
    """For starting, connecting and the first list of tools."""
    call_timeout: float = 600.0
    """For one call, counted anew with each sign of progress; the time in which a person is asked does not
    count."""
    redirect_url: str | None = None
    """Where a browser reaches this bridge after granting access, if not on this machine."""

    @property
    def reached(self) -> str:
        """How, for people: the command without its arguments, which may hold secrets, or the host."""
        return f"command {self.command}" if self.command is not None else f"at {shown(self.url or '')}"

    def encode(self) -> str:
        """The JSON text that ``read_specification`` reads."""
        return msgspec.json.encode(self).decode()


def read_specification(text: str) -> ServerSpecification:
    """Read what ``encode`` wrote.

    Raises:
        ConfigError: if it is not a specification, or has both or neither of ``command`` and ``url``.
    """
    try:
        found = msgspec.json.decode(text, type=ServerSpecification)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{ENVIRONMENT} is not the specification of an MCP server: {error}") from error
    if (found.command is None) == (found.url is None):
        raise ConfigError(f"MCP server {found.name} needs exactly one of 'command' and 'url'")
    return found
