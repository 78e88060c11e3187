"""Every route of the functions, in two tables, and the way from an event to its answer: ``receive`` for tool servers, ``serve`` for clients."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from infinity._core import __version__
from infinity.api.errors import no_method, no_route
from infinity.api.openapi import describe
from infinity.api.requests import (
    Closing,
    Interruption,
    NewMessage,
    NewModel,
    NewThread,
    Nothing,
    Resuming,
    Selection,
)
from infinity.api.responses import Answer, answer
from infinity.api.routes import DELETION, KEYED, PAGED, Route
from infinity.message import Action

from ..effects import collect_effects
from ..function_url import Request, close_event, open_event
from .callbacks import post_callback
from .choices import post_choice
from .controls import close_thread, control, interrupt, resume_all, set_model
from .entries import list_entries
from .events import list_events, list_views
from .failure import failure
from .flushing import flush
from .guard import check_access
from .health import get_health
from .messages import post_message
from .prompts import list_prompts
from .subscriptions import delete_subscription, list_subscriptions
from .threads import create_thread, delete_thread, get_thread, list_threads
from .toolsets import list_toolsets, reload_tools

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["API", "RECEIVER", "receive", "serve"]

logger = logging.getLogger("infinity.api")

Handler = Callable[["Host", Request], Awaitable[Answer]]


async def receive(host: Host, event: Mapping[str, Any]) -> dict[str, Any]:
    """The function whose URL everybody may call: a callback's credential is in its path (CB-5)."""
    return close_event(await _answer(host, event, RECEIVER))


async def serve(host: Host, event: Mapping[str, Any]) -> dict[str, Any]:
    """The function for clients: ``/v1`` needs the token, or IAM."""
    return close_event(await _answer(host, event, API))


async def _answer(host: Host, event: Mapping[str, Any], routes: Sequence[Route[Handler]]) -> Answer:
    """Whatever happens, an answer: a function that fails would be answered for by Lambda, in words of its own."""
    try:
        request = open_event(event)
        found = _find(routes, request.path)
        route = next((route for route, _ in found if route.method == request.method), None)
        if route is None:
            return no_method(route.method for route, _ in found) if found else no_route()
        if route.authenticated:
            check_access(host, request)
        request = replace(request, parameters=found[0][1])
        with collect_effects() as effects:
            try:
                made = await route.handler(host, request)
            finally:
                # A message may be durable already when its request is refused.
                await flush(host, effects)
    except Exception as error:  # noqa: BLE001 the one place where a request's failure becomes its answer
        return failure(error)
    logger.debug("%s %s: %d, %d bytes", route.method, route.path, made.status, len(made.body))
    return made


def _find(routes: Iterable[Route[Handler]], path: str) -> list[tuple[Route[Handler], dict[str, str]]]:
    """The routes of a path, by any method, with what the path holds. A slash within a part is written ``%2F``."""
    parts = path.split("/")
    found = []
    for route in routes:
        pattern = route.path.split("/")
        if len(pattern) == len(parts) and all(
            _fits(one, part) for one, part in zip(pattern, parts, strict=True)
        ):
            held = {
                one[1:-1]: unquote(part) for one, part in zip(pattern, parts, strict=True) if one[:1] == "{"
            }
            found.append((route, held))
    return found


def _fits(pattern: str, part: str) -> bool:
    return bool(part) if pattern[:1] == "{" else pattern == part


async def _get_description(host: Host, request: Request) -> Answer:
    return _description()


@cache
def _description() -> Answer:
    return answer(describe([route for route in API if route.path != "/openapi.json"], __version__))


def _control(action: Action, summary: str) -> Route[Handler]:
    path = f"/v1/threads/{{id}}/{action.value}"
    return Route("POST", path, control(action), summary, Nothing, optional=True, headers=KEYED)


RECEIVER: tuple[Route[Handler], ...] = (
    Route(
        "POST",
        "/callback/{token}",
        post_callback,
        "A tool server's callback; the token in the path is its credential",
    ),
    Route("GET", "/healthz", get_health, "Whether the function works"),
)

API: tuple[Route[Handler], ...] = (
    Route(
        "POST",
        "/v1/threads",
        create_thread,
        "Create a thread",
        NewThread,
        optional=True,
        headers=KEYED,
        created=True,
    ),
    Route(
        "GET",
        "/v1/threads",
        list_threads,
        "List threads, newest activity first",
        query=("root", "parent", "status", *PAGED),
    ),
    Route("GET", "/v1/threads/{id}", get_thread, "A thread and everything it waits for"),
    Route(
        "DELETE",
        "/v1/threads/{id}",
        delete_thread,
        "Delete a conversation for good: a root thread and its whole tree",
        refusals=DELETION,
        later=True,
    ),
    Route(
        "POST",
        "/v1/threads/{id}/messages",
        post_message,
        "Say something to a thread",
        NewMessage,
        headers=KEYED,
    ),
    Route("GET", "/v1/threads/{id}/entries", list_entries, "A thread's own history", query=PAGED),
    Route(
        "GET",
        "/v1/threads/{id}/events",
        list_events,
        "A thread's events, to be polled; resumes by cursor without gap or repeat",
        query=PAGED,
        headers=("Last-Event-ID",),
    ),
    Route("GET", "/v1/threads/{id}/views", list_views, "The latest of each of a thread's views"),
    Route(
        "POST",
        "/v1/threads/{id}/interrupt",
        interrupt,
        "End the running completion and, unless 'calls' is false, cancel open calls",
        Interruption,
        optional=True,
        headers=KEYED,
    ),
    _control(Action.STOP, "Stop the thread until it is resumed or spoken to"),
    _control(Action.RESUME, "Go on after a stop or a problem"),
    _control(Action.COMPACT, "Summarise the history in the background"),
    Route(
        "POST",
        "/v1/resume",
        resume_all,
        "Go on with every thread that rests with a problem",
        Resuming,
        optional=True,
    ),
    Route(
        "POST",
        "/v1/threads/{id}/close",
        close_thread,
        "Close a thread for good",
        Closing,
        optional=True,
        headers=KEYED,
    ),
    Route(
        "POST", "/v1/threads/{id}/model", set_model, "Use another model from now on", NewModel, headers=KEYED
    ),
    Route(
        "POST", "/v1/threads/{id}/choices/{choice_id}", post_choice, "Answer or dismiss a prompt", Selection
    ),
    Route(
        "GET",
        "/v1/prompts",
        list_prompts,
        "What people are asked now, of one thread, of a root's whole tree, or all",
        query=("thread", "root", "limit"),
    ),
    Route(
        "GET",
        "/v1/subscriptions",
        list_subscriptions,
        "Active subscriptions, of one thread or of all",
        query=("thread", "call_id", *PAGED),
    ),
    Route(
        "DELETE",
        "/v1/threads/{id}/subscriptions/{call_id}",
        delete_subscription,
        "End a subscription",
        headers=KEYED,
    ),
    Route(
        "POST",
        "/v1/threads/{id}/tools",
        reload_tools,
        "Fetch the tools of a thread's tree again",
        body=Nothing,
        optional=True,
    ),
    Route("GET", "/v1/toolsets", list_toolsets, "Configured tool servers and their tools"),
    Route("GET", "/healthz", get_health, "Whether the function works"),
    Route("GET", "/openapi.json", _get_description, "This description"),
)
