"""Every route of the daemon, in one table: what is served and what ``/openapi.json`` describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

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
from infinity.api.routes import DELETION, KEYED, PAGED, Route
from infinity.message import Action

from .callbacks import post_callback
from .choices import post_choice
from .controls import close_thread, control, interrupt, resume_all, set_model
from .entries import list_entries
from .events import stream_events
from .examination import get_examination, get_models
from .health import get_health, get_metrics
from .messages import post_message
from .moving import (
    Export,
    Migration,
    export_thread,
    forget_import,
    import_file,
    migrate_thread,
    put_import,
    start_import,
    undo_export,
)
from .prompts import list_prompts
from .subscriptions import delete_subscription, list_subscriptions
from .threads import create_thread, delete_thread, get_thread, list_threads
from .toolsets import list_toolsets, reload_tools

__all__ = ["ROUTES"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _control(action: Action, summary: str) -> Route[Handler]:
    path = f"/v1/threads/{{id}}/{action.value}"
    return Route("POST", path, control(action), summary, Nothing, optional=True, headers=KEYED)


ROUTES: tuple[Route[Handler], ...] = (
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
        stream_events,
        "A thread's event stream; resumes by cursor without gap or repeat",
        query=("after",),
        headers=("Last-Event-ID",),
        produces="text/event-stream",
    ),
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
        "POST", "/v1/threads/{id}/migrate", migrate_thread, "Move a conversation to another daemon", Migration
    ),
    Route(
        "POST",
        "/v1/threads/{id}/export",
        export_thread,
        "A conversation as a file; it leaves service here unless 'keep' is set",
        Export,
        optional=True,
        produces="application/octet-stream",
    ),
    Route(
        "DELETE", "/v1/threads/{id}/export", undo_export, "Take an exported conversation back into service"
    ),
    Route("POST", "/v1/imports", import_file, "Take in an exported conversation", uploads=True, created=True),
    Route(
        "PUT",
        "/v1/imports/{id}",
        put_import,
        "Take in a conversation that moves here; it rests until it is started",
        uploads=True,
        created=True,
    ),
    Route(
        "POST", "/v1/imports/{id}/start", start_import, "Put a conversation that has moved here into service"
    ),
    Route("DELETE", "/v1/imports/{id}", forget_import, "Forget a conversation that was not started here"),
    Route(
        "POST",
        "/v1/threads/{id}/tools",
        reload_tools,
        "Fetch the tools of a thread's tree again",
        body=Nothing,
        optional=True,
    ),
    Route("GET", "/v1/toolsets", list_toolsets, "Configured tool servers and their tools"),
    Route(
        "POST",
        "/callback/{token}",
        post_callback,
        "A tool server's callback; the token in the path is its credential",
    ),
    Route(
        "GET", "/v1/examination", get_examination, "Everything that somebody may have to do something about"
    ),
    Route("GET", "/v1/models", get_models, "The default model and whether it can be used"),
    Route("GET", "/healthz", get_health, "Whether the daemon works"),
    Route("GET", "/metrics", get_metrics, "Counters and gauges for Prometheus", produces="text/plain"),
)
