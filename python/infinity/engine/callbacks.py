"""What tool servers send back: results, events, questions, sign-ins and views, checked against the limits and put into the inbox (CB-2 to CB-8).

The host has checked the capability before the body was read. What is refused here ends its call, or is put on record (CB-7).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from infinity._core import Message
from infinity.abc import Accepted, Expect, Status
from infinity.engine import prompts
from infinity.engine.inbox import Inbox
from infinity.engine.services import Services
from infinity.engine.view_limits import ViewLimits
from infinity.errors import BadRequest, InfinityError, StoreError
from infinity.message import Body, Kind, ProblemReport, Result, text_blocks
from infinity.rap.address import same_origin
from infinity.rap.callbacks import ViewUpdate, parse

__all__ = ["Callbacks"]


class Callbacks:
    def __init__(self, services: Services, inbox: Inbox, *, sole_writer: bool) -> None:
        self._services = services
        self._inbox = inbox
        self._views = ViewLimits(services.store, services.settings.limits, alone=sole_writer)

    async def accept(self, thread: str, call_id: str, body: bytes) -> Accepted:
        """A tool server's message for this thread and call; the capability was checked before the body was read (CB-5)."""
        limits = self._services.settings.limits
        incoming = parse(
            thread,
            call_id,
            body,
            max_bytes=limits.callback_bytes,
            fresh_id=lambda: self._services.ids.mint("event"),
        )
        if isinstance(incoming, ViewUpdate):
            _check_size(body, limits.view_bytes, "a view", "limits.view_bytes")
            return await self._view(incoming)
        message = incoming.message
        if message.kind == Kind.EVENT:
            _check_size(body, limits.event_bytes, "an event", "limits.event_bytes")
        if message.kind == Kind.CHOICE:
            await self._require_own_server(call_id, msgspec.json.decode(message.body)["response_url"])
        stamped = Message(
            message.thread, message.id, message.kind, message.body, accepted_at=self._services.clock.now()
        )
        return await self._inbox.accept(stamped, incoming.expect, incoming.call_id)

    async def refuse(self, thread: str, call_id: str, kind: str, refused: InfinityError) -> Accepted:
        body: Body
        if kind in ("subscription_event", "view_update"):
            code = refused.rule or refused.code
            # One record for each call and rule, however often a server repeats its mistake (G2).
            message_id, expect = f"refused.{call_id}.{code}", Expect.EVENT
            body = ProblemReport(
                code="callback", text=prompts.refused_aside(kind, str(refused)), call_id=call_id
            )
        else:
            message_id, expect = call_id, Expect.CALL
            content = text_blocks(prompts.refused(kind, str(refused)))
            body = Result(call_id=call_id, content=content, failed=True, cancel=kind != "tool_result")
        return await self._inbox.accept(self._inbox.message(thread, message_id, body), expect, call_id)

    async def answer(self, thread: str, call_id: str, result: Result) -> None:
        """The result of a function of this process."""
        message = self._inbox.message(thread, call_id, result)
        if len(message.body) > self._services.settings.limits.callback_bytes:
            text = f"Error: the result has {len(message.body)} bytes, more than limits.callback_bytes allows; return less"
            message = self._inbox.message(thread, call_id, Result(call_id=call_id, content=text_blocks(text)))
        accepted = await self._inbox.accept(message, Expect.CALL, call_id)
        if accepted.status is Status.MOVED:
            raise StoreError(
                f"{thread} is moving to another daemon; the result is kept back until that is decided"
            )

    async def _require_own_server(self, call_id: str, response_url: str) -> None:
        """A prompt's answer goes to the server of its call or nowhere (S3). An unknown call is left to ``accept``."""
        found = await self._services.store.find_call(call_id)
        row = await self._services.store.thread(found[0].thread) if found is not None else None
        if found is None or row is None:
            return
        offer = (await self._services.catalogs.of(row.root)).find(found[0].tool)
        if offer is None or not same_origin(response_url, offer.endpoint):
            raise BadRequest("response_url does not belong to the tool server of this call", "CHO-1")

    async def _view(self, update: ViewUpdate) -> Accepted:
        """Kept and shown, never a message (VIEW-1)."""
        await self._views.admit(update.thread, update.view_type, len(update.content))
        written = False
        try:
            written = await self._services.store.put_view(update.thread, update.view_type, update.content)
        finally:
            if not written:
                self._views.forget(update.thread)
        if not written:
            gone = await self._services.store.tombstone(update.thread)
            return Accepted(Status.UNKNOWN_THREAD if gone is None else Status.DELETED)
        content = msgspec.Raw(update.content)
        self._services.observer.live(
            update.thread, "view", {"view_type": update.view_type, "content": content}
        )
        return Accepted(Status.ACCEPTED)

    def forget(self, threads: Collection[str]) -> None:
        for thread in threads:
            self._views.forget(thread)


def _check_size(body: bytes, most: int, what: str, setting: str) -> None:
    if len(body) > most:
        raise BadRequest(f"{what} of {len(body)} bytes; at most {most} are accepted ({setting})", "CB-8")
