"""Choices: a person's answer to a prompt."""

from __future__ import annotations

import msgspec
from aiohttp import web

from infinity.abc import Store
from infinity.errors import BadRequest
from infinity.ids import is_id

from .answers import taken
from .backend import BACKEND
from .body import path_id, read_json
from .failure import Refused

__all__ = ["Selection", "post_choice"]


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """``selected``: index of the choice; null dismisses the prompt, which stands for its default."""

    selected: int | None
    user_id: str | None = None


async def post_choice(request: web.Request) -> web.Response:
    thread, choice = path_id(request), path_id(request, "choice_id")
    selection = await read_json(request, Selection)
    if selection.user_id is not None and not is_id(selection.user_id):
        raise BadRequest("'user_id' must be 1 to 128 of letters, digits and _.:@+-")
    backend = request.app[BACKEND]
    try:
        outcome = await backend.runtime.choose(thread, choice, selection.selected, user_id=selection.user_id)
    except BadRequest:
        if not await _is_over(backend.store, thread, choice):
            raise
        raise Refused(409, "not_pending", f"{choice} of {thread} is not pending any more") from None
    return taken(outcome)


async def _is_over(store: Store, thread: str, choice: str) -> bool:
    """Whether it names a question about a call of this thread (``choice.<call id>``) that waits for nobody: answered, or its call has ended."""
    found = await store.find_call(choice.partition(".")[2])
    if found is None or found[0].thread != thread:
        return False
    return all(prompt.id != choice for prompt in await store.prompts(thread))
