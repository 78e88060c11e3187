"""Why a server could not be reached, in words for people and the model; without addresses, which may hold
secrets (S9).
"""

from __future__ import annotations

import os
import socket


def why(error: BaseException) -> str:
    """Say why a request failed: ``connection refused``, ``the name does not resolve``, ….

    Args:
        error: Any that aiohttp's client raises.
    """
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, socket.gaierror):
        return "the name does not resolve"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
