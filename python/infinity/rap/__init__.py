"""The Reactive Agent Protocol: wire messages, discovery, capabilities, the client side, the server kit and its inspection.

The kit's names are here too: ``from infinity.rap import Toolset``. They are imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import (
        Call,
        Event,
        Image,
        Limits,
        Result,
        Subscription,
        ToolError,
        Toolset,
        ToolsetServer,
        Webhook,
        serve,
    )

__all__ = [
    "Call",
    "Event",
    "Image",
    "Limits",
    "Result",
    "Subscription",
    "ToolError",
    "Toolset",
    "ToolsetServer",
    "Webhook",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import server

    return getattr(server, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
