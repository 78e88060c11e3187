"""Prompts: what people are asked now, over all threads or in one tree (CHO-4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from infinity.abc import PromptRow, Store, ThreadRow

from .backend import Backend
from .errors import Refused
from .requests import Request, page_size, path_id
from .responses import Prompt, Prompts, Response, respond

__all__ = ["asked_at", "counted", "list_prompts", "public"]


async def list_prompts(backend: Backend, request: Request) -> Response:
    """Of one thread (``thread``), of the whole tree of a root (``root``), or all."""
    store, query = backend.store, request.query
    limit = page_size(query)
    thread, root = query.get("thread"), query.get("root")
    if thread is not None and root is not None:
        raise Refused(400, "bad_request", "give 'thread' or 'root', not both")
    rows = await store.prompts(
        path_id(thread) if thread is not None else None, root=path_id(root) if root is not None else None
    )
    shown = rows[:limit]
    threads = sorted({row.thread for row in shown})
    found = await asyncio.gather(*(store.thread(each) for each in threads))
    roots = {row.id: row.root for row in found if row is not None}
    listed = [public(row, root=roots.get(row.thread, row.thread)) for row in shown]
    return respond(Prompts(listed, len(rows) - len(shown)))


def public(row: PromptRow, **more: str) -> Prompt:
    """With the link to follow, which is nowhere else (OAU-1); without the address that the answer goes to, which is ours to call."""
    body = {**msgspec.json.decode(row.body), "id": row.id, "thread": row.thread, "kind": row.kind, **more}
    return msgspec.convert(body, Prompt)


async def asked_at(store: Store, row: ThreadRow) -> list[PromptRow]:
    """What is asked at this thread: its own questions first; at a root those of the whole tree as well."""
    if row.parent is not None:
        return await store.prompts(row.id)
    rows = await store.prompts(root=row.id)
    return sorted(rows, key=lambda prompt: prompt.thread != row.id)


async def counted(store: Store, rows: Sequence[ThreadRow]) -> list[int]:
    """How many questions are open at each of these threads, in order."""
    if not rows or not await store.prompts():
        return [0] * len(rows)
    return [len(prompts) for prompts in await asyncio.gather(*(asked_at(store, row) for row in rows))]
