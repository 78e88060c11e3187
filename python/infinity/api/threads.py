"""Threads: create, list, describe one with everything it waits for (I7)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from infinity._core import CoreError, header_json
from infinity.abc import Accepted, Status, Store, ThreadRow, Usage
from infinity.api.requests import LONGEST_PAGE, PAGE, NewThread, number
from infinity.api.responses import Answer, answer
from infinity.engine.budget import Allowance, allowed_on_top
from infinity.engine.missing import missing
from infinity.engine.outside import waiting_children
from infinity.errors import BadRequest, UnknownThread
from infinity.ids import ID_RULE, is_id

from .outcome import accepted
from .prompts import asked_at, counted, public
from .runs import Runs

__all__ = ["absent", "create", "delete", "describe", "known", "listing", "not_begun"]

_STATUSES = ("idle", "waiting", "stopped", "closed")
_LONGEST_TITLE = 500
_FROM_HEADER = ("model", "context_tokens", "children", "ancestors", "position")


async def create(runtime: Runs, store: Store, new: NewThread, key: str | None) -> Answer:
    """201, or 200 if it is there already: by the client's own id, or by the ``key`` under which it was asked for before."""
    if new.id is not None and not is_id(new.id):
        raise BadRequest(f"'id' must be {ID_RULE}")
    if len(new.title) > _LONGEST_TITLE:
        raise BadRequest(f"'title' is longer than {_LONGEST_TITLE} characters")
    id = new.id or (f"thread_{hashlib.sha256(key.encode()).hexdigest()[:30]}" if key else None)
    if id is not None and (existing := await store.thread(id)) is not None:
        if key is not None and not _is_repeat(existing, new):
            return accepted(Accepted(Status.REUSED))
        return answer(_summary(runtime, existing))
    made = await runtime.create(model=new.model, title=new.title, id=id)
    row = await store.thread(made)
    if row is None:
        raise UnknownThread(
            f"thread {made} was created and is not there; the store is damaged, run 'infinity doctor'"
        )
    return answer(_summary(runtime, row), status=201)._replace(headers={"Location": f"/v1/threads/{made}"})


def _is_repeat(existing: ThreadRow, new: NewThread) -> bool:
    """Whether the thread is what is asked for. Its model is compared while nothing can have changed it."""
    if existing.title != new.title:
        return False
    if new.model is None or existing.version > 1:
        return True
    return bool(msgspec.json.decode(header_json(existing.header))["model"] == new.model)


async def delete(runtime: Runs, id: str) -> Answer:
    """200 when nothing is left of the tree; 410 if it was deleted before; 400 for a child, naming its root; 503 while something is still to be removed, which goes on by itself."""
    stone = await runtime.delete(id)
    return answer({"id": stone.id, "deleted_at": stone.at})


async def listing(runtime: Runs, store: Store, query: Mapping[str, str]) -> Answer:
    """Newest activity first; ``next`` is the cursor for ``after``, null at the end; ``prompts``: open questions, at a root those of its whole tree;
    ``out_of_service``: why nothing happens here in the thread's tree, null while it is in service; ``child_waits``: at a root, the problem of a thread of its tree that
    waits for the end of a cause outside."""
    limit = number(query, "limit", PAGE, least=1, most=LONGEST_PAGE)
    status = query.get("status")
    if status is not None and status not in _STATUSES:
        raise BadRequest(f"'status' must be one of {', '.join(_STATUSES)}")
    after = query.get("after", "")
    if after and not _is_cursor(after):
        raise BadRequest("'after' must be the 'next' of an earlier answer")
    rows = await store.threads(
        root=query.get("root"), parent=query.get("parent"), status=status, after=after, limit=limit
    )
    cursor = f"{rows[-1].updated_at}:{rows[-1].id}" if len(rows) == limit else None
    asked = await counted(store, rows)
    notes = await store.out_of_service(list(dict.fromkeys(row.root for row in rows)))
    waiting = await asyncio.gather(*(_child_waits(store, row) for row in rows))
    listed = [
        {
            **_summary(runtime, row),
            "prompts": count,
            "out_of_service": absent(row.root, notes.get(row.root)),
            "child_waits": child,
        }
        for row, count, child in zip(rows, asked, waiting, strict=True)
    ]
    return answer({"threads": listed, "next": cursor})


async def known(store: Store, id: str) -> ThreadRow:
    row = await store.thread(id)
    if row is None:
        raise await missing(store, id)
    return row


async def describe(
    runtime: Runs, store: Store, row: ThreadRow, explanation: Any, out_of_service: str | None
) -> Answer:
    """The thread, what it waits for, its open prompts (at a root those of its whole tree), and ``cursor``: where its event stream ends now."""
    header = msgspec.json.decode(header_json(row.header))
    return answer(
        {
            **_summary(runtime, row),
            **{name: header[name] for name in _FROM_HEADER if name in header},
            "usage": Usage(*header["usage"]),
            "cursor": header["feed"] - 1,
            "explanation": explanation,
            "prompts": [public(prompt) for prompt in await asked_at(store, row)],
            **await _spending(runtime, store, row.root),
            "out_of_service": out_of_service,
        }
    )


async def not_begun(runtime: Runs, store: Store, id: str, explanation: Any) -> Answer:
    """A root whose first slice fails, so that nothing of it is on record: ``version`` and its times are 0, and ``cursor`` is before the first event."""
    return answer(
        {
            "id": id,
            "root": id,
            "parent": None,
            "status": "waiting",
            "title": "",
            "problem": None,
            "version": 0,
            "created_at": 0,
            "updated_at": 0,
            "model": None,
            "usage": Usage(),
            "cursor": -1,
            "explanation": explanation,
            "prompts": [],
            **await _spending(runtime, store, id),
            "out_of_service": None,
        }
    )


async def _child_waits(store: Store, row: ThreadRow) -> str | None:
    found = await waiting_children(store, row.root) if row.parent is None else []
    return f"{found[0].thread}: {found[0].problem}" if found else None


def absent(root: str, note: str | None) -> str | None:
    """Why a tree is out of service, in words; ``None`` while it is not."""
    return None if note is None else f"conversation {root} is out of service here: {note}"


def _summary(runtime: Runs, row: ThreadRow) -> dict[str, Any]:
    """``status`` is never ``idle`` while a slice runs, fails or is about to run; ``damaged`` where the thread's record cannot be read, or entries of
    it are known to be damaged."""
    try:
        problem = msgspec.json.decode(header_json(row.header))["problem"]
        status = "waiting" if row.status == "idle" and runtime.busy(row.id) else row.status
        if (damage := runtime.damage.get(row.id)) is not None:
            problem, status = f"damaged: {damage}", "damaged"
    except CoreError as error:
        problem, status = f"damaged: {error.args[1]}", "damaged"
    return {
        "id": row.id,
        "root": row.root,
        "parent": row.parent,
        "status": status,
        "title": row.title,
        "problem": problem,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


async def _spending(runtime: Runs, store: Store, root: str) -> dict[str, Any]:
    """Of the whole tree, and what it may spend, with what resuming has allowed on top; 0: no limit."""
    tokens, microdollars = await store.spent(root)
    limits = runtime.settings.limits
    limited = limits.tree_tokens or limits.tree_dollars
    on_top = await allowed_on_top(store, root) if limited else Allowance()
    return {
        "spent": {"tokens": tokens, "dollars": microdollars / 1_000_000},
        "budget": {
            "tokens": limits.tree_tokens and limits.tree_tokens + on_top.tokens,
            "dollars": limits.tree_dollars and limits.tree_dollars + on_top.microdollars / 1_000_000,
        },
    }


def _is_cursor(text: str) -> bool:
    updated_at, _, id = text.partition(":")
    return updated_at.isascii() and updated_at.isdigit() and len(updated_at) <= 18 and is_id(id)
