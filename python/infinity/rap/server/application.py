"""What a tool server answers, whatever carries it: discovery, invocations, notices, answers to questions,
webhooks.

Requests come from a listener (``serving``), from any ASGI server (``asgi``) or, without state on disk,
from Lambda (``cloud/tool_function.py``). An invocation is on record before it is acknowledged, and its
function begins after the acknowledgement is out (SRV-1); no handler may wait for a function.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infinity.backoff import Backoff
from infinity.errors import BadRequest, ConfigError, StoreError
from infinity.rap.address import url_problem
from infinity.rap.document import Node

from .call import Invocation
from .limits import Limits
from .store import MAX_ID, ServerStore
from .toolset import Toolset, Webhook, WebhookFunction
from .work import Work

log = logging.getLogger("infinity.rap.server")

MAX_BODY = 8 << 20
"""Bytes of a request's body."""
MAX_ANCESTORS = 1_000
"""Ancestors that an invocation may name."""
WELL_KNOWN = "/.well-known/rap-toolset"


class BodyTooLarge(Exception):
    """Raised by ``Request.read`` when the body has more than ``MAX_BODY`` bytes; answered with 413."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, whatever carried it.

    ``base``: under which address the caller reached this server; ``path`` is below it. ``headers``:
    names in lower case.
    """

    method: str
    path: str
    base: str
    headers: Mapping[str, str]
    read: Callable[[], Awaitable[bytes]]
    """The body, at most ``MAX_BODY``; asked for only once the caller is known."""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever carries it.

    ``body``: JSON, if any. ``after``: to be called when the reply is out, also if the caller did not
    wait for it, so that no function can hold up its acknowledgement (SRV-1).
    """

    status: int = 200
    body: Mapping[str, Any] | None = field(default_factory=dict)
    after: Callable[[], None] | None = None


class Guard:
    """Checks who calls."""

    def __init__(self, token: str | None) -> None:
        """Take the token.

        Args:
            token: what callers must send as ``Authorization: Bearer``; ``None`` lets everybody in.

        Raises:
            ConfigError: it is empty, which would let in anyone who sends an empty one.
        """
        if token is not None and not token.strip():
            raise ConfigError("the token of a tool server is empty; set one, or none at all")
        self._expected = None if token is None else f"Bearer {token}".encode()

    def refusal(self, headers: Mapping[str, str]) -> Reply | None:
        """The answer to a caller who may not call; ``None`` for one who may.

        Args:
            headers: of the request, names in lower case.
        """
        # Compared in constant time, so that a token cannot be guessed piece by piece.
        given = headers.get("authorization", "").encode(errors="surrogateescape")
        if self._expected is None or hmac.compare_digest(given, self._expected):
            return None
        return error_reply(401, "a bearer token is needed; configure it for this server")


class Application:
    """A toolset with its state: everything of a tool server but the listener."""

    def __init__(
        self,
        toolset: Toolset,
        state_path: Path | str,
        *,
        token: str | None = None,
        backoff: Backoff | None = None,
        limits: Limits | None = None,
        public_url: str | None = None,
    ) -> None:
        """Take the parts; ``start`` opens the state.

        Args:
            toolset: the tools; it must have at least one when the application starts.
            state_path: the SQLite file that keeps what was acknowledged; one server per file.
            token: what callers must send as ``Authorization: Bearer``.
            backoff: between tries to deliver a callback.
            limits: how much is taken on at once.
            public_url: the base URL that runtimes use, where proxies hide it; else what each request
                came to.

        Raises:
            ConfigError: the public URL or the token is none.
        """
        if public_url is not None and (problem := url_problem(public_url)):
            raise ConfigError(f"the public URL {problem}; write one such as https://tools.example")
        self.toolset = toolset
        self._guard = Guard(token)
        self._public_url = public_url.rstrip("/") if public_url else None
        self._store = ServerStore(state_path)
        self._work = Work(toolset, self._store, backoff or Backoff(), limits or Limits())

    async def start(self) -> None:
        """Open the state and go on with what the last run left (SRV-4).

        Raises:
            ConfigError: the toolset has no tools.
            StoreLocked: another process holds the state.
            StoreError: the state cannot be opened or read.
        """
        # A toolset without tools is refused now, not at the first discovery.
        self.toolset.manifest("")
        await self._store.open()
        try:
            await self._work.start()
        except BaseException:
            await self.stop()
            raise
        self.toolset.registry = self._work

    async def stop(self) -> None:
        """Stop the functions; what they still owe is on record. May be called after a ``start`` that
        failed.
        """
        # First: webhooks that come now find no subscriptions of a store that is closing.
        self.toolset.registry = None
        await self._work.stop()
        await self._store.close()

    async def answer(self, request: Request) -> Reply:
        """Answer any request. It never raises for what a caller sends.

        Args:
            request: its body is read only once the caller is known.
        """
        try:
            return await self._route(request)
        except BodyTooLarge:
            return error_reply(413, f"at most {MAX_BODY} bytes are accepted")

    async def _route(self, request: Request) -> Reply:
        # Before the guard: senders of webhooks do not know the token; the function checks their signatures
        # (S8).
        if request.method == "POST" and (function := self.toolset.webhooks.get(request.path)):
            return await _webhook(function, request)
        if request.method == "POST" and request.path.startswith("/choice/"):
            return await self._choice(request)
        found = self._routes().get(request.path)
        # Without asking for the token: that there is nothing gives nothing away.
        if found is None:
            return error_reply(404, f"nothing is here; tools are described at {WELL_KNOWN}")
        method, handler = found
        if request.method not in (method, "HEAD" if method == "GET" else method):
            return error_reply(405, f"expected {method}")
        return self._guard.refusal(request.headers) or await handler(request)

    def _routes(self) -> dict[str, tuple[str, Callable[[Request], Awaitable[Reply]]]]:
        return {
            WELL_KNOWN: ("GET", self._discover),
            "/invoke": ("POST", self._invoke),
            "/close_thread": ("POST", self._close_thread),
            "/cancel_tool_call": ("POST", self._cancel_tool_call),
        }

    def _base(self, request: Request) -> str:
        # Calls may only go to the address that the runtime was configured with, so the answers repeat it.
        return self._public_url or request.base

    async def _discover(self, request: Request) -> Reply:
        return Reply(body=self.toolset.manifest(f"{self._base(request)}/invoke"))

    async def _invoke(self, request: Request) -> Reply:
        # Before the body is read: a server that is full does as little as it can.
        if self._work.full:
            return error_reply(503, "too many calls wait already; send it again later")
        try:
            invocation = read_invocation(await request.read(), self._base(request))
        except BadRequest as error:
            return error_reply(400, str(error), error.rule)
        try:
            # Durable before it is acknowledged (SRV-1); one that is known is acknowledged and not run
            # (SRV-6).
            new = await self._store.accept(invocation)
        except StoreError as error:
            log.error("call %s could not be recorded: %s", invocation.id, error)
            return error_reply(503, "the invocation could not be recorded; send it again")
        return Reply(after=(lambda: self._work.begin(invocation)) if new else None)

    async def _close_thread(self, request: Request) -> Reply:
        match await _json(request):
            case {"thread_id": str(thread)}:
                await _quietly(self._work.cancel_thread(thread))
        return Reply()

    async def _cancel_tool_call(self, request: Request) -> Reply:
        match await _json(request):
            case {"thread_id": str(thread), "tool_call_id": str(call_id)}:
                await _quietly(self._work.cancel((thread, call_id)))
        return Reply()

    async def _choice(self, request: Request) -> Reply:
        """Guarded by the question's own secret, which only its runtime knows."""
        match await _json(request):
            case {"id": call_id, "selected": selected}:
                try:
                    if await self._work.choose(request.path.removeprefix("/choice/"), call_id, selected):
                        return Reply()
                except StoreError as error:
                    log.error("an answer could not be recorded: %s", error)
                    return error_reply(503, "the answer could not be recorded; send it again")
        return error_reply(404, "nobody waits for this answer")


def read_invocation(body: bytes, origin: str) -> Invocation:
    """The invocation in a request's body.

    Args:
        body: as it came.
        origin: the base URL under which the caller reached this server.

    Returns:
        The invocation; ``problem`` says what is wrong with it, which is answered as a result (SRV-2).

    Raises:
        BadRequest: there is nobody to answer to, because id, thread or callback URL is missing.
    """
    node = Node.parse(body, BadRequest, "SRV-1")
    callback_url = node["callback_url"].text("INV-3", 1)
    problem = url_problem(callback_url)
    if problem:
        node["callback_url"].refuse(f"the URL {problem}", "INV-3")
    addressed = Invocation(
        operation="",
        arguments={},
        id=node["id"].text("INV-3", 1, MAX_ID),
        group_id=node["group_id"].text("INV-3", 1, MAX_ID),
        callback_url=callback_url,
        origin=origin,
    )
    try:
        return replace(
            addressed,
            operation=node["operation"].text("INV-1"),
            arguments=node["arguments"].object("INV-2"),
            call_id=node["call_id"].optional_text("INV-3", MAX_ID),
            ancestors=_ancestors(node["thread_ancestors"]),
            user_id=node["user_id"].optional_text("INV-3", MAX_ID),
        )
    except BadRequest as error:
        return replace(addressed, problem=str(error))


def _ancestors(node: Node) -> tuple[str, ...]:
    if not node.present:
        return ()
    return tuple(item.text("INV-3", 1, MAX_ID) for item in node.items("INV-3", MAX_ANCESTORS))


async def _webhook(function: WebhookFunction, request: Request) -> Reply:
    body = await request.read()
    try:
        status = await function(Webhook(request.headers, body, request.query))
    except Exception:
        log.exception("the webhook at %s failed", request.path)
        return error_reply(500, "the webhook failed; send it again")
    return Reply(status or 200, None)


async def _json(request: Request) -> Any:
    """The body as JSON, or nothing: ids in notices are untrusted and unknown ones are fine (SRV-5)."""
    try:
        return Node.parse(await request.read(), BadRequest, "SRV-5").value
    except (BadRequest, BodyTooLarge):
        return None


async def _quietly(work: Awaitable[None]) -> None:
    """A notice is answered with 200 whatever happens (SRV-5, THR-3)."""
    try:
        await work
    except StoreError as error:
        log.error("a notice could not be carried out: %s", error)


def error_reply(status: int, text: str, rule: str | None = None) -> Reply:
    """An error as every path of this server answers it.

    Args:
        status: the HTTP status.
        text: for people: what happened, and what to do.
        rule: the id of the rule that the request breaks, where there is one.
    """
    return Reply(status, {"error": {"text": text, "rule": rule}})
