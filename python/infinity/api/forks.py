"""Forks: what would have come of another model or other words, from a point of a thread on."""

from __future__ import annotations

import hashlib

from infinity.abc import FORK, Accepted, Status
from infinity.errors import BadRequest, UnknownThread

from .backend import Backend
from .errors import accepted
from .requests import NewFork, Request
from .responses import Response, respond
from .threads import check_model, summary

__all__ = ["fork_thread"]


async def fork_thread(backend: Backend, request: Request) -> Response:
    """201, or 200 if the key made it before; 409 where no fork can begin. What it is told first is a message of its own: a request that fails there is repeated
    with its key."""
    thread, key = request.id(), request.key()
    new = await request.json(NewFork)
    if new.say is not None and (not new.say or (isinstance(new.say, str) and not new.say.strip())):
        raise BadRequest("'say' is empty")
    user = request.acting(new.user_id)
    if new.model is not None:
        check_model(backend.runtime.models, new.model)
    made = f"{FORK}_{hashlib.sha256(f'{thread} {key}'.encode()).hexdigest()[:30]}" if key else None
    there = await backend.store.thread(made) if made is not None else None
    if there is not None and there.title != new.title:
        return accepted(Accepted(Status.REUSED))
    if there is None:
        made = await backend.runtime.fork(
            thread, new.at, model=new.model, title=new.title, tools=new.tools, id=made
        )
    assert made is not None
    if new.say is not None:
        said = await backend.runtime.send(made, new.say, key=f"fork.{made}", user_id=user)
        if said.status not in (Status.ACCEPTED, Status.DUPLICATE):
            return accepted(said)
    row = await backend.store.thread(made)
    if row is None:
        raise UnknownThread(f"thread {made} not found")
    status = 201 if there is None else 200
    return respond(summary(backend.runtime, row), status=status, headers={"Location": f"/v1/threads/{made}"})
