"""Threads: create, list, describe one with everything it waits for (I7), delete.

A listing shows a thread whose record cannot be read as ``damaged`` and goes on with the next. It must not fail because of one row, and must not leave the row out (I8).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from infinity.abc import Accepted, Models, Status, Store, ThreadRow, Usage, read_header
from infinity.engine.budget import Allowance, allowed_on_top
from infinity.engine.memo import noted
from infinity.engine.missing import missing
from infinity.engine.outside import waiting_children
from infinity.errors import BadRequest, ConfigError, DamagedStore, NewerStore, ThreadDeleted, UnknownThread
from infinity.explanation import Explanation, Reason
from infinity.ids import ID_RULE, is_id

from .backend import Backend, Runs
from .errors import Refused, accepted
from .finding import find
from .prompts import asked_at, counted, public, words
from .requests import LONGEST_TITLE, NewThread, Request
from .responses import Amount, DescribedThread, ListedThread, Response, Thread, Threads, respond

__all__ = [
    "absent",
    "check_model",
    "create_thread",
    "delete_thread",
    "get_thread",
    "known",
    "list_threads",
    "listed",
    "summary",
]


async def create_thread(backend: Backend, request: Request) -> Response:
    """201, or 200 if it is there already: by the client's own id, or by the key under which it was asked for before."""
    new = await request.json(NewThread, optional=True)
    key = request.key()
    runtime, store = backend.runtime, backend.store
    if new.id is not None and not is_id(new.id):
        raise BadRequest(f"'id' must be {ID_RULE}")
    if len(new.title) > LONGEST_TITLE:
        raise BadRequest(f"'title' is longer than {LONGEST_TITLE} characters")
    thread_id = new.id or (f"thread_{hashlib.sha256(key.encode()).hexdigest()[:30]}" if key else None)
    if thread_id is not None and (existing := await store.thread(thread_id)) is not None:
        if key is not None and not _is_repeat(existing, new):
            return accepted(Accepted(Status.REUSED))
        return respond(summary(runtime, existing))
    if new.model is not None:
        check_model(runtime.models, new.model)
    made = await runtime.create(model=new.model, title=new.title, id=thread_id)
    row = await store.thread(made)
    if row is None:
        raise UnknownThread(
            f"thread {made} was created and is not there; the store is damaged, run 'infinity doctor'"
        )
    return respond(summary(runtime, row), status=201, headers={"Location": f"/v1/threads/{made}"})


def check_model(models: Models, name: str) -> None:
    """``Refused`` (400) if there is no such model: a name is the client's, other settings are not."""
    try:
        models.resolve(name)
    except ConfigError as error:
        raise Refused(400, error.code, str(error)) from None


def _is_repeat(existing: ThreadRow, new: NewThread) -> bool:
    """Whether the thread is what is asked for. Its model is compared while nothing can have changed it."""
    if existing.title != new.title:
        return False
    if new.model is None or existing.version > 1:
        return True
    return read_header(existing).model == new.model


async def delete_thread(backend: Backend, request: Request) -> Response:
    """200 when nothing is left of the tree, 202 when it is deleted for everybody and what is left is removed by itself; 410 if it was deleted before; 400 for
    a child, naming its root; 503 while something is still to be removed, which goes on by itself. A client that leaves stops nothing."""
    deleted, done = await backend.delete(request.id())
    return respond(deleted, status=200 if done else 202)


async def list_threads(backend: Backend, request: Request) -> Response:
    """Newest activity first; with ``attention`` those that need a person, the ones that have for longest first. With ``q``, ``model`` or ``state`` a page may
    have fewer threads than ``limit`` before the last one."""
    rows, cursor = await find(backend, request.query)
    return respond(Threads(await listed(backend, rows, explain=request.query.get("explain") == "1"), cursor))


async def listed(backend: Backend, rows: Sequence[ThreadRow], *, explain: bool) -> list[ListedThread]:
    """Rows of the list of threads. ``explain``: with the state and the first reason of each."""
    runtime, store = backend.runtime, backend.store
    asked = await counted(store, rows)
    notes = await store.out_of_service(list(dict.fromkeys(row.root for row in rows)))
    waiting = await asyncio.gather(*(_child_waits(store, row) for row in rows))
    explained = await asyncio.gather(*(_why(backend, row, explain) for row in rows))
    recorded = [_of_record(row) for row in rows]
    costs = await asyncio.gather(
        *(_tree_cost(store, row, "cost" in record) for row, record in zip(rows, recorded, strict=True))
    )
    return [
        ListedThread(
            **msgspec.structs.asdict(summary(runtime, row)),
            prompts=count,
            out_of_service=absent(row.root, notes.get(row.root)),
            child_waits=child,
            **record,
            **cost,
            **why,
        )
        for row, count, child, record, cost, why in zip(
            rows, asked, waiting, recorded, costs, explained, strict=True
        )
    ]


async def _tree_cost(store: Store, row: ThreadRow, readable: bool) -> dict[str, float]:
    """What a conversation has cost in all: its children and the attempts that brought nothing as well."""
    if row.parent is not None or not readable:
        return {}
    return {"tree_cost": (await store.spent(row.root))[1] / 1_000_000}


def _of_record(row: ThreadRow) -> dict[str, Any]:
    """What a thread's header says of it; nothing of one that cannot be read."""
    try:
        header = read_header(row)
        face = noted(header).face
    except (DamagedStore, NewerStore, msgspec.DecodeError):
        return {}
    found = {
        "model": header.model,
        "usage": Usage(*header.usage),
        "cost": header.cost / 1_000_000,
        "context_tokens": header.context_tokens,
        "children": header.children,
        "cursor": header.feed - 1,
        "opening": face.opening,
    }
    last = words(face)
    return found | ({"last": last} if last is not None else {})


async def _why(backend: Backend, row: ThreadRow, wanted: bool) -> dict[str, Any]:
    """The state and the first reason of its explanation, which is the authority for both."""
    if not wanted:
        return {}
    try:
        found = await backend.explain(row.id)
    except (DamagedStore, NewerStore, UnknownThread):
        return {}
    reasons = found.reasons
    return {"state": found.state, "reason": reasons[0] if reasons else None, "more": max(0, len(reasons) - 1)}


async def known(store: Store, thread_id: str) -> ThreadRow:
    row = await store.thread(thread_id)
    if row is None:
        raise await missing(store, thread_id)
    return row


async def get_thread(backend: Backend, request: Request) -> Response:
    """The thread and everything it waits for."""
    thread_id, store = request.id(), backend.store
    row = await store.thread(thread_id)
    if row is None:
        return respond(await _not_begun(backend, thread_id))
    header = read_header(row)
    spent, budget = await _spending(backend.runtime, store, row.root)
    return respond(
        DescribedThread(
            **msgspec.structs.asdict(summary(backend.runtime, row)),
            model=header.model,
            context_tokens=header.context_tokens,
            children=header.children,
            ancestors=header.ancestors,
            position=header.position,
            opening=noted(header).face.opening,
            usage=Usage(*header.usage),
            cursor=header.feed - 1,
            explanation=await backend.explain(thread_id),
            prompts=[public(prompt) for prompt in await asked_at(store, row)],
            spent=spent,
            budget=budget,
            out_of_service=await backend.out_of_service(row),
        )
    )


async def _not_begun(backend: Backend, thread_id: str) -> DescribedThread:
    """A root whose first slice fails, so that nothing of it is on record: ``version`` and its times are 0, and ``cursor`` is before the first event."""
    nothing = await missing(backend.store, thread_id)
    why = None if isinstance(nothing, ThreadDeleted) else await backend.failing_from_the_start(thread_id)
    if why is None:
        raise nothing
    spent, budget = await _spending(backend.runtime, backend.store, thread_id)
    return DescribedThread(
        id=thread_id,
        root=thread_id,
        parent=None,
        status="waiting",
        title="",
        problem=None,
        version=0,
        created_at=0,
        updated_at=0,
        model=None,
        opening="",
        usage=Usage(),
        cursor=-1,
        explanation=Explanation(
            thread_id, "waiting", [Reason("failing", f"its first slice failed and is tried again: {why}")]
        ),
        prompts=[],
        spent=spent,
        budget=budget,
        out_of_service=None,
    )


async def _child_waits(store: Store, row: ThreadRow) -> str | None:
    found = await waiting_children(store, row.root) if row.parent is None else []
    return f"{found[0].thread}: {found[0].problem}" if found else None


def absent(root: str, note: str | None) -> str | None:
    """Why a tree is out of service, in words; ``None`` while it is not."""
    return None if note is None else f"conversation {root} is out of service here: {note}"


def summary(runtime: Runs, row: ThreadRow) -> Thread:
    """``status`` is never ``idle`` while a slice runs, fails or is about to run; ``damaged`` where the thread's record cannot be read, or entries of
    it are known to be damaged."""
    try:
        problem = read_header(row).problem
        status = "waiting" if row.status == "idle" and runtime.busy(row.id) else row.status
        if (damage := runtime.damage.get(row.id)) is not None:
            problem, status = f"damaged: {damage}", "damaged"
    except (DamagedStore, NewerStore) as error:
        problem, status = f"damaged: {error}", "damaged"
    return Thread(
        id=row.id,
        root=row.root,
        parent=row.parent,
        status=status,
        title=row.title,
        problem=problem,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def _spending(runtime: Runs, store: Store, root: str) -> tuple[Amount, Amount]:
    """Of the whole tree: what it has spent, and what it may spend, with what resuming has allowed on top; 0: no limit."""
    tokens, microdollars = await store.spent(root)
    limits = runtime.settings.limits
    limited = limits.tree_tokens or limits.tree_dollars
    on_top = await allowed_on_top(store, root) if limited else Allowance()
    budget = Amount(
        limits.tree_tokens and limits.tree_tokens + on_top.tokens,
        limits.tree_dollars and limits.tree_dollars + on_top.microdollars / 1_000_000,
    )
    return Amount(tokens, microdollars / 1_000_000), budget
