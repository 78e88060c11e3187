"""Choices: a person's answer to a prompt."""

from __future__ import annotations

from aiohttp import web

from infinity.api import choices
from infinity.api.requests import Selection, check_selection

from .answers import respond
from .backend import BACKEND
from .body import path_id, read_json

__all__ = ["post_choice"]


async def post_choice(request: web.Request) -> web.Response:
    thread, choice = path_id(request), path_id(request, "choice_id")
    selection = await read_json(request, Selection)
    check_selection(selection)
    backend = request.app[BACKEND]
    return respond(await choices.choose(backend.runtime, backend.store, thread, choice, selection))
