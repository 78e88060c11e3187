"""The runtime inside one's own asyncio program: the daemon's journal and guarantees without the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from infinity import runtime
from infinity._core import Mailboxes, Wake
from infinity.abc import Models
from infinity.agent import Agent
from infinity.callback_keys import callback_keys
from infinity.feed import Feed
from infinity.models.registry import Models as ConfiguredModels
from infinity.rap.address import Server
from infinity.rap.capability import Capabilities
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.stores.sqlite.store import JournalStore
from infinity.stores.sqlite.wakeup import Wakeup

from .clock import SystemClock
from .database import open_journal
from .mailboxes import LocalMailbox

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
        async with AsyncExitStack() as stack:
            wakeup = Wakeup(Wake())
            store = JournalStore(open_journal(Path(path), wakeup.wake), wakeup)
            stack.push_async_callback(store.close)
            mailbox = LocalMailbox(Mailboxes(wakeup.wake), wakeup, store.inbox)
            stack.push_async_callback(mailbox.close)
            store.orphaned = mailbox.put
            wakeup.start()
            stack.callback(wakeup.stop)
            clock = SystemClock(wakeup)
            keys = await callback_keys(store, clock.now())
            servers = [Server(url) for url in agent.toolsets]
            made = cls(
                store=store,
                mailbox=mailbox,
                models=models or await _closing(stack),
                transport=HttpTransport(servers),
                toolsets=Toolsets(servers),
                capabilities=Capabilities(keys, f"http://{callback_host}:{callback_port}"),
                clock=clock,
                feed=Feed(store),
                settings=agent.settings,
                functions=agent.tools,
            )
            if servers:
                await _listen(made, callback_host, callback_port, stack)
            await made.start()
            stack.push_async_callback(made.stop)
            yield made


async def _closing(stack: AsyncExitStack) -> ConfiguredModels:
    models = ConfiguredModels()
    stack.push_async_callback(models.close)
    return models


async def _listen(made: runtime.Runtime, host: str, port: int, stack: AsyncExitStack) -> None:
    from .callback_server import listen

    stack.push_async_callback(await listen(made, host, port))
