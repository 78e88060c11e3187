"""Which calls were sent to the MCP server, and as which task they go on there: what decides after a crash
whether a call may be sent again.

One SQLite file (WAL, synchronous=FULL) behind one thread. Rows age out; that a call has ended is the kit's
to remember. What users granted is kept here too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from infinity.errors import DamagedStore, StoreError
from infinity.rap.server import Call
from infinity.rap.server.store import private

T = TypeVar("T")

KEEP_SECONDS = 7 * 24 * 3600

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  thread TEXT NOT NULL, id TEXT NOT NULL,
  task TEXT,                -- of the MCP server, once it has made the call one
  sent_at REAL NOT NULL,
  PRIMARY KEY (thread, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grants (user TEXT PRIMARY KEY, kept BLOB NOT NULL);
"""


class Ledger:
    """The record of one bridge.

    Every method runs on a thread of its own, one after the other.

    Args:
        path: The file, made readable for its owner only (SRV-8).
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mcp-ledger")
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, make its tables and delete rows older than ``KEEP_SECONDS``.

        Raises:
            DamagedStore: if the file cannot be read.
            StoreError: if it cannot be opened.
        """
        await self._run(self._open)

    async def close(self) -> None:
        if self._database is not None:
            await self._run(self._database.close)
            self._database = None
        self._thread.shutdown(wait=False)

    async def begin(self, call: Call) -> tuple[bool, str | None]:
        """Record that a call is sent, before it is (I5).

        Returns:
            Whether it is the first time, and the id of the server's task if it has become one.

        Raises:
            StoreError: if that cannot be recorded; the call must not be sent then.
        """

        def write() -> tuple[bool, str | None]:
            database = self._opened()
            row = (call.thread, call.id)
            added = database.execute(
                "INSERT OR IGNORE INTO calls (thread, id, sent_at) VALUES (?, ?, ?)", (*row, time.time())
            )
            if added.rowcount == 1:
                return True, None
            return False, database.execute(
                "SELECT task FROM calls WHERE thread = ? AND id = ?", row
            ).fetchone()[0]

        return await self._run(write)

    async def is_task(self, call: Call, task: str) -> None:
        """Record that the server made the call a task. It is found again under this id after a restart."""
        await self._run(
            lambda: self._opened().execute(
                "UPDATE calls SET task = ? WHERE thread = ? AND id = ?", (task, call.thread, call.id)
            )
        )

    async def users(self) -> list[str]:
        """Who has granted access, the first first."""
        query = "SELECT user FROM grants WHERE user <> '*' ORDER BY rowid"
        rows = await self._run(lambda: self._opened().execute(query).fetchall())
        return [row[0] for row in rows]

    async def grant(self, user: str) -> bytes | None:
        """What is kept for a user, as ``keep_grant`` was given it; ``None`` if there is nothing."""
        row = await self._run(
            lambda: self._opened().execute("SELECT kept FROM grants WHERE user = ?", (user,)).fetchone()
        )
        return None if row is None else bytes(row[0])

    async def keep_grant(self, user: str, kept: bytes) -> None:
        """Keep a user's grant, in place of an earlier one.

        Args:
            user: The user, or ``*`` for the registration that all share.
            kept: JSON bytes of ``authorization.Kept``. They hold secrets, and are not logged (S9).
        """
        await self._run(
            lambda: self._opened().execute(
                "INSERT INTO grants (user, kept) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET kept = excluded.kept",
                (user, kept),
            )
        )

    def _open(self) -> None:
        # Before SQLite makes the file: it would be readable for others for a moment.
        private(self._path)
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        # What was sent must be on record after a loss of power as well.
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        database.execute("DELETE FROM calls WHERE sent_at < ?", (time.time() - KEEP_SECONDS,))
        self._database = database

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise StoreError(f"{self._path} is not open")
        return self._database

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedStore(
                    f"{self._path} is damaged ({error}); move it away to start afresh"
                ) from error
            raise StoreError(f"{self._path}: {error}") from error
