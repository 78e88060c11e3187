"""What differs between PostgreSQL and Aurora DSQL. Everything else is written for what both can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DSQL", "POSTGRESQL", "Platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """What one kind of server takes.

    ``rows`` and ``size``: what one transaction may change (bytes); ``value``: bytes of one column.
    ``None``: as the server likes.
    """

    name: str
    rows: int | None = None
    size: int | None = None
    value: int | None = None
    index: str = "CREATE INDEX"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of every connection."""
    lifetime: float | None = None
    """Seconds after which a connection is not used any more."""
    locks: bool = True
    """Whether it has session advisory locks."""
    lock_row: str = "FOR SHARE"
    """Keeps a row as it is until the transaction ends."""
    keep_row: str = "FOR KEY SHARE"
    """Keeps a row from being deleted until the transaction ends, and nobody from changing it; empty if
    there is no such lock.
    """
    pause: float = 0.005
    """Seconds before the second try of a transaction that met another one; doubles."""


POSTGRESQL = Platform(
    "PostgreSQL",
    # What DSQL always does: a transaction sees one picture, and of two that change a row only the first
    # commits.
    settings={"default_transaction_isolation": "repeatable read", "application_name": "infinity"},
)

DSQL = Platform(
    "Aurora DSQL",
    rows=3_000,
    size=10 << 20,
    value=1 << 20,
    index="CREATE INDEX ASYNC",
    settings={"application_name": "infinity"},
    # It ends them after 60 minutes; a transaction takes 5 at the most.
    lifetime=50 * 60.0,
    locks=False,
    lock_row="FOR UPDATE",
    keep_row="",
    pause=0.05,
)
