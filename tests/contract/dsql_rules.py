"""Aurora DSQL's manners on a PostgreSQL connection: refuses what it refuses, and lets commits meet other transactions."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]

_REFUSED = re.compile(
    r"""\b(SAVEPOINT|LISTEN|NOTIFY|UNLISTEN|TRUNCATE|TEMP|TEMPORARY|ISOLATION|REFERENCES|TRIGGER|EXCLUDE|EXTENSION|JSONB|SERIAL|
    pg_advisory\w*|FOR\s+(KEY\s+)?SHARE|FOR\s+NO\s+KEY\s+UPDATE|DECLARE|LOCK|VACUUM|CREATE\s+TABLE\s+\w+\s+AS)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_DDL = re.compile(r"\s*(CREATE|ALTER|DROP)\b", re.IGNORECASE)
_CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_INDEX = re.compile(r"\s*CREATE\s+(UNIQUE\s+)?INDEX\b", re.IGNORECASE)
ROWS, BYTES, _VALUE = 3_000, 10 << 20, 1 << 20


class Conflicts:
    """Whether a COMMIT meets another transaction: with a probability, by a seed, and never so often that nobody gets through.

    ``rows``, ``bytes``: of the largest transaction that was committed.
    """

    def __init__(self, probability: float, seed: int = 1, in_a_row: int = 2) -> None:
        self._probability = probability
        self._chance = random.Random(seed)
        self._most = in_a_row
        self._met = 0
        self.count = 0
        self.rows = self.bytes = 0

    def committed(self, rows: int, size: int) -> None:
        self.rows, self.bytes = max(self.rows, rows), max(self.bytes, size)

    def now(self) -> bool:
        met = self._met < self._most and self._chance.random() < self._probability
        self._met = self._met + 1 if met else 0
        self.count += met
        return met


class DsqlConnection:
    """In place of an ``asyncpg.Connection``."""

    def __init__(self, connection: Any, conflicts: Conflicts) -> None:
        self._connection = connection
        self._conflicts = conflicts
        self._rows = self._bytes = 0
        self._defined = False

    async def execute(self, sql: str, *arguments: Any) -> str:
        word = sql.strip().upper()
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            return await self._border(word)
        tag = str(await self._connection.execute(self._checked(sql, arguments), *arguments))
        if _CHANGE.match(sql):
            self._changed(int(tag.rsplit(" ", 1)[1]))
        return tag

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        rows = await self._connection.fetch(self._checked(sql, arguments), *arguments)
        if _CHANGE.match(sql):
            self._changed(len(rows))
        return list(rows)

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        rows = await self.fetch(sql, *arguments)
        return rows[0][0] if rows else None

    def is_closed(self) -> bool:
        return bool(self._connection.is_closed())

    def is_in_transaction(self) -> bool:
        return bool(self._connection.is_in_transaction())

    def terminate(self) -> None:
        self._connection.terminate()

    async def close(self, **how: Any) -> None:
        await self._connection.close(**how)

    async def _border(self, word: str) -> str:
        rows, size, self._rows, self._bytes, self._defined = self._rows, self._bytes, 0, 0, False
        if word == "BEGIN":
            assert not self.is_in_transaction(), "a transaction in a transaction"
        if word == "COMMIT" and rows and self._conflicts.now():
            await self._connection.execute("ROLLBACK")
            raise asyncpg.SerializationError(
                "change conflicts with another transaction, please retry: (OC000)"
            )
        if word == "COMMIT":
            self._conflicts.committed(rows, size)
        return str(await self._connection.execute(word))

    def _checked(self, sql: str, arguments: Sequence[Any]) -> str:
        found = _REFUSED.search(sql)
        if found:
            raise asyncpg.FeatureNotSupportedError(f"unsupported: {found[0]}")
        sizes = [len(value) for value in _bytes(arguments)]
        if max(sizes, default=0) > _VALUE:
            raise asyncpg.ProgramLimitExceededError("column size limit exceeded")
        if self.is_in_transaction():
            self._bytes += sum(sizes)
            if self._bytes > BYTES:
                raise asyncpg.ProgramLimitExceededError("transaction size limit 10mb exceeded")
        return self._definition(sql) if _DDL.match(sql) else sql

    def _definition(self, sql: str) -> str:
        if self.is_in_transaction():
            raise asyncpg.FeatureNotSupportedError("ddl and dml are not supported in the same transaction")
        if "[]" in sql:
            raise asyncpg.FeatureNotSupportedError("datatype array not supported")
        if not _INDEX.match(sql):
            return sql
        if "ASYNC" not in sql or re.search(r"\bWHERE\b", sql) or sql.count("(") > 1:
            raise asyncpg.FeatureNotSupportedError("unsupported mode. please use CREATE INDEX ASYNC")
        return sql.replace(" ASYNC", "")

    def _changed(self, rows: int) -> None:
        self._rows += rows
        if self._rows > ROWS:
            raise asyncpg.ProgramLimitExceededError("transaction row limit exceeded")


def _bytes(arguments: Sequence[Any]) -> list[bytes]:
    found: list[bytes] = []
    for argument in arguments:
        found += [
            each
            for each in (argument if isinstance(argument, list | tuple) else [argument])
            if isinstance(each, bytes)
        ]
    return found
