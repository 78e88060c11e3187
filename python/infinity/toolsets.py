"""Tool servers as the runtime uses them: a source of tools, the outgoing bodies and notices, and the pinning
of their addresses.

Every host assembles its runtime with these classes. They translate between RAP's messages and the engine's
contracts in ``abc``; they decide nothing about a call, and hold no state of one. What leaves goes to
configured servers only (S3).
"""

from __future__ import annotations

import msgspec

from infinity._core import Call, Thread
from infinity.abc import Delivery, Transport
from infinity.errors import BadRequest
from infinity.rap import wire
from infinity.rap.capability import Capabilities
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.tools.catalog import Definitions, ToolDefinition
from infinity.tools.functions import SCHEME, Functions


class ToolServers:
    """``tools.catalog.Source`` over the configured servers."""

    def __init__(self, toolsets: Toolsets) -> None:
        self.toolsets = toolsets

    async def definitions(self) -> Definitions:
        loaded = await self.toolsets.load()
        tools = [
            ToolDefinition(
                each.name,
                each.description,
                each.input_schema,
                each.annotations,
                each.display_script,
                toolset.name,
                toolset.endpoint,
            )
            for toolset in loaded.toolsets
            for each in toolset.tools
        ]
        missing = sum(each.pending for each in loaded.problems)
        return Definitions(tools, [each.text for each in loaded.problems], missing)

    def base_urls(self) -> list[str]:
        return [server.base_url for server in self.toolsets.servers]


class RapWire:
    """``abc.Wire``: what goes out, in RAP's words, to the configured servers only."""

    def __init__(self, servers: ToolServers, capabilities: Capabilities, transport: HttpTransport) -> None:
        self._servers = servers
        self._capabilities = capabilities
        self._transport = transport

    def invocation(self, thread: Thread, call: Call, operation: str) -> bytes:
        """The body of a call's invocation, as JSON bytes (INV-3). Optional members are left out, and never
        ``null``.

        Args:
            thread: Whose ancestors go along.
            call: Its id is the invocation's, and opens its callback URL.
            operation: The tool's own name at its server.
        """
        ancestors = thread.ancestors
        return wire.encode(
            wire.Invocation(
                operation=operation,
                arguments=msgspec.Raw(call.arguments),
                id=call.id,
                callback_url=self._capabilities.url(thread.id, call.id),
                group_id=thread.id,
                thread_ancestors=ancestors or msgspec.UNSET,
                user_id=call.user_id if call.user_id is not None else msgspec.UNSET,
            )
        )

    def rehomed(self, body: bytes, thread: str, call_id: str) -> bytes | None:
        """An invocation with a callback URL of this host, for a conversation that has moved here.

        Args:
            body: As it was recorded, maybe by another host.
            thread: Whose call it is.
            call_id: The call's id.

        Returns:
            The new body; ``None`` if the recorded URL is of this host already.
        """
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        url = msgspec.json.decode(found["callback_url"], type=str)
        try:
            if self._capabilities.open(url.rpartition("/")[2]) == (thread, call_id):
                return None
        except BadRequest:
            pass
        found["callback_url"] = msgspec.Raw(msgspec.json.encode(self._capabilities.url(thread, call_id)))
        return msgspec.json.encode(found)

    def choice(self, call_id: str, selected: int) -> bytes:
        """The body of an answer to a question (CHO-1), as JSON bytes.

        Args:
            call_id: Of the call whose tool asked.
            selected: Index of the choice.
        """
        return wire.encode(wire.ChoiceResponse(call_id, selected))

    async def notify_cancelled(self, thread: str, call_id: str) -> None:
        """Tell every tool server that a call was cancelled, at once, once, and without waiting for any
        (CAN-1).
        """
        body = wire.encode(wire.CancelToolCall(thread, call_id))
        await self._transport.notify(self._servers.base_urls(), "/cancel_tool_call", body)

    async def notify_closed(self, thread: str) -> None:
        """Tell every tool server that a thread was closed, at once, once, without waiting for any (THR-2)."""
        await self._transport.notify(
            self._servers.base_urls(), "/close_thread", wire.encode(wire.CloseThread(thread))
        )


class Routes:
    """``abc.Transport`` that sends functions of this process one way and everything else another."""

    def __init__(self, http: Transport, functions: Functions) -> None:
        self._http = http
        self._functions = functions

    async def post(self, url: str, body: bytes, *, key: str) -> Delivery:
        """Deliver a body: to a function of this process if the URL says ``python:``, else over HTTP.

        Args:
            url: Endpoint of the call.
            body: The invocation.
            key: The call's id.

        Returns:
            Whether it was delivered, is to be tried again, or was refused.
        """
        chosen: Transport = self._functions if url.startswith(SCHEME) else self._http
        return await chosen.post(url, body, key=key)

    async def close(self) -> None:
        await self._functions.close()
        await self._http.close()
