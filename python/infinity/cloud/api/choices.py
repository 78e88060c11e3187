"""Choices: a person's answer to a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api import choices
from infinity.api.requests import Selection, check_selection
from infinity.api.responses import Answer
from infinity.cloud.function_url import Request

from .body import path_id, read_json

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["post_choice"]


async def post_choice(host: Host, request: Request) -> Answer:
    thread, choice = path_id(request), path_id(request, "choice_id")
    selection = read_json(host, request, Selection)
    check_selection(selection)
    return await choices.choose(host.runtime, host.store, thread, choice, selection)
