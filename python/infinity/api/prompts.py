"""Prompts: what people are asked now, over all threads or in one tree (CHO-4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET

from infinity.abc import PromptRow, Store, ThreadRow, read_header
from infinity.engine.memo import Face, noted
from infinity.errors import DamagedStore, NewerStore

from .backend import Backend
from .errors import Refused
from .requests import Request, page_size, path_id
from .responses import Finding, Prompt, Prompts, Response, Words, respond

__all__ = ["asked_at", "counted", "list_prompts", "public", "readable", "words"]

_PAGE = 1_000
"""Threads that need a person, read at once."""


async def list_prompts(backend: Backend, request: Request) -> Response:
    """Of one thread (``thread``), of the whole tree of a root (``root``), or all; the oldest first."""
    store, query = backend.store, request.query
    limit = page_size(query)
    thread, root = query.get("thread"), query.get("root")
    if thread is not None and root is not None:
        raise Refused(400, "bad_request", "give 'thread' or 'root', not both")
    if thread is not None:
        rows, damaged = await store.prompts(path_id(thread)), list[Finding]()
    else:
        rows, damaged = await readable(store, path_id(root) if root is not None else None)
    shown = sorted(rows, key=_since)[:limit]
    named = await _threads_of(store, shown)
    listed = await asyncio.gather(*(_with_context(store, row, named) for row in shown))
    return respond(Prompts(list(listed), len(rows) - len(shown), damaged or UNSET))


async def readable(store: Store, root: str | None = None) -> tuple[list[PromptRow], list[Finding]]:
    """Questions of all threads, or of a tree, and the threads whose questions cannot be read: those hide no other question (L16)."""
    try:
        return await store.prompts(root=root), []
    except DamagedStore:
        found: list[PromptRow] = []
        damaged: list[Finding] = []
    after = None
    while rows := await store.attention(root=root, after=after, limit=_PAGE):
        after = rows[-1].place
        for thread in [row.thread for row in rows if row.reason == "prompt"]:
            try:
                found += await store.prompts(thread)
            except DamagedStore as error:
                damaged.append(Finding(thread, "damaged", f"its questions cannot be read: {error}"))
    return found, damaged


def _since(row: PromptRow) -> tuple[int, str]:
    """When it was asked; what does not say it is of an early version, and comes first."""
    at = msgspec.json.decode(row.body).get("asked_at")
    return (at if isinstance(at, int) else 0), row.id


async def _threads_of(store: Store, rows: Sequence[PromptRow]) -> dict[str, ThreadRow]:
    """The threads that ask, and their roots."""
    asking = await asyncio.gather(*(store.thread(each) for each in sorted({row.thread for row in rows})))
    found = {row.id: row for row in asking if row is not None}
    missing = sorted({row.root for row in found.values()} - found.keys())
    roots = await asyncio.gather(*(store.thread(each) for each in missing))
    return found | {row.id: row for row in roots if row is not None}


async def _with_context(store: Store, prompt: PromptRow, named: Mapping[str, ThreadRow]) -> Prompt:
    """What a person must know who sees the question and nothing else of its conversation."""
    row = named.get(prompt.thread)
    root = named.get(row.root) if row is not None else None
    more: dict[str, Any] = {"root": row.root if row is not None else prompt.thread}
    if row is not None:
        title, said = _face(row)
        more |= {"title": title, "root_title": _face(root)[0] if root is not None else ""}
        more |= {"said": said} if said is not None else {}
    call_id = prompt.id.partition(".")[2]
    # What is damaged beside a question makes it no less a question.
    with suppress(DamagedStore):
        if (found := await store.find_call(call_id)) is not None:
            more["arguments"] = msgspec.json.decode(found[0].arguments)
    with suppress(DamagedStore):
        if (limit := await _limit(store, prompt, call_id)) is not None:
            more["until"] = limit
    return public(prompt, **more)


def _face(row: ThreadRow) -> tuple[str, Words | None]:
    """Its title, or its first words, and the last ones."""
    try:
        face = noted(read_header(row)).face
    except (DamagedStore, NewerStore):
        return row.title, None
    return row.title or face.opening, words(face)


async def _limit(store: Store, prompt: PromptRow, call_id: str) -> int | None:
    """When the question ends by itself, in ms since the epoch. The runtime's own has no end."""
    if prompt.kind == "consent":
        return None
    timers = await store.timers(prompt.thread)
    return next((timer.due_at for timer in timers if timer.id.split(".")[:2] == ["prompt", call_id]), None)


def words(face: Face) -> Words | None:
    """The last words of a conversation, as responses have them."""
    return Words("person" if face.by_person else "model", face.said, face.at) if face.at else None


def public(row: PromptRow, **more: Any) -> Prompt:
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
    if not rows:
        return []
    try:
        if not await store.prompts():
            return [0] * len(rows)
    except DamagedStore:
        return await asyncio.gather(*(_counted_one_by_one(store, row) for row in rows))
    return [len(prompts) for prompts in await asyncio.gather(*(asked_at(store, row) for row in rows))]


async def _counted_one_by_one(store: Store, row: ThreadRow) -> int:
    """A thread whose questions cannot be read has at least one."""
    try:
        return len(await asked_at(store, row))
    except DamagedStore:
        found, damaged = await readable(store, row.root)
        mine = row.id if row.parent is not None else None
        asking = [*(each.thread for each in found), *(each.thread for each in damaged)]
        return sum(mine in (None, thread) for thread in asking)
