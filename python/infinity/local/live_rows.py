"""Rows of the list of threads as they change, for those who follow all events and show the list.

A thread that changes often is read at most four times a second, and one reading serves all who follow; of what changed faster than it can be
read, followers are told that alone, and read the page again that they show. While nobody asks for rows, nothing is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from infinity._core import CoreError
from infinity.all_events import Follower
from infinity.errors import InfinityError
from infinity.feed import FeedEvent, frame
from infinity.supervision import shared

__all__ = ["LiveRows", "Row"]

logger = logging.getLogger("infinity.api")

Row = tuple[str, str, bytes]
"""Id, root, and the row as JSON."""
ReadRows = Callable[[list[str]], Awaitable[list[Row]]]

PAUSE = 0.25
"""Seconds between two readings."""
MOST = 50
"""Threads that one of them reads: with the pause, 200 a second."""
STATES = frozenset({"queued", "slice"})
"""Live events that change what a row says."""

_MANY = frame(FeedEvent(None, "row", b'{"many":true}'))


class LiveRows:
    """Told which threads change; gives rows to followers who want them.

    Args:
        followers: Those who follow now.
    """

    def __init__(self, followers: Callable[[], Iterable[Follower]]) -> None:
        self._followers = followers
        self.read: ReadRows | None = None
        """Reads rows as the list of threads has them; set by the host, which has what that takes."""
        self._changed: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def changed(self, thread: str) -> None:
        """A row is not what it was."""
        if not self._changed and not any(follower.asked.rows for follower in self._followers()):
            return
        self._changed[thread] = None
        if self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._begin)

    def _begin(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, {}
        self._task = shared(self._tell(list(changed)), "rows")
        self._task.add_done_callback(self._told)

    def _told(self, _: asyncio.Task[None]) -> None:
        self._task = None
        if self._changed:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._begin)

    async def _tell(self, changed: list[str]) -> None:
        wanting = [follower for follower in self._followers() if follower.asked.rows and not follower.closed]
        if not wanting or self.read is None:
            return
        try:
            rows = await self.read(changed) if len(changed) <= MOST else None
        except (CoreError, InfinityError) as error:
            # They read the page themselves, and are told what is wrong there.
            logger.warning("rows of threads cannot be read: %s", error)
            rows = None
        for follower in wanting:
            if rows is None:
                follower.rows.clear()
                follower.rows[""] = _MANY
            else:
                for thread, root, row in rows:
                    if follower.wants(root):
                        follower.rows[thread] = frame(FeedEvent(None, "row", row))
            follower.wake()
