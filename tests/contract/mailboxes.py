"""Every implementation of ``abc.Mailbox``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from infinity._core import Mailboxes, Message, Wake
from infinity.abc import Mailbox
from infinity.local.mailboxes import LocalMailbox
from infinity.stores.sqlite.wakeup import Wakeup


async def _nothing(after: int) -> list[Message]:
    return []


@asynccontextmanager
async def local() -> AsyncIterator[Mailbox]:
    wakeup = Wakeup(Wake())
    mailbox = LocalMailbox(Mailboxes(wakeup.wake), wakeup, _nothing)
    wakeup.start()
    try:
        yield mailbox
    finally:
        wakeup.stop()
        await mailbox.close()


MAILBOXES: dict[str, Callable[[], AbstractAsyncContextManager[Mailbox]]] = {"local": local}
