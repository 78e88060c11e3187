"""What completions have used: turns, tokens by kind and costs, by thread, day and model.

A commit adds to rows of its own thread only, and a thread's slices follow one another, so that no two
commits meet in one. What a deleted thread has used stays, without saying whose it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from infinity._core import Delta
from infinity.abc import UsageRow

from .connections import Connection
from .sql import text

__all__ = ["add", "fold", "page"]

_DAY = 86_400_000
_SUMS = ("turns", "input", "output", "cache_read", "cache_write", "cost")
_ADD = f"""ON CONFLICT (thread, day, model) DO UPDATE SET {", ".join(f"{each} = usage.{each} + excluded.{each}" for each in _SUMS)}"""
_BY = {
    "day": "u.day",
    "model": "u.model",
    "root": "t.root",
    "thread": "t.id",
}


async def add(connection: Connection, delta: Delta) -> None:
    """What the turns of a commit have used.

    Args:
        connection: within its transaction.
        delta: of one thread.
    """
    day = delta.updated_at // _DAY
    rows = [(text(model), turns, *tokens, cost) for model, turns, tokens, cost in delta.used]
    sql = f"""INSERT INTO usage (thread, day, model, {", ".join(_SUMS)})
              SELECT $1, $2, * FROM unnest($3::text[], {", ".join(f"${number}::bigint[]" for number in range(4, 10))}) {_ADD}"""
    await connection.execute(sql, delta.thread, day, *map(list, zip(*rows, strict=True)))


async def fold(connection: Connection, root: str, most: int) -> bool:
    """Before the threads of a tree are deleted for good: their sums go to nobody's.

    Args:
        connection: within a transaction.
        root: the id of the root thread.
        most: rows of one transaction.

    Returns:
        True if there were as many as that, and so may be more.
    """
    sql = f"""DELETE FROM usage WHERE (thread, day, model) IN (
                SELECT thread, day, model FROM usage WHERE thread IN (SELECT id FROM threads WHERE root = $1) LIMIT $2)
              RETURNING day, model, {", ".join(_SUMS)}"""
    rows = await connection.fetch(sql, root, most)
    sums: dict[tuple[int, str], list[int]] = {}
    for day, model, *figures in rows:
        found = sums.setdefault((day, model), [0] * len(figures))
        sums[day, model] = [a + b for a, b in zip(found, figures, strict=True)]
    if sums:
        columns = [[*key, *figures] for key, figures in sums.items()]
        kinds = ", ".join(f"${number}::bigint[]" for number in range(3, 9))
        sql = f"""INSERT INTO usage (thread, day, model, {", ".join(_SUMS)})
                  SELECT '', * FROM unnest($1::bigint[], $2::text[], {kinds}) {_ADD}"""
        await connection.execute(sql, *map(list, zip(*columns, strict=True)))
    return len(rows) == most


async def page(
    connection: Connection,
    since: int,
    until: int,
    by: Sequence[str],
    root: str | None,
    after: int,
    limit: int,
) -> list[UsageRow]:
    """Sums by what is asked for; see ``abc.Store.usage``.

    Args:
        connection: for one look.
        since: the first day.
        until: the last day.
        by: ``day``, ``model``, ``root``, ``thread``.
        root: of this tree only.
        after: how many rows to leave out.
        limit: the most rows.
    """
    columns = ", ".join(_BY[name] if name in by else "NULL" for name in _BY)
    order = ", ".join(_BY[name] for name in _BY if name in by)
    sums = ", ".join(f"sum(u.{each})::bigint" for each in _SUMS)
    tree = "" if root is None else "AND t.root = $5"
    grouped = f"GROUP BY {order} ORDER BY {order}" if order else "HAVING count(*) > 0"
    sql = f"""SELECT {columns}, {sums} FROM usage u LEFT JOIN threads t ON t.id = u.thread
              WHERE u.day >= $1 AND u.day <= $2 {tree} {grouped} LIMIT $3 OFFSET $4"""
    values = [since, until, limit, after, *([] if root is None else [text(root)])]
    return [UsageRow(*row) for row in await connection.fetch(sql, *values)]
