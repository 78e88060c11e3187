"""Every route of both hosts, in one table: what is served, by whom, and what ``/openapi.json`` says of it.

An adapter serves the routes that name its part and dispatches to their handlers. A route whose handler is a name is an operation that only one host can
perform, in a way of its own (a stream, a file); its adapter brings the function of that name. There must be no second table: ``tests/boundary/test_one_api.py``.
"""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import Struct

from . import responses as shapes
from . import under_way
from .about import get_about
from .backend import Backend, Part
from .callbacks import receive_callback
from .calls import get_call, list_calls
from .entries import get_entry, list_entries
from .events import list_events, list_views
from .examination import get_examination, get_models
from .forks import fork_thread
from .messages import (
    answer_prompt,
    cancel_call,
    close_thread,
    compact_thread,
    interrupt_thread,
    resume_all,
    resume_thread,
    send_message,
    set_model,
    set_title,
    stop_thread,
)
from .openapi import describe
from .prompts import list_prompts
from .requests import (
    Closing,
    Export,
    Interruption,
    Migration,
    NewFork,
    NewMessage,
    NewModel,
    NewThread,
    NewTitle,
    Nothing,
    Request,
    Resuming,
    Selection,
    SignIn,
)
from .responses import Health, Response, respond
from .route import Handler, Refusal, Route
from .shown import get_shown
from .subscriptions import end_subscription, list_subscriptions
from .threads import create_thread, delete_thread, get_thread, list_threads
from .toolsets import get_toolset, list_toolsets, reload_tools
from .usage import list_usage
from .waits import list_discards, list_outbox, list_timers, retry_delivery

__all__ = ["ROUTES", "routes_of"]

BOTH = Part.DAEMON | Part.API
ALL = BOTH | Part.RECEIVER
KEYED = ("Idempotency-Key",)
PAGED = ("after", "limit")
DELETION: tuple[Refusal, ...] = (
    (400, "It is a child thread; the message names its root.", shapes.Error),
    (404, "The thread was not found.", shapes.Error),
    (409, "It is being moved, or has moved.", shapes.Error),
    (410, "It was deleted before, and nothing is left of it.", shapes.Error),
    (
        503,
        "Nothing happened; or it is deleted and not everything of it is removed yet; the removal continues automatically. The message says which.",
        shapes.Error,
    ),
)
CODES = ((409, "The daemon can be reached from other machines, and nothing is encrypted.", shapes.Error),)
SIGNING_IN: tuple[Refusal, ...] = (
    (
        401,
        "There is no such code, or it was used before, which ends the session that it opened.",
        shapes.Error,
    ),
    (429, "More tries than in a minute are allowed.", shapes.Error),
)
NO_FORK = ((409, "No fork can begin there; the message says why.", shapes.Error),)
DAMAGE = ((503, "Entries are damaged; those that can be read are here.", shapes.DamagedEntries),)


async def get_health(backend: Backend, _: Request) -> Response:
    """200 while the store works; else its error as 503."""
    await backend.check()
    return respond(Health("ok", backend.version))


async def get_openapi(backend: Backend, _: Request) -> Response:
    return _description(backend.part, backend.version)


@cache
def _description(part: Part, version: str) -> Response:
    return Response(200, msgspec.json.encode(describe(routes_of(part), version)))


def routes_of(part: Part) -> tuple[Route, ...]:
    """In the order of the table. ``part``: one, or what several of them serve together."""
    return tuple(route for route in ROUTES if part & route.parts)


def _page(path: str) -> Route:
    return Route("GET", path, "get_page", "A page of the console", None, Part.CONSOLE, described=False)


def _control(action: str, handler: Handler, summary: str, body: type[Struct] = Nothing) -> Route:
    path = f"/v1/threads/{{id}}/{action}"
    return Route("POST", path, handler, summary, shapes.Taken, body=body, optional=True, headers=KEYED)


# fmt: off
ROUTES: tuple[Route, ...] = (
    # Threads
    Route("POST", "/v1/threads", create_thread, "Create a thread", shapes.Thread, body=NewThread, optional=True, headers=KEYED,
          status=201, also=((200, "It was there already."),)),
    Route("GET", "/v1/threads", list_threads, "List threads, newest activity first", shapes.Threads,
          query=("root", "parent", "status", "attention", "q", "state", "model", "explain", *PAGED)),
    Route("GET", "/v1/threads/{id}", get_thread, "Describe a thread and everything it waits for", shapes.DescribedThread),
    Route("DELETE", "/v1/threads/{id}", delete_thread, "Delete a conversation for good: a root thread and its whole tree", shapes.Deleted,
          also=((202, "It is deleted for everybody; what is left of it is removed in the background."),), refusals=DELETION),
    # History and events
    Route("GET", "/v1/threads/{id}/entries", list_entries, "List the entries of a thread's own history", shapes.Entries,
          query=("before", "bodies", *PAGED), refusals=DAMAGE),
    Route("GET", "/v1/threads/{id}/entries/{position}", get_entry, "One entry of a thread's own history, whole", shapes.Entry),
    Route("GET", "/v1/threads/{id}/entries/{position}/request", get_shown, "What the model was shown for a turn, rendered again",
          shapes.ShownRequest),
    Route("GET", "/v1/threads/{id}/events", "stream_events", "A thread's event stream; resumes by cursor without gap or repeat", None,
          Part.DAEMON, query=("after",), headers=("Last-Event-ID",), produces="text/event-stream"),
    Route("GET", "/v1/threads/{id}/events", list_events, "A thread's events, to be polled; resumes by cursor without gap or repeat",
          shapes.Events, Part.API, query=PAGED, headers=("Last-Event-ID",)),
    Route("GET", "/v1/events", "stream_all_events", "The events of all conversations in the order of their commits; resumes without gap or repeat", None,
          Part.DAEMON, query=("after", "kinds", "root", "thread", "rows"), headers=("Last-Event-ID",), produces="text/event-stream",
          refusals=((410, "The order is not kept any more that far back; read the lists anew.", shapes.Gone),)),
    Route("GET", "/v1/threads/{id}/views", list_views, "The latest of each of a thread's views", shapes.Views, Part.API),
    Route("GET", "/v1/threads/{id}/calls", list_calls, "What a thread's calls have been doing, oldest first", under_way.CallsDone, query=PAGED),
    Route("GET", "/v1/threads/{id}/calls/{call_id}", get_call, "What one call has been doing", under_way.CallDone),
    # What is said to a thread
    Route("POST", "/v1/threads/{id}/messages", send_message, "Send a message to a thread", shapes.Taken, body=NewMessage, headers=KEYED),
    _control("interrupt", interrupt_thread, "End the running completion and, unless 'calls' is false, cancel open calls", Interruption),
    _control("stop", stop_thread, "Stop the thread until it is resumed or spoken to"),
    _control("resume", resume_thread, "Resume a thread after a stop or a problem"),
    _control("compact", compact_thread, "Summarise the history in the background"),
    _control("close", close_thread, "Close a thread for good", Closing),
    Route("POST", "/v1/threads/{id}/fork", fork_thread, "Go on from an earlier point of a thread another way, in a thread of its own", shapes.Thread,
          body=NewFork, headers=KEYED, status=201, also=((200, "It was there already."),), refusals=NO_FORK),
    Route("POST", "/v1/threads/{id}/model", set_model, "Change the model of a thread", shapes.Taken, body=NewModel, headers=KEYED),
    Route("POST", "/v1/threads/{id}/title", set_title, "Name a thread", shapes.Taken, body=NewTitle, headers=KEYED),
    Route("POST", "/v1/threads/{id}/calls/{call_id}/cancel", cancel_call, "Cancel one open call", shapes.Taken, body=Nothing,
          optional=True, headers=KEYED),
    Route("POST", "/v1/threads/{id}/choices/{choice_id}", answer_prompt, "Answer or dismiss a prompt", shapes.Taken, body=Selection),
    Route("POST", "/v1/resume", resume_all, "Resume every thread that a problem has stopped", shapes.Resumed, body=Resuming,
          optional=True),
    Route("GET", "/v1/prompts", list_prompts, "List open prompts: of one thread, of a root's whole tree, or all", shapes.Prompts,
          query=("thread", "root", "limit")),
    # Tools
    Route("GET", "/v1/subscriptions", list_subscriptions, "List active subscriptions, of one thread or of all", shapes.Subscriptions,
          query=("thread", "call_id", *PAGED)),
    Route("DELETE", "/v1/threads/{id}/subscriptions/{call_id}", end_subscription, "End a subscription", shapes.Taken, headers=KEYED),
    Route("POST", "/v1/threads/{id}/tools", reload_tools, "Fetch the tools of a thread's tree again", shapes.OfferedTools, body=Nothing,
          optional=True),
    Route("GET", "/v1/toolsets", list_toolsets, "List configured tool servers and their tools", shapes.Toolsets),
    Route("GET", "/v1/toolsets/{name}", get_toolset, "One tool server: its tools with their schemas, how it answers, and its open calls",
          shapes.DescribedToolset),
    Route("POST", "/callback/{token}", receive_callback, "A tool server's callback; the token in the path is its credential",
          shapes.Taken, Part.DAEMON | Part.RECEIVER | Part.EMBEDDED),
    # What waits
    Route("GET", "/v1/timers", list_timers, "Timers of all threads, the earliest first", under_way.Timers, query=PAGED),
    Route("GET", "/v1/outbox", list_outbox, "What has not left yet, by its next try", under_way.Deliveries, query=PAGED),
    Route("POST", "/v1/outbox/{key}/retry", retry_delivery, "Try a delivery now that rests until its next try", under_way.Retried, Part.DAEMON,
          body=Nothing, optional=True, headers=KEYED),
    Route("GET", "/v1/discards", list_discards, "Messages that came to nothing, newest first", under_way.Discards, query=PAGED),
    # Moving between daemons
    Route("POST", "/v1/threads/{id}/migrate", "migrate_thread", "Move a conversation to another daemon", shapes.Moved, Part.DAEMON,
          body=Migration),
    Route("POST", "/v1/threads/{id}/export", "export_thread", "A conversation as a file; it leaves service here unless 'keep' is set",
          None, Part.DAEMON, body=Export, optional=True, produces="application/octet-stream"),
    Route("DELETE", "/v1/threads/{id}/export", "undo_export", "Take an exported conversation back into service", shapes.InService,
          Part.DAEMON),
    Route("POST", "/v1/imports", "import_file", "Take in an exported conversation", shapes.ImportedTree, Part.DAEMON, uploads=True,
          status=201),
    Route("PUT", "/v1/imports/{id}", "put_import", "Take in a conversation that moves here; it rests until it is started", shapes.Resting,
          Part.DAEMON, uploads=True, status=201),
    Route("POST", "/v1/imports/{id}/start", "start_import", "Put a conversation that has moved here into service", shapes.InService,
          Part.DAEMON),
    Route("DELETE", "/v1/imports/{id}", "forget_import", "Forget a conversation that was not started here", shapes.InService,
          Part.DAEMON),
    # Diagnosis
    Route("GET", "/v1/usage", list_usage, "Sum what turns have used: tokens by kind and dollars, by day, model, conversation or thread", shapes.UsedInAll,
          query=("from", "to", "by", "root", *PAGED)),
    Route("GET", "/v1/examination", get_examination, "Examine everything that is stored: problems that need attention", shapes.Examination,
          Part.DAEMON),
    Route("GET", "/v1/about", get_about, "The host: its version, models, policy and limits", shapes.About),
    Route("GET", "/v1/models", get_models, "Show the default model and whether it can be used", shapes.ModelState, Part.DAEMON),
    Route("GET", "/healthz", get_health, "Check that the host works", Health, ALL),
    Route("GET", "/metrics", "get_metrics", "Counters and gauges for Prometheus", None, Part.DAEMON, produces="text/plain"),
    Route("GET", "/openapi.json", get_openapi, "This document", None),
    # The console
    Route("POST", "/v1/console/codes", "make_code", "Make a code with which one page of the console signs in; needs the token",
          shapes.ConsoleCode, Part.CONSOLE, body=Nothing, optional=True, status=201, refusals=CODES),
    Route("POST", "/v1/console/session", "sign_in", "Sign in a page of the console", shapes.ConsoleSession, Part.CONSOLE, body=SignIn,
          refusals=SIGNING_IN, lets_in=True),
    Route("DELETE", "/v1/console/session", "sign_out", "End the session of this page; with the token, every session", shapes.SignedOut,
          Part.CONSOLE),
    *map(_page, ("/", "/t/{id}", "/inbox", "/costs", "/tools", "/waits", "/compare/{a}/{b}")),
    Route("GET", "/assets/{digest}/{name:.+}", "get_asset", "A file of the console", None, Part.CONSOLE, described=False),
)
# fmt: on
