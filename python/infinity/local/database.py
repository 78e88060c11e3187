"""The home's database: opened, looked at and repaired."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinity._core import CoreError, Journal, Wake, examine_journal, repair_journal
from infinity.errors import from_core

from .home import Home

__all__ = ["Examined", "Repair", "examine_database", "learned", "open_journal", "repair_database"]


def open_journal(path: Path, wake: Wake) -> Journal:
    """Made 0600, whatever the mode of its directory. ``StoreError`` says what to do."""
    umask = os.umask(0o077)
    try:
        return Journal.open(str(path), wake)
    except CoreError as error:
        raise from_core(error) from None
    finally:
        os.umask(umask)


@dataclass(frozen=True, slots=True)
class Examined:
    """``problems``: what is wrong with the database; ``rows``: how many of each table were read."""

    problems: list[str]
    rows: dict[str, int]
    repaired: dict[str, Any] | None = None
    """The last repair: ``at``, ``damaged`` (where the files from before are) and ``lost``."""
    threads: tuple[tuple[str, str], ...] = ()
    """Threads that rest with a problem, and the problem."""


def examine_database(home: Home) -> Examined | None:
    """Read everything, and change nothing; ``None`` if there is no database yet. Only while no daemon runs."""
    try:
        found = examine_journal(str(home.database))
    except CoreError as error:
        raise from_core(error) from None
    if found is None:
        return None
    examined = json.loads(found)
    return Examined(
        [str(problem) for problem in examined["problems"]],
        examined["rows"],
        examined["repaired"],
        tuple((str(thread), str(problem)) for thread, problem in examined["threads"]),
    )


def learned(home: Home) -> list[str]:
    """What model endpoints have taught, for people. Only while no daemon runs, and of a database that was examined."""
    import sqlite3

    from infinity.models.lessons import META, told

    log = home.database.with_name(home.database.name + "-wal")
    if not home.database.exists() or (log.exists() and log.stat().st_size):
        return []  # The file alone may be no state that ever was; to read the log would change it.
    try:
        with closing(
            sqlite3.connect(f"{home.database.absolute().as_uri()}?immutable=1", uri=True)
        ) as database:
            row = database.execute("SELECT value FROM meta WHERE key = ?", (META,)).fetchone()
    except sqlite3.Error:
        return []  # The examination says what is wrong with the database; this is not a part of it.
    return told(bytes(row[0])) if row is not None else []


@dataclass(frozen=True, slots=True)
class Repair:
    """``rows``: how many of each table were salvaged; ``lost``: what could not be read; ``damaged``: where the old files are; ``mended``:
    threads that go on with a note in place of what they lost."""

    path: str
    damaged: str
    rows: dict[str, int]
    lost: list[str]
    mended: list[str]


def repair_database(home: Home) -> Repair:
    """Salvage what can be read into a new database, whether the old one opens or not; that one stays beside it. Only while no daemon runs."""
    umask = os.umask(0o077)
    try:
        report = json.loads(repair_journal(str(home.database)))
    except CoreError as error:
        raise from_core(error) from None
    finally:
        os.umask(umask)
    return Repair(
        report["path"],
        str(report["damaged"]),
        report["rows"],
        [str(item) for item in report["lost"]],
        [str(item) for item in report["mended"]],
    )
