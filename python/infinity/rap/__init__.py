"""The Reactive Agent Protocol: wire messages, discovery, capabilities, the client side, the server kit and
its inspection.

Both ends of the protocol (docs/protocol.md) are here. A host uses ``discovery``, ``client``,
``callbacks`` and ``capability``; the author of a tool server uses ``server``; ``infinity rap inspect``
uses ``inspection``. What both ends need to read and write (``wire``, ``document``, ``address``) knows
of neither.

The kit's names are here too: ``from infinity.rap import Toolset``. They are imported when first asked
for, so that a host does not load the kit.
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
