"""Why there is no session with an MCP server, in words for the operator and the model."""

from __future__ import annotations

import httpx2
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.shared.exceptions import MCPError

from infinity.errors import ToolsetError

from .authorization import AccessNeeded


def cause(error: BaseException) -> BaseException:
    """The first error that is not a group, out of groups of any depth: the SDK's task groups wrap what they
    raise.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def told(error: BaseException) -> str:
    """Say why there is no session, as the end of a sentence that begins with the server's name.

    Args:
        error: Whatever the SDK or a transport raised, in groups of any depth.
    """
    error = cause(error)
    if isinstance(error, ToolsetError):
        return str(error)
    if isinstance(error, AccessNeeded):
        return "wants a user to grant access"
    if isinstance(error, OAuthFlowError):
        return f"gives no access: {error}"
    if isinstance(error, MCPError):
        return f"refused the connection: {error.message}"
    text = str(error)
    if isinstance(error, httpx2.ConnectError):
        return f"cannot be reached at its 'url' ({text or 'no connection'}); does it run there?"
    return f"cannot be reached: {type(error).__name__}{f': {text}' if text else ''}"


def meaning(status: int) -> str:
    """What an HTTP status probably means for the operator, as the end of a sentence; empty if that is not
    known.
    """
    if status in (401, 403):
        return "; it wants an Authorization header, or another one: see its 'headers'"
    return "; is 'url' its MCP endpoint?" if status in (404, 405) else ""
