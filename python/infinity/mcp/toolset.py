"""The kit's toolset, filled by an MCP server: the tools are not known beforehand, and their schemas are its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinity.rap.server import Call, Result, Toolset
from infinity.rap.server.signature import Signature
from infinity.rap.server.toolset import Operation

from .bridge import Bridge


class BridgedToolset(Toolset):
    """Every operation is the MCP server's to judge: an invocation may come before its tools are known, after
    a restart above all.
    """

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge.specification.name)
        self.operations = _Operations(bridge)
        self._bridge = bridge

    def manifest(self, endpoint: str) -> dict[str, Any]:
        """The manifest of the last list of tools.

        Without any list there is none to be had: ``Catalogue.refresh`` comes first, and raises.
        """
        listing = self._bridge.catalogue.listing
        return {
            "name": self.name,
            "description": listing.description,
            "endpoint": endpoint,
            "needsMigration": False,
            "tools": list(listing.entries),
        }


class _Operations(dict[str, Operation]):
    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def get(self, name: str, default: Any = None) -> Operation:
        bridge = self._bridge

        # Every name gets an operation. A tool that does not exist is the server's to refuse, in its own
        # words.
        async def invoke(arguments: dict[str, Any], call: Call) -> Result:
            return await bridge.call(name, arguments, call)

        # To the kit, that is: it begins interrupted calls again, the bridge knows which were sent; and
        # RunningCall minds the time.
        return Operation(
            name=name,
            description="",
            function=invoke,
            signature=_Passing(invoke, name),
            subscribes=False,
            annotations={"idempotent": True, "longRunning": True},
            display_script=None,
            timeout=None,
        )


class _Passing(Signature):
    """Arguments as they came: the runtime has checked them against the server's own schema, and the server
    will again (INV-2).
    """

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"arguments": dict(arguments)}
