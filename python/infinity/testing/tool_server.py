"""A tool server for tests: a real HTTP server on a loopback port that records what reaches it and does as
it is told.

What it counts, it counts from outside the runtime, so that "how often did the effect happen" has an
honest witness.

    async with ToolServer() as server:            # tools: echo
        …configure a runtime with server.base_url… invocation = await server.invoked() await
        server.answer(invocation.id, text="done")
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

PATIENCE = 60.0
"""Seconds that a test waits for something to happen before it fails."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One ``POST /invoke`` as it arrived.

    ``body`` is the whole JSON object; ``key`` the ``Idempotency-Key`` header.
    """

    id: str
    operation: str
    arguments: dict[str, Any]
    callback_url: str
    group_id: str
    body: dict[str, Any]
    key: str | None = None
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to an invocation.

    ``status`` is answered (0: the connection is closed instead), then ``text`` is called back,
    ``times`` times. ``text`` may be a function of the invocation; ``None`` answers nothing until the
    test does. ``hang``: never acknowledge.
    """

    status: int = 200
    text: str | Callable[[Invocation], str] | None = None
    times: int = 1
    hang: bool = False
    headers: dict[str, str] = field(default_factory=dict)


ON_COMMAND = Behaviour()
"""Acknowledge; the test answers."""
HANG = Behaviour(hang=True)
"""Never acknowledge."""
CLOSE = Behaviour(status=0)
"""Close the connection without an answer."""


def answering(text: str | Callable[[Invocation], str] = "done", *, times: int = 1) -> Behaviour:
    """Acknowledge, then answer at once.

    Args:
        text: of the result, or a function of the invocation.
        times: more than 1 sends duplicates.
    """
    return Behaviour(text=text, times=times)


def failing(status: int, **headers: str) -> Behaviour:
    """Refuse every invocation.

    Args:
        status: the HTTP status.
        **headers: of the answer.
    """
    return Behaviour(status=status, headers=headers)


def tool(
    name: str,
    description: str = "A tool for tests.",
    schema: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A manifest's entry.

    Args:
        name: of the tool.
        description: for the model.
        schema: of its arguments; any object if not given.
        **more: ``annotations``, ``displayScript``.
    """
    return {"name": name, "description": description, "inputSchema": schema or {"type": "object"}, **more}


class ToolServer:
    """A tool server on the loopback. Use it as an asynchronous context manager.

    Callback methods return the HTTP status that the runtime answered with, 0 if nobody did.
    """

    def __init__(
        self,
        tools: Iterable[dict[str, Any]] | None = None,
        *,
        name: str = "test-tools",
        manifest: dict[str, Any] | bytes | None = None,
        behaviour: Behaviour = ON_COMMAND,
        port: int = 0,
    ) -> None:
        """Take what it offers.

        Args:
            tools: manifest entries (default: one tool ``echo``).
            name: of the toolset.
            manifest: replaces the whole document: an object to serve as JSON, or raw bytes.
            behaviour: of tools that have none of their own in ``behaviours``.
            port: a fixed one lets a server come back at its old address; 0 takes a free one.
        """
        self.name = name
        self.tools = list(tools) if tools is not None else [tool("echo")]
        self.manifest = manifest
        self.manifest_status = 200
        self.behaviour = behaviour
        self.behaviours: dict[str, Behaviour] = {}
        """By tool name; ``behaviour`` is for the others."""
        self.invocations: list[Invocation] = []
        self.counts: Counter[str] = Counter()
        """How often each invocation id arrived."""
        self.notices: list[tuple[str, dict[str, Any]]] = []
        """``(path, body)`` of every close_thread, cancel_tool_call and migrate."""
        self.choices: list[dict[str, Any]] = []
        """Bodies of every choice response."""
        self.discoveries = 0
        self.callback_statuses: list[int] = []
        """What the runtime answered to every callback, in order; 0 where it was not reachable."""
        self._port = port
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closing = asyncio.Event()

    # life

    async def start(self) -> Self:
        """Listen."""
        application = web.Application(client_max_size=1 << 26)
        application.router.add_get("/.well-known/rap-toolset", self._discover)
        application.router.add_post("/invoke", self._invoke)
        application.router.add_post("/choice", self._choice)
        for path in ("/close_thread", "/cancel_tool_call", "/migrate"):
            application.router.add_post(path, self._notice)
        self._closing.clear()
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(application, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        """Stop listening; invocations that hang end."""
        self._closing.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """Known once the server has started."""
        return self._port

    @property
    def base_url(self) -> str:
        """What a runtime is configured with."""
        return f"http://127.0.0.1:{self._port}"

    # what arrived

    async def invoked(self, count: int = 1) -> Invocation:
        """An invocation; waits for it.

        Args:
            count: the first is 1.
        """
        await self.until(lambda: len(self.invocations) >= count, f"invocation {count}")
        return self.invocations[count - 1]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something that arrives here makes a condition true.

        Args:
            condition: looked at whenever something arrives.
            what: did not come, for the failure.

        Raises:
            AssertionError: it did not come within ``PATIENCE`` seconds.
        """
        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(
                f"no {what} within {PATIENCE:g} s; arrived: {dict(self.counts)}, notices: {self.notices}"
            ) from None

    # what we say

    async def answer(
        self,
        call_id: str,
        text: str | None = "done",
        *,
        content: list[dict[str, Any]] | None = None,
        display_as: list[dict[str, Any]] | None = None,
        subscription: bool | None = None,
    ) -> int:
        """Send the call's ``tool_result``.

        Args:
            call_id: of an invocation that arrived here.
            text: what the model reads.
            content: in place of the text.
            display_as: for people.
            subscription: whether the call becomes a subscription.
        """
        more = {"text": text, "content": content, "display_as": display_as, "subscription": subscription}
        return await self.say(call_id, "tool_result", id=call_id, **_given(more))

    async def event(
        self,
        call_id: str,
        text: str,
        *,
        associative: bool | None = None,
        final: bool | None = None,
        event_id: str | None = None,
        seq: int | None = None,
    ) -> int:
        """Send a ``subscription_event``.

        Args:
            call_id: of an invocation that arrived here.
            text: what happened.
            associative: for the subscribing thread itself.
            final: the last one.
            event_id: its identity.
            seq: its number.
        """
        more = {"associative": associative, "final": final, "event_id": event_id, "seq": seq}
        return await self.say(call_id, "subscription_event", tool_call_id=call_id, text=text, **_given(more))

    async def oauth(self, call_id: str, auth_url: str = "https://login.example/authorize") -> int:
        """Ask the user to sign in.

        Args:
            call_id: of an invocation that arrived here.
            auth_url: the page.
        """
        return await self.say(call_id, "oauth", id=call_id, auth_url=auth_url)

    async def choice(
        self, call_id: str, prompt: str, choices: list[str], default: int = 0, response_url: str | None = None
    ) -> int:
        """Ask the user. Answers arrive in ``choices``.

        Args:
            call_id: of an invocation that arrived here.
            prompt: the question.
            choices: to choose from.
            default: the index for a dismissal.
            response_url: where the answer goes; to this server if not given.
        """
        return await self.say(
            call_id,
            "user_choice",
            id=call_id,
            prompt=prompt,
            choices=choices,
            default=default,
            response_url=response_url or f"{self.base_url}/choice",
        )

    async def view(self, call_id: str, view_type: str, content: Any) -> int:
        """Send the content of a view.

        Args:
            call_id: of an invocation that arrived here.
            view_type: which view.
            content: any JSON.
        """
        return await self.say(call_id, "view_update", view_type=view_type, content=content)

    async def say(self, call_id: str, kind: str, **fields: Any) -> int:
        """Any callback for a call that arrived here, with its thread filled in unless given.

        Args:
            call_id: of an invocation that arrived here.
            kind: the ``type`` of the callback.
            **fields: of the callback, right or wrong.
        """
        invocation = self.invocation(call_id)
        body = {"type": kind, "group_id": invocation.group_id, **fields}
        return await self.send(invocation.callback_url, json.dumps(body).encode())

    async def send(self, url: str, body: bytes, content_type: str = "application/json") -> int:
        """Raw bytes to a callback URL, once.

        Args:
            url: of the callback.
            body: anything.
            content_type: of it.

        Returns:
            The status, or 0 if nobody answered.
        """
        assert self._session is not None, "the tool server is not started"
        try:
            async with self._session.post(
                url,
                data=io.BytesIO(body),
                headers={"Content-Type": content_type},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            ) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            status = 0
        async with self._changed:
            self.callback_statuses.append(status)
            self._changed.notify_all()
        return status

    def invocation(self, call_id: str) -> Invocation:
        """The first invocation of a call.

        Args:
            call_id: the call.

        Raises:
            AssertionError: none arrived.
        """
        for invocation in self.invocations:
            if invocation.id == call_id:
                return invocation
        raise AssertionError(f"no invocation {call_id!r} arrived; there are {sorted(self.counts)}")

    # handlers

    async def _discover(self, request: web.Request) -> web.Response:
        self.discoveries += 1
        if isinstance(self.manifest, bytes):
            return web.Response(
                body=self.manifest, content_type="application/json", status=self.manifest_status
            )
        document = self.manifest or {
            "name": self.name,
            "description": "Tools for tests.",
            "endpoint": f"{self.base_url}/invoke",
            "tools": self.tools,
        }
        return web.json_response(document, status=self.manifest_status)

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        invocation = Invocation(
            id=body["id"],
            operation=body["operation"],
            arguments=body["arguments"],
            callback_url=body["callback_url"],
            group_id=body["group_id"],
            body=body,
            key=request.headers.get("Idempotency-Key"),
            authorization=request.headers.get("Authorization"),
        )
        async with self._changed:
            self.invocations.append(invocation)
            # Counted here, outside of the runtime: the witness of how often a call really left.
            self.counts[invocation.id] += 1
            self._changed.notify_all()
        behaviour = self.behaviours.get(invocation.operation, self.behaviour)
        # Until the test ends: a server that never answers (B1).
        if behaviour.hang:
            await self._closing.wait()
        # From here nobody waits for an answer: the connection is cut.
        if behaviour.status == 0 or behaviour.hang:
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        if behaviour.status == 200 and behaviour.text is not None:
            self._later(invocation, behaviour)
        return web.Response(status=behaviour.status, headers=behaviour.headers)

    def _later(self, invocation: Invocation, behaviour: Behaviour) -> None:
        task = asyncio.create_task(self._answer_until_heard(invocation, behaviour))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_until_heard(self, invocation: Invocation, behaviour: Behaviour) -> None:
        """As a tool server must (SRV-3): again on 5xx and when nobody listens, until it is taken or
        refused.
        """
        text = behaviour.text(invocation) if callable(behaviour.text) else behaviour.text
        for _ in range(behaviour.times):
            while True:
                status = await self.answer(invocation.id, text)
                # Taken, or refused for good.
                if 0 < status < 500:
                    break
                await asyncio.sleep(0.05)

    async def _choice(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self._changed:
            self.choices.append(body)
            self._changed.notify_all()
        return web.Response()

    async def _notice(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self._changed:
            self.notices.append((request.path, body))
            self._changed.notify_all()
        return web.Response()


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
