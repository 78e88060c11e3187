"""The functions in a thread with an event loop of its own, for tests whose clients block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.boundary.cloud.functions import Functions
from tests.contract.postgresql import server_url

T = TypeVar("T")


class Threaded:
    def __init__(self, functions: Functions, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.functions = functions

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@contextmanager
def threaded(directory: Path, config: str = "") -> Iterator[Threaded]:
    # The server ends with the thread that starts it.
    server_url()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = Threaded(Functions(directory, config), loop)
    try:
        made.run(made.functions.start())
        yield made
        made.run(made.functions.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
