"""An MCP server as a process of ours, spoken to over its standard input and output: one line, one message.

Ours and not the SDK's, because operators and models are to hear how a server ended, because what it prints
by mistake must not end up in a log (S9), and because it has to be gone within the time that the daemon
gives the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, jsonrpc_message_adapter

from infinity.errors import ToolsetError

from .specification import ServerSpecification

log = logging.getLogger("infinity.mcp")

LONGEST_LINE = 32 << 20
UNWRITTEN = 64
"""Messages that may wait for a server that does not read; without any, a call that is given up would have to
wait for its notice to be written."""
MOST_GLUED = 64
"""Places in a stray line that are tried for an answer."""
PATIENCE = (1.0, 0.7)
"""Seconds after its input is closed, then after SIGTERM; the daemon gives the bridge three in all."""
_PASSED_ON = frozenset(
    {"LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class ServerProcess:
    """One process of an MCP server.

    ``ended`` says how it ended, in words, once it has. ``strays`` counts lines that were no messages.

    Args:
        specification: Command, arguments, directory and environment.
        on_end: Called when the process ends by itself, not when it is stopped.
    """

    def __init__(self, specification: ServerSpecification, on_end: Callable[[], None]) -> None:
        self.ended: str | None = None
        self.strays = 0
        self._specification = specification
        self._on_end = on_end
        self._process: asyncio.subprocess.Process
        self._closing = False

    def transport(self) -> contextlib.AbstractAsyncContextManager[Streams]:
        """A transport for the SDK's client: the process lives as long as the context.

        Raises:
            ToolsetError: on entering, if the process cannot be started.
        """
        return self._run()

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[Streams]:
        self._process = await self._start()
        incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outgoing = anyio.create_memory_object_stream[SessionMessage](UNWRITTEN)
        async with anyio.create_task_group() as group:
            self._spawn(group, incoming, outgoing)
            try:
                yield read, write
            finally:
                self._closing = True
                # Shielded: a cancelled bridge, too, must take its processes with it, within the bound of
                # ``_stop``.
                with anyio.CancelScope(shield=True):
                    read.close()
                    write.close()
                    await self._stop()
                group.cancel_scope.cancel()

    def _spawn(
        self,
        group: TaskGroup,
        incoming: MemoryObjectSendStream[SessionMessage | Exception],
        outgoing: MemoryObjectReceiveStream[SessionMessage],
    ) -> None:
        group.start_soon(self._read, incoming)
        group.start_soon(self._write, outgoing)

    async def _start(self) -> asyncio.subprocess.Process:
        specification = self._specification
        assert specification.command is not None
        try:
            return await asyncio.create_subprocess_exec(
                specification.command,
                *specification.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=specification.cwd,
                env=_environment(specification.env),
                limit=LONGEST_LINE,
                # A group of its own, so that what the server starts can be ended with it.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            missing = specification.command
            if specification.cwd is not None and not os.path.isdir(specification.cwd):  # noqa: ASYNC240 once, local
                missing = specification.cwd
            raise ToolsetError(
                f"cannot be started: {missing} does not exist; correct 'command' or 'cwd'"
            ) from error
        except OSError as error:
            raise ToolsetError(f"cannot be started: {specification.command}: {error.strerror}") from error

    async def _read(self, incoming: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        async with incoming:
            try:
                async for line in self._lines():
                    for message in self._messages(line):
                        await incoming.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the session is over
            if not self._closing:
                self.ended = self.ended or await self._how_it_ended()
        if not self._closing:
            self._on_end()

    async def _lines(self) -> AsyncIterator[bytes]:
        output = self._process.stdout
        assert output is not None
        while True:
            try:
                line = await output.readline()
            except ValueError:
                self.ended = f"wrote a line of more than {LONGEST_LINE >> 20} MiB"
                return
            except ConnectionError:
                return
            if not line:
                return
            if line.strip():
                yield line

    def _messages(self, line: bytes) -> list[SessionMessage]:
        try:
            return [SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))]
        except ValueError:
            self.strays += 1
            # Once, and the size only: what a server prints may be anything (S9, G9).
            if self.strays == 1:
                log.warning(
                    "MCP server %s wrote %d bytes to its standard output that are not an MCP message; its logging belongs to standard error",
                    self._specification.name,
                    len(line),
                )
        return [SessionMessage(found) for found in glued(line)]

    async def _write(self, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        async with outgoing:
            async for each in outgoing:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                # What is lost with a server that ends is told by its end.
                with contextlib.suppress(ConnectionError, RuntimeError):
                    pipe.write(text.encode() + b"\n")
                    await pipe.drain()

    async def _how_it_ended(self) -> str:
        with anyio.move_on_after(PATIENCE[0]):
            status = await self._process.wait()
            return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        return "closed its standard output"

    async def _stop(self) -> None:
        """Its input is closed, then it is asked, then killed, with all that it started. Bounded."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._gone(PATIENCE[0])
        self._signal(signal.SIGTERM)
        await self._gone(PATIENCE[1])
        self._signal(signal.SIGKILL)
        await self._gone(PATIENCE[1])
        # Anyone who inherited the pipes may hold them open; this end lets go.
        transport: Any = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()

    async def _gone(self, within: float) -> None:
        if self._process.returncode is None:
            with anyio.move_on_after(within):
                await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # The group, and not the process: the server itself may be gone while its children hold the pipes.
            os.killpg(self._process.pid, number)


def glued(line: bytes) -> list[JSONRPCMessage]:
    """Find answers in a line that is not a message as a whole.

    A server printed something before or behind one, without a line break between. Answers only: a request
    in such a line is one that the server logs, not one that it makes.

    Args:
        line: The bytes of one line. At most ``MOST_GLUED`` places in it are tried (I15).
    """
    text = line.decode("utf-8", "replace")
    found: list[JSONRPCMessage] = []
    place = tries = 0
    while (begin := _BEGIN.search(text, place)) is not None and tries < MOST_GLUED:
        tries += 1
        place = begin.end()
        try:
            value, end = _decoder.raw_decode(text, begin.start())
            message = jsonrpc_message_adapter.validate_python(value, by_name=False)
        except (ValueError, RecursionError):
            continue
        place = end
        if isinstance(message, (JSONRPCResponse, JSONRPCError)):
            found.append(message)
    return found


_BEGIN = re.compile(r'\{\s*"(?:jsonrpc|id|result|error)"\s*:')
_decoder = json.JSONDecoder()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Little of the bridge's own: what it was given in confidence is not for every server."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")
    }
    return {**get_default_environment(), **passed_on, **own}
