"""The runtime inside one's own asyncio program: the daemon's journal and guarantees without the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from infinity import runtime
from infinity.abc import Models
from infinity.agent import Agent
from infinity.models.registry import Models as ConfiguredModels
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets

from .assembly import Assembly, journal_at, url_of

__all__ = ["Runtime"]


class Runtime(runtime.Runtime):
    """``async with Runtime.open(agent, "agent.db") as runtime: …``"""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        agent: Agent | None = None,
        path: str | Path = "infinity.db",
        *,
        models: Models | None = None,
        callback_host: str = "127.0.0.1",
        callback_port: int = 7346,
    ) -> AsyncIterator[Self]:
        """Open or create the journal, go on where the last process ended, and stop in an orderly way at the end of the block.

        One process at a time may have a journal open (``StoreLocked``). An agent with ``toolsets`` listens for their callbacks on
        ``callback_host:callback_port``; keep the port fixed, so that answers to earlier calls still arrive (L19).
        """
        agent = agent or Agent()
        async with Assembly(agent.settings) as assembly:
            await assembly.open(journal_at(path))
            if models is None:
                models = ConfiguredModels()
                assembly.undo.push_async_callback(models.close)
            servers = [Server(url) for url in agent.toolsets]
            made = await assembly.runtime(
                cls,
                url=url_of(callback_host, callback_port),
                models=models,
                transport=HttpTransport(servers),
                toolsets=Toolsets(servers),
                functions=agent.tools,
            )
            if servers:
                from . import callback_server

                await callback_server.start(assembly, made, callback_host, callback_port)
            else:
                await assembly.start(made)
            yield made
