"""The home's database: opened, looked at and repaired."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from infinity._core import CoreError, Journal, Wake, repair_journal
from infinity.errors import from_core

from .home import Home

__all__ = ["Repair", "check_database", "open_journal", "repair_database"]


def open_journal(path: Path, wake: Wake) -> Journal:
    """Made 0600, whatever the mode of its directory. ``StoreError`` says what to do."""
    umask = os.umask(0o077)
    try:
        return Journal.open(str(path), wake)
    except CoreError as error:
        raise from_core(error) from None
    finally:
        os.umask(umask)


def check_database(home: Home) -> bool:
    """Open it as a start would, then close it; false if there is none yet."""
    if not home.database.exists():
        return False
    open_journal(home.database, Wake()).close()
    return True


@dataclass(frozen=True, slots=True)
class Repair:
    """``rows``: how many of each table were salvaged; ``lost``: what could not be read; ``damaged``: where the old files are."""

    path: str
    damaged: str
    rows: dict[str, int]
    lost: list[str]


def repair_database(home: Home) -> Repair:
    """Salvage what can be read into a new database; the damaged one stays beside it. Only while no daemon runs."""
    umask = os.umask(0o077)
    try:
        report = json.loads(repair_journal(str(home.database)))
    except CoreError as error:
        raise from_core(error) from None
    finally:
        os.umask(umask)
    return Repair(
        report["path"], str(report["damaged"]), report["rows"], [str(item) for item in report["lost"]]
    )
