"""Choices: a person's answer to a prompt."""

from __future__ import annotations

import msgspec
from aiohttp import web

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
        if any(prompt.id == choice for prompt in await backend.store.prompts(thread)):
            raise
        text = f"no prompt {choice} is pending in {thread}; it may have been answered already"
        raise Refused(409, "not_pending", text) from None
    return taken(outcome)
