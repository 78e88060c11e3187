"""What a tool server must not forget: invocations it acknowledged, callbacks not yet delivered,
subscriptions, answers (SRV-4, SRV-6).

One SQLite file (WAL, synchronous=FULL) behind one thread. A call that returns has happened durably, and
what raises has not happened. The file is held exclusively: a second server on it would run every call
twice. ``work`` and ``questions`` are the callers.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from infinity.errors import DamagedStore, NewerStore, StoreError, StoreLocked

from .call import Invocation, Key

T = TypeVar("T")

VERSION = 2
"""Of the tables; a file with a higher one is refused (I8)."""
MAX_ID = 256
"""Characters of the ids of threads and calls."""
KEEP_DONE_SECONDS = 7 * 24 * 3600
"""How long a finished invocation's id is remembered, so that it does not run again (SRV-6)."""
KEEP_EVENT_IDS = 1_000
"""Ids of events of one subscription that are remembered, so that a repeat is known (R3)."""
PRUNE_EVERY = 1_024
"""After how many accepted invocations old ones are forgotten."""
LOCK_SECONDS = 2.0
"""How long a starting server waits for the last one to let go of the file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invocations (
  thread TEXT NOT NULL, id TEXT NOT NULL,
  operation TEXT NOT NULL,
  state TEXT NOT NULL,      -- accepted, active (a subscription), done, cancelled
  body TEXT NOT NULL,
  events INTEGER NOT NULL DEFAULT 0,
  accepted_at REAL NOT NULL,
  PRIMARY KEY (thread, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_invocations ON invocations (state, operation);
CREATE TABLE IF NOT EXISTS callbacks (
  place INTEGER PRIMARY KEY AUTOINCREMENT,
  thread TEXT NOT NULL, id TEXT NOT NULL, url TEXT NOT NULL, body BLOB NOT NULL,
  written_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS callbacks_of ON callbacks (thread, id);
CREATE TABLE IF NOT EXISTS event_ids (
  place INTEGER PRIMARY KEY AUTOINCREMENT,
  thread TEXT NOT NULL, id TEXT NOT NULL, event_id TEXT NOT NULL,
  UNIQUE (thread, id, event_id)
);
CREATE TABLE IF NOT EXISTS questions (
  name TEXT PRIMARY KEY,
  thread TEXT NOT NULL, id TEXT NOT NULL,
  what TEXT NOT NULL,       -- is asked, and for how many times
  choices INTEGER NOT NULL,
  answer INTEGER,
  used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS questions_of ON questions (thread, id);
"""


def private(path: str) -> None:
    """Make the file readable by its owner alone before anything is in it (SRV-8).

    It holds capabilities, arguments and grants. SQLite gives its journal files the mode of the
    database; those that an earlier version left behind get theirs here.

    Args:
        path: of the file, or ``:memory:``.

    Raises:
        StoreError: it cannot be made, or belongs to somebody else.
    """
    if path == ":memory:":
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for file in (path, f"{path}-wal", f"{path}-shm"):
            if os.path.exists(file) and os.stat(file).st_mode & 0o077:
                os.chmod(file, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened for this user alone: {error.strerror}") from error


class PendingCallback(NamedTuple):
    """A callback to deliver, as it is on record. ``place``: its row, in the order of all callbacks."""

    place: int
    key: Key
    url: str
    body: bytes
    written_at: float
    """Seconds since the epoch."""


class NewEvent(NamedTuple):
    """An event to record; ``body`` gets its id and number (from 1) and makes the callback of them."""

    id: str | None
    final: bool
    body: Callable[[str, int], bytes]


class ServerStore:
    """The state of one tool server."""

    def __init__(self, path: Path | str) -> None:
        """Start the thread of the store; ``open`` opens the file.

        Args:
            path: the file, made when it is not there. One server per file.
        """
        self._path = str(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tool-server-store")
        self._database: sqlite3.Connection | None = None
        self._accepted = 0

    async def open(self) -> None:
        """Open the file, make or upgrade its tables, forget what is old.

        Raises:
            StoreLocked: another process has it.
            NewerStore: a newer version wrote it.
            DamagedStore: it is not a readable state file.
        """
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file; later calls raise ``StoreError``."""
        if self._database is not None:
            await self._run(self._database.close)
            self._database = None
        # Its last work is done; waiting would block the event loop.
        self._thread.shutdown(wait=False)

    async def accept(self, invocation: Invocation) -> bool:
        """Record an invocation before it is acknowledged (SRV-1).

        Args:
            invocation: as it was read, also if it cannot be done.

        Returns:
            False if it is known already, and so must not run again (SRV-6).
        """
        row = (
            *invocation.key,
            invocation.operation,
            json.dumps(asdict(invocation)),
            time.time(),
        )

        def write(database: sqlite3.Connection) -> bool:
            self._accepted += 1
            # Now and then, so that nothing needs a clock of its own (I9).
            if self._accepted % PRUNE_EVERY == 0:
                _prune(database)
            added = database.execute(
                "INSERT OR IGNORE INTO invocations (thread, id, operation, state, body, accepted_at) VALUES (?, ?, ?, 'accepted', ?, ?)",
                row,
            )
            return added.rowcount == 1

        return await self.write(write)

    async def say(self, invocation: Invocation, body: bytes) -> PendingCallback | None:
        """Record a callback of a call that goes on.

        Args:
            invocation: the call.
            body: UTF-8 JSON.

        Returns:
            What is to be delivered; ``None`` if the call was cancelled or is over.
        """

        def write(database: sqlite3.Connection) -> PendingCallback | None:
            if state_of(database, invocation.key) not in ("accepted", "active"):
                return None
            return add_callback(database, invocation, body)

        return await self.write(write)

    async def finish(
        self, invocation: Invocation, body: bytes, *, active: bool = False, events: Sequence[NewEvent] = ()
    ) -> list[PendingCallback]:
        """Record a call's result, in one transaction with what follows from it.

        Args:
            invocation: the call.
            body: the ``tool_result``.
            active: it is a subscription from now on.
            events: those that were emitted before its confirmation, in order (SRV-4).

        Returns:
            What is to be delivered, in order; empty if the call was cancelled or has its result.
        """

        def write(database: sqlite3.Connection) -> list[PendingCallback]:
            # A result that comes after a cancellation is nobody's any more.
            if state_of(database, invocation.key) != "accepted":
                return []
            _set_state(database, invocation.key, "active" if active else "done")
            callbacks = [add_callback(database, invocation, body)]
            for event in events:
                callback = _emit(database, invocation, event)[1]
                if callback is not None:
                    callbacks.append(callback)
            return callbacks

        return await self.write(write)

    async def correct(self, invocation_key: Key, url: str, body: bytes) -> PendingCallback | None:
        """Record a result in the place of one that the runtime refused.

        Args:
            invocation_key: the call.
            url: its callback URL.
            body: the new ``tool_result``.

        Returns:
            ``None`` if the call was cancelled meanwhile.
        """

        def write(database: sqlite3.Connection) -> PendingCallback | None:
            if state_of(database, invocation_key) != "done":
                return None
            return _insert(database, invocation_key, url, body)

        return await self.write(write)

    async def emit(self, invocation: Invocation, event: NewEvent) -> tuple[bool, PendingCallback | None]:
        """Record an event.

        Args:
            invocation: the subscription's call.
            event: its body is made here, once its number is known.

        Returns:
            False if the subscription is over; and what is to be delivered, ``None`` if this event id
            was there before.
        """
        return await self.write(lambda database: _emit(database, invocation, event))

    async def delivered(self, place: int) -> None:
        """The callback has arrived, or never will.

        Args:
            place: of the callback.
        """
        await self.write(lambda database: database.execute("DELETE FROM callbacks WHERE place = ?", (place,)))

    async def cancel(self, key: Key) -> None:
        """End a call or subscription and forget what it still had to say.

        Unknown ones are fine (SRV-5), and do not run should they come later: notices overtake
        invocations that are sent again.

        Args:
            key: of the call, from a notice; any texts.
        """

        def write(database: sqlite3.Connection) -> None:
            _cancel(database, key)
            # Notices name anything; only ids that an invocation could have are worth a row (G2).
            if max(map(len, key)) <= MAX_ID:
                database.execute(
                    "INSERT OR IGNORE INTO invocations (thread, id, operation, state, body, accepted_at) VALUES (?, ?, '', 'cancelled', '', ?)",
                    (*key, time.time()),
                )

        await self.write(write)

    async def cancel_thread(self, thread: str) -> list[Key]:
        """The same for everything of a thread.

        Args:
            thread: from a notice; any text.

        Returns:
            The keys of what there was.
        """

        def write(database: sqlite3.Connection) -> list[Key]:
            rows = database.execute(
                "SELECT thread, id FROM invocations WHERE thread = ? UNION SELECT thread, id FROM callbacks WHERE thread = ?",
                (thread, thread),
            ).fetchall()
            for row in rows:
                _cancel(database, (row[0], row[1]))
            return [(row[0], row[1]) for row in rows]

        return await self.write(write)

    async def open_invocations(self, state: str, operation: str | None = None) -> list[Invocation]:
        """All invocations in this state, oldest first.

        Args:
            state: ``accepted`` or ``active`` (a subscription); others have forgotten their arguments.
            operation: of this tool only.
        """

        def read(database: sqlite3.Connection) -> list[Invocation]:
            rows = database.execute(
                "SELECT body FROM invocations WHERE state = ? AND operation = coalesce(?, operation) ORDER BY accepted_at",
                (state, operation),
            )
            return [_invocation(body) for (body,) in rows]

        return await self.write(read)

    async def callbacks(self) -> list[PendingCallback]:
        """Everything that is still to be delivered, in order."""

        def read(database: sqlite3.Connection) -> list[PendingCallback]:
            rows = database.execute(
                "SELECT place, thread, id, url, body, written_at FROM callbacks ORDER BY place"
            )
            return [
                PendingCallback(place, (thread, message_id), url, body, at)
                for place, thread, message_id, url, body, at in rows
            ]

        return await self.write(read)

    def _open(self) -> None:
        private(self._path)
        database = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=LOCK_SECONDS
        )
        version = database.execute("PRAGMA user_version").fetchone()[0]
        # What this version does not know it would damage (I8).
        if version > VERSION:
            raise NewerStore(
                f"{self._path} was written by a newer version of Infinity; upgrade, or use another file"
            )
        # A second server on this file would run everything twice.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        # An acknowledgement promises that the call is on record, also after a power cut (SRV-1).
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {version or VERSION}; COMMIT;"
        )
        if version == 1:
            _upgrade(database)
        _prune(database)
        self._database = database

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction, in the thread of the store.

        Args:
            change: gets the database; what it raises rolls the transaction back.

        Returns:
            What the change returns, once it is durable.

        Raises:
            StoreError: nothing was written.
        """

        def run() -> T:
            if self._database is None:
                raise StoreError(f"{self._path} is not open")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                value = change(self._database)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            return value

        return await self._run(run)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise _store_error(self._path, error) from error


def _store_error(path: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is held by another process; one tool server per state file")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedStore(f"{path} is not a readable state file ({error}); move it away to start afresh")
    return StoreError(f"{path}: {error}")


def state_of(database: sqlite3.Connection, key: Key) -> str | None:
    """The state of an invocation: ``accepted``, ``active``, ``done`` or ``cancelled``; ``None`` if it is
    unknown.

    Args:
        database: within a transaction of ``ServerStore.write``.
        key: of the call.
    """
    row = database.execute("SELECT state FROM invocations WHERE thread = ? AND id = ?", key).fetchone()
    return None if row is None else str(row[0])


def _set_state(database: sqlite3.Connection, key: Key, state: str) -> None:
    database.execute("UPDATE invocations SET state = ? WHERE thread = ? AND id = ?", (state, *key))
    if state not in ("accepted", "active"):
        # Only the id matters from now on; arguments may be large or private.
        database.execute("UPDATE invocations SET body = '' WHERE thread = ? AND id = ?", key)
        database.execute("DELETE FROM event_ids WHERE thread = ? AND id = ?", key)


def _cancel(database: sqlite3.Connection, key: Key) -> None:
    database.execute("DELETE FROM callbacks WHERE thread = ? AND id = ?", key)
    if state_of(database, key) in ("accepted", "active"):
        _set_state(database, key, "cancelled")


def _emit(
    database: sqlite3.Connection, invocation: Invocation, event: NewEvent
) -> tuple[bool, PendingCallback | None]:
    key = invocation.key
    if state_of(database, key) != "active":
        return False, None
    # Numbers count what was recorded, in the transaction that records it: no gaps, none twice.
    (told,) = database.execute("SELECT events FROM invocations WHERE thread = ? AND id = ?", key).fetchone()
    count = told + 1
    identity = event.id or f"event-{count}"
    added = database.execute(
        "INSERT OR IGNORE INTO event_ids (thread, id, event_id) VALUES (?, ?, ?)", (*key, identity)
    )
    if added.rowcount == 0:
        return True, None
    database.execute("UPDATE invocations SET events = ? WHERE thread = ? AND id = ?", (count, *key))
    database.execute(
        "DELETE FROM event_ids WHERE thread = ? AND id = ? AND place <= "
        "(SELECT place FROM event_ids WHERE thread = ? AND id = ? ORDER BY place DESC LIMIT 1 OFFSET ?)",
        (*key, *key, KEEP_EVENT_IDS),
    )
    callback = add_callback(database, invocation, event.body(identity, count))
    # In the same transaction as the event: it is over exactly when that is on record.
    if event.final:
        _set_state(database, key, "done")
    return True, callback


def add_callback(database: sqlite3.Connection, invocation: Invocation, body: bytes) -> PendingCallback:
    """Put a callback on record, as a part of a transaction.

    Args:
        database: within a transaction of ``ServerStore.write``.
        invocation: the call, whose callback URL it goes to.
        body: UTF-8 JSON.
    """
    return _insert(database, invocation.key, invocation.callback_url, body)


def _insert(database: sqlite3.Connection, key: Key, url: str, body: bytes) -> PendingCallback:
    now = time.time()
    added = database.execute(
        "INSERT INTO callbacks (thread, id, url, body, written_at) VALUES (?, ?, ?, ?, ?)",
        (*key, url, body, now),
    )
    assert added.lastrowid is not None
    return PendingCallback(added.lastrowid, key, url, body, now)


def _prune(database: sqlite3.Connection) -> None:
    database.execute(
        "DELETE FROM invocations WHERE state IN ('done', 'cancelled') AND accepted_at < ?",
        (time.time() - KEEP_DONE_SECONDS,),
    )
    database.execute(
        "DELETE FROM questions WHERE NOT EXISTS "
        "(SELECT 1 FROM invocations WHERE invocations.thread = questions.thread AND invocations.id = questions.id)"
    )


def _upgrade(database: sqlite3.Connection) -> None:
    """From version 1, where callbacks did not know how old they are: they count from now."""
    columns = [row[1] for row in database.execute("PRAGMA table_info(callbacks)")]
    database.execute("BEGIN IMMEDIATE")
    if "written_at" not in columns:
        database.execute("ALTER TABLE callbacks ADD COLUMN written_at REAL NOT NULL DEFAULT 0")
    database.execute("UPDATE callbacks SET written_at = ?", (time.time(),))
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("COMMIT")


def _invocation(body: str) -> Invocation:
    fields: dict[str, Any] = json.loads(body)
    return Invocation(**{**fields, "ancestors": tuple(fields["ancestors"])})
