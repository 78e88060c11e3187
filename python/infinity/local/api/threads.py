"""Threads: create, list, look at one with everything it waits for (I7)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from aiohttp import web

from infinity._core import header_json
from infinity.abc import PromptRow, ThreadRow
from infinity.errors import BadRequest, UnknownThread
from infinity.ids import is_id

from .answers import answer
from .backend import BACKEND, Backend
from .body import PAGE, idempotency_key, number, path_id, read_json

__all__ = ["NewThread", "create_thread", "get_thread", "list_threads"]

_STATUSES = ("idle", "waiting", "stopped", "closed")
_LONGEST_TITLE = 500


class NewThread(msgspec.Struct, forbid_unknown_fields=True):
    """``model``: a configured name; ``id``: the client's own; creating it again is harmless."""

    model: str | None = None
    title: str = ""
    id: str | None = None


async def create_thread(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    new = await read_json(request, NewThread, optional=True)
    key = idempotency_key(request)
    if new.id is not None and not is_id(new.id):
        raise BadRequest("'id' must be 1 to 128 of letters, digits and _.:@+-")
    if len(new.title) > _LONGEST_TITLE:
        raise BadRequest(f"'title' is longer than {_LONGEST_TITLE} characters")
    id = new.id or (f"thread_{hashlib.sha256(key.encode()).hexdigest()[:30]}" if key else None)
    if id is not None and (existing := await backend.store.thread(id)) is not None:
        return answer(_summary(existing))
    made = await backend.runtime.create(model=new.model, title=new.title, id=id)
    row = await backend.store.thread(made)
    if row is None:
        raise UnknownThread(
            f"thread {made} was created and is not there; the store is damaged, run 'infinity doctor'"
        )
    response = answer(_summary(row), status=201)
    response.headers["Location"] = f"/v1/threads/{made}"
    return response


async def list_threads(request: web.Request) -> web.Response:
    """Newest activity first; ``next`` is the cursor for ``after``, null at the end."""
    query = request.query
    limit = number(request, "limit", PAGE, least=1, most=1000)
    status = query.get("status")
    if status is not None and status not in _STATUSES:
        raise BadRequest(f"'status' must be one of {', '.join(_STATUSES)}")
    after = query.get("after", "")
    if after and not _is_cursor(after):
        raise BadRequest("'after' must be the 'next' of an earlier answer")
    rows = await request.app[BACKEND].store.threads(
        root=query.get("root"), parent=query.get("parent"), status=status, after=after, limit=limit
    )
    cursor = f"{rows[-1].updated_at}:{rows[-1].id}" if len(rows) == limit else None
    return answer({"threads": [_summary(row) for row in rows], "next": cursor})


async def get_thread(request: web.Request) -> web.Response:
    """The thread, what it waits for, its open prompts, and ``cursor``: where its event stream ends now."""
    backend = request.app[BACKEND]
    id = path_id(request)
    row = await backend.store.thread(id)
    if row is None:
        raise UnknownThread(f"there is no thread {id}")
    prompts = await backend.store.prompts(id)
    explanation = await backend.runtime.explain(id)
    header = msgspec.json.decode(header_json(row.header))
    return answer(
        {
            **_summary(row),
            **{name: header[name] for name in _FROM_HEADER if name in header},
            "cursor": header["feed"] - 1,
            "explanation": explanation,
            "prompts": [_prompt(prompt) for prompt in prompts],
            **await _spending(backend, row.root),
            "out_of_service": await _out_of_service(backend, id),
        }
    )


_FROM_HEADER = ("model", "usage", "context_tokens", "children", "ancestors", "position")


def _summary(row: ThreadRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "root": row.root,
        "parent": row.parent,
        "status": row.status,
        "title": row.title,
        "problem": msgspec.json.decode(header_json(row.header))["problem"],
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


async def _out_of_service(backend: Backend, thread: str) -> str | None:
    absent = await backend.moves.absent(thread) if backend.moves is not None else None
    return absent.text if absent is not None else None


async def _spending(backend: Backend, root: str) -> dict[str, Any]:
    """Of the whole tree, and what it may spend; 0: no limit."""
    tokens, microdollars = await backend.store.spent(root)
    limits = backend.runtime.settings.limits
    return {
        "spent": {"tokens": tokens, "dollars": microdollars / 1_000_000},
        "budget": {"tokens": limits.tree_tokens, "dollars": limits.tree_dollars},
    }


def _prompt(row: PromptRow) -> dict[str, Any]:
    """With the link to follow, which is nowhere else (OAU-1); without the address that the answer goes to, which is ours to call."""
    body: dict[str, Any] = msgspec.json.decode(row.body)
    return {
        "id": row.id,
        "kind": row.kind,
        **{key: value for key, value in body.items() if key != "response_url"},
    }


def _is_cursor(text: str) -> bool:
    updated_at, _, id = text.partition(":")
    return updated_at.isascii() and updated_at.isdigit() and len(updated_at) <= 18 and is_id(id)
