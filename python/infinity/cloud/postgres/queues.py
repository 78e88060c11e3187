"""What waits: messages, outgoing rows, timers, prompts. Read in full by a start, without reading any thread (L15). What a retired tree has
queued rests: it is not taken up here.
"""

from __future__ import annotations

from infinity._core import Message
from infinity.abc import OutboxRow, PromptRow, TimerRow

from .connections import Connection
from .timers import SERVED
from .words import text

__all__ = ["inbox", "outbox", "prompts", "timers"]

_PAGE = 2_000


async def inbox(connection: Connection, after: int) -> list[Message]:
    sql = f"SELECT seq, thread, id, kind, body, accepted_at FROM inbox WHERE seq > $1 AND {SERVED} ORDER BY seq LIMIT $2"
    return [
        Message(thread, id.decode(), kind, body, seq=seq, accepted_at=accepted_at)
        for seq, thread, id, kind, body, accepted_at in await connection.fetch(sql, after, _PAGE)
    ]


async def outbox(connection: Connection, after: str) -> list[OutboxRow]:
    sql = f"""SELECT key, kind, target, body, call, thread, attempts, due_at FROM outbox WHERE key > $1 AND {SERVED}
              ORDER BY key LIMIT $2"""
    return [OutboxRow(*row) for row in await connection.fetch(sql, after, _PAGE)]


async def timers(connection: Connection, thread: str | None) -> list[TimerRow]:
    """Earliest first."""
    condition, values = _of(thread)
    sql = f"SELECT id, thread, due_at, kind, body FROM timers {condition} ORDER BY due_at, thread, id"
    return [TimerRow(*row) for row in await connection.fetch(sql, *values)]


async def prompts(connection: Connection, thread: str | None) -> list[PromptRow]:
    condition, values = _of(thread)
    sql = f"SELECT id, thread, kind, body FROM prompts {condition} ORDER BY thread, id"
    return [PromptRow(*row) for row in await connection.fetch(sql, *values)]


def _of(thread: str | None) -> tuple[str, list[str]]:
    return ("", []) if thread is None else ("WHERE thread = $1", [text(thread)])
