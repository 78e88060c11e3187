"""Responses: what handlers return, and the shape of every JSON body. ``/openapi.json`` describes the shapes that are defined here.

Handlers build these types and never bare dictionaries, so that what is sent and what is described cannot drift apart. Content that is stored as JSON already
(entries, event data, arguments) is not decoded to be encoded again: it is put in as ``msgspec.Raw``, by ``stored``. Times are in ms since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from infinity.abc import Usage
from infinity.explanation import Explanation, Reason

from .under_way import ServerHealth

__all__ = ["Response", "respond", "stored"]

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class Response(NamedTuple):
    """``body``: JSON in UTF-8; ``headers``: those beside its type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def respond(value: Struct, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, _encode(value), headers or {})


def stored(text: bytes, _: type[T]) -> T:
    """JSON as it is stored, in the place of a value of this type."""
    return cast(T, msgspec.Raw(text))


class ErrorDetail(Struct, omit_defaults=True):
    """``code``: stable, for programs; ``message``: for people, what happened and what to do; ``rule``: the protocol rule that was broken."""

    code: str
    message: str
    rule: str | None = None


class Error(Struct):
    error: ErrorDetail


class Gone(Struct):
    """Events are not kept in order any more back to where a client would go on. ``oldest``: an ``after`` from which they are."""

    error: ErrorDetail
    oldest: str


class Used(Struct):
    """What turns have used, summed by those of ``day`` (UTC), ``model``, ``root`` and ``thread`` that were asked for; the others are null, and so are ``root`` and
    ``thread`` of what deleted conversations have used. ``cost``: dollars."""

    day: str | None
    model: str | None
    root: str | None
    thread: str | None
    turns: int
    tokens: Usage
    cost: float


class UsedInAll(Struct):
    """``next``: the cursor for ``after``, null at the end."""

    usage: list[Used]
    next: str | None


class Health(Struct):
    status: str
    version: str


class Taken(Struct):
    """``status``: ``accepted``, ``duplicate`` or ``discarded``; ``id``: of the message, when it is accepted."""

    status: str
    id: str | UnsetType = UNSET


# -- threads


class Thread(Struct, kw_only=True):
    """``status``: ``idle``, ``waiting``, ``stopped``, ``closed``, or ``damaged`` if its record or entries cannot be read; ``problem``: what it rests with."""

    id: str
    root: str
    parent: str | None
    status: str
    title: str
    problem: str | None
    version: int
    created_at: int
    updated_at: int


class Words(Struct):
    """The last words of a conversation, cut; ``who``: ``person`` or ``model``."""

    who: str
    text: str
    at: int


class ListedThread(Thread, kw_only=True):
    """``prompts``: open questions, at a root those of its whole tree; ``out_of_service``: why nothing happens here in its tree, null while it is in service;
    ``child_waits``: at a root, the problem of a thread of its tree that waits for the end of a cause outside; ``opening``: its first words, for a title where
    there is none; ``cost``: in dollars, of the thread alone; ``tree_cost``: at a root, of the whole conversation and of attempts that brought nothing. What only its record knows is left out where that cannot be read. With ``explain=1`` also
    ``state`` and the first ``reason`` of its explanation, and how many ``more`` there are."""

    prompts: int
    out_of_service: str | None
    child_waits: str | None
    model: str | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    cost: float | UnsetType = UNSET
    tree_cost: float | UnsetType = UNSET
    context_tokens: int | UnsetType = UNSET
    children: int | UnsetType = UNSET
    cursor: int | UnsetType = UNSET
    opening: str | UnsetType = UNSET
    last: Words | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: Reason | UnsetType | None = UNSET
    more: int | UnsetType = UNSET


class Threads(Struct):
    """``next``: the cursor for ``after``, null at the end."""

    threads: list[ListedThread]
    next: str | None


class Prompt(Struct, kw_only=True):
    """A question to a person. ``kind``: ``consent``, ``choice`` or ``oauth``, which has ``auth_url`` in place of choices; ``default``: index of the choice that
    stands for a dismissal; ``toolset``: where the call goes, empty for a function of the agent's own process; ``annotations``: the tool's; ``editable``: whether the call may be
    allowed with other arguments. In listings also
    ``root``, the titles of the thread and its root (their first words where they have none), ``arguments`` of the call, ``until`` when the question ends by itself,
    and what was ``said`` last in the thread."""

    id: str
    thread: str
    kind: str
    call_id: str | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    toolset: str | UnsetType = UNSET
    annotations: dict[str, Any] | UnsetType = UNSET
    editable: bool | UnsetType = UNSET
    asked_at: int | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    choices: list[str] | UnsetType = UNSET
    default: int | UnsetType = UNSET
    auth_url: str | UnsetType = UNSET
    root: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    root_title: str | UnsetType = UNSET
    arguments: Any | UnsetType = UNSET
    until: int | UnsetType = UNSET
    said: Words | UnsetType = UNSET


class Prompts(Struct):
    """``more``: how many are left out; ``damaged``: threads whose questions cannot be read."""

    prompts: list[Prompt]
    more: int
    damaged: list[Finding] | UnsetType = UNSET


class Amount(Struct):
    tokens: int
    dollars: float


class DescribedThread(Thread, kw_only=True):
    """A thread and everything it waits for. ``cursor``: where its event stream ends now; ``prompts``: at a root those of its whole tree; ``spent`` and ``budget``: of
    its whole tree, 0 for no limit; ``opening``: its first words. What only its record knows is left out where that cannot be read or is not there yet."""

    model: str | None
    context_tokens: int | UnsetType = UNSET
    children: int | UnsetType = UNSET
    ancestors: list[str] | UnsetType = UNSET
    position: int | UnsetType = UNSET
    opening: str | UnsetType = UNSET
    usage: Usage
    cursor: int
    explanation: Explanation
    prompts: list[Prompt]
    spent: Amount
    budget: Amount
    out_of_service: str | None


class Deleted(Struct):
    id: str
    deleted_at: int


class Resumed(Struct):
    """Ids of the threads that go on."""

    resumed: list[str]


class KnownModel(Struct):
    """``price``: dollars per million tokens of input, output, cache read and cache write; null where it is not known."""

    name: str
    context_window: int
    price: list[float] | None


class About(Struct, kw_only=True):
    """``host``: ``local`` or ``cloud``; ``stream``: whether events can be streamed; ``now``: the host's time; ``policy``: what happens to a call that nothing
    more exact is said of; ``budget``: of each conversation, 0 for no limit."""

    version: str
    host: str
    stream: bool
    now: int
    default_model: str
    models: list[KnownModel]
    policy: str
    budget: Amount


# -- history, events


class Entry(Struct, kw_only=True, omit_defaults=True):
    """``kind``: ``user``, ``turn``, ``summary``, …; ``assistant`` and ``user``: content blocks; ``covers``: of a summary, the positions it stands for; ``size``: its bytes,
    where long texts of it are cut: the whole entry has an address of its own."""

    position: int
    kind: str
    at: int
    assistant: list[dict[str, Any]]
    user: list[dict[str, Any]]
    meta: dict[str, Any]
    covers: list[int] | None = None
    size: int | None = None


class ShownParameters(Struct):
    """``max_tokens``: of the answer."""

    max_tokens: int


class ShownRequest(Struct, kw_only=True):
    """What the model was shown for a turn. ``model``: the name, ``model_id``: what its provider calls it; ``parameters``, ``system``, ``tools``: null where they are not
    on record; ``messages``: in the shape of the Messages API, before the provider puts them into that of its own. ``exact``: all of it is what was sent, byte for byte;
    else ``messages`` are rendered as this version does it, or something is not on record."""

    model: str | None
    model_id: str | None
    parameters: ShownParameters | None
    system: str | None
    tools: list[dict[str, Any]] | None
    messages: list[dict[str, Any]]
    exact: bool


class Entries(Struct):
    """``next``: the position for ``after``, null at the end."""

    entries: list[Entry]
    next: int | None


class DamagedEntry(Struct):
    """``position``: null where the thread's own record is damaged."""

    position: int | None
    text: str


class DamagedEntries(Struct):
    """A page of a history that is damaged: the error, what is damaged, and the entries that can be read."""

    error: ErrorDetail
    damaged: list[DamagedEntry]
    entries: list[Entry]
    next: int | None


class Event(Struct):
    cursor: int
    kind: str
    data: dict[str, Any]


class Events(Struct):
    """``next``: the cursor to ask with next time, always there."""

    events: list[Event]
    next: int


class View(Struct):
    view_type: str
    content: Any


class Views(Struct):
    views: list[View]


# -- subscriptions, tools


class Subscription(Struct):
    """``since``: when the model asked for it, null where that cannot be read."""

    thread: str
    title: str
    status: str
    tool: str
    toolset: str
    call_id: str
    arguments: dict[str, Any]
    since: int | None


class Finding(Struct):
    """Something about a thread that somebody may have to see to."""

    thread: str
    kind: str
    text: str


class Subscriptions(Struct):
    """``next``: the cursor for ``after``, null at the end; ``damaged``: threads whose subscriptions cannot be read."""

    subscriptions: list[Subscription]
    next: str | None
    damaged: list[Finding] | UnsetType = UNSET


class OfferedTools(Struct):
    """``problems``: why tools are not offered."""

    tools: list[str]
    problems: list[str]


class Tool(Struct):
    """``offered``: whether a new conversation gets it. ``input_schema``: of its arguments, where one server is asked about."""

    name: str
    description: str
    annotations: dict[str, Any]
    offered: bool = False
    input_schema: dict[str, Any] | UnsetType = UNSET


class Process(Struct):
    state: str
    pid: int | None
    restarts: int


class ToolServer(Struct):
    """``problem``: why it cannot be used, and by which rule; ``cached``: its last good definitions are used meanwhile; ``process``: of a server that the daemon starts;
    ``health``: where one server is asked about, as a daemon knows it; a deployment's processes know too little of each other."""

    name: str
    url: str
    problem: str | None
    rule: str | None
    cached: bool
    needs_migration: bool
    toolset: str | None
    description: str | None
    tools: list[Tool]
    process: Process | UnsetType = UNSET
    health: ServerHealth | UnsetType = UNSET


class OpenCall(Struct):
    thread: str
    id: str
    tool: str
    state: str
    since: int | None


class DescribedToolset(Struct):
    """One tool server. ``calls``: open calls that go to it, of the threads that changed last; ``more``: whether there may be others."""

    server: ToolServer
    calls: list[OpenCall]
    more: bool


class Toolsets(Struct):
    """``problems``: what keeps tools from being offered, name clashes among it (DISC-4)."""

    toolsets: list[ToolServer]
    problems: list[str]


# -- moving


class Moved(Struct):
    status: str
    root: str
    to: str
    threads: int


class InService(Struct):
    """``status``: ``in service``, or ``forgotten`` for a conversation that was not started here."""

    status: str
    root: str


class Resting(Struct):
    """``callbacks``: the new callback URL of each open call."""

    status: str
    root: str
    callbacks: dict[str, str]


class ImportedTree(Resting):
    """``replaced``: it took the place of an older copy; ``copy``: the original went on where it was exported."""

    replaced: bool
    copy: bool


# -- diagnosis


class Needed(Struct):
    """A thread that needs a person, and since when (ms since the epoch). ``reason``: ``prompt``, it asks something; ``problem``, it rests with one that does not
    end by itself."""

    thread: str
    root: str
    reason: str
    since: int


class Examination(Struct):
    """``problems``: of threads; ``attention``: those that have needed a person for longest; ``store``: what the store has found in itself, ``store_read``: whether it has read itself for that; ``repaired``: its last repair;
    ``start``: what the plan of the start has found; ``calls``: the oldest that wait; ``looked_at``: how many of what; ``learned``: what model endpoints have taught."""

    problems: list[Finding]
    attention: list[Needed]
    store: list[str]
    store_read: bool
    repaired: dict[str, Any] | None
    start: list[str]
    calls: list[OpenCall]
    looked_at: dict[str, int]
    learned: list[str]


class ConsoleCode(Struct):
    """``code``: good once, until ``expires_at``; ``url``: where a browser signs in with it."""

    code: str
    url: str
    expires_at: int


class ConsoleSession(Struct):
    """``key``: what the page sends as ``Infinity-Console`` beside its cookie; ``user``: whose doing is what it does."""

    key: str
    user: str | None
    expires_at: int


class SignedOut(Struct):
    """``sessions``: ``this`` or ``all``."""

    sessions: str


class ModelState(Struct):
    """The default model, what keeps it from being used, and which keys the daemon has: names and yes or no, never a key."""

    default: str | None
    problems: list[str]
    notice: str | None
    keys: dict[str, bool]
