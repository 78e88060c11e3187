"""The test kit: users test their agents offline with the same parts that Infinity's own tests use.

``Kit``: a whole agent in a test. ``Script``, ``Reply``: what a scripted model answers. ``ToolServer``:
one that answers on command. ``VirtualClock``: time that passes when the test says so. ``Recorder``,
``Replay``: real conversations, once recorded, without a network. Names only; each is imported when it
is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infinity.models.prompt_view import PromptView
    from infinity.models.script import Reply, Script

    from .clock import VirtualClock
    from .kit import Conversation, Kit
    from .record import Recorder, Replay
    from .tool_server import ToolServer

__all__ = [
    "Conversation",
    "Kit",
    "PromptView",
    "Recorder",
    "Replay",
    "Reply",
    "Script",
    "ToolServer",
    "VirtualClock",
]

_HOMES = {
    "Conversation": "infinity.testing.kit",
    "PromptView": "infinity.models.prompt_view",
    "Kit": "infinity.testing.kit",
    "Recorder": "infinity.testing.record",
    "Replay": "infinity.testing.record",
    "Reply": "infinity.models.script",
    "Script": "infinity.models.script",
    "ToolServer": "infinity.testing.tool_server",
    "VirtualClock": "infinity.testing.clock",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'infinity.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
