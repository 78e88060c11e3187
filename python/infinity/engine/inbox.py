"""Accepting: whatever enters a thread is durable first, then in its mailbox, then its sender hears of it (I2, L1).

Called by ``infinity.runtime`` for what people and programs say, and by ``engine/callbacks.py`` for what tool servers send. Nothing may be put into a mailbox that
the store has not accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from infinity._core import Message
from infinity.abc import Accepted, Expect, Status, Store
from infinity.engine.held_back import HeldBack
from infinity.engine.idempotency import Keys, fingerprint
from infinity.engine.missing import missing
from infinity.engine.services import Services
from infinity.errors import BadRequest
from infinity.ids import is_id
from infinity.message import Body, Control, UserText, encode

__all__ = ["Inbox", "still_queued"]

_NOT_TAKEN = {
    Status.DISCARDED: "the call was cancelled, or the thread is closed",
    Status.NOT_PENDING: "the call is not open",
    Status.NOT_SUBSCRIBED: "not an active subscription",
}


class Inbox:
    """What threads of one host get."""

    def __init__(self, services: Services, held_back: HeldBack) -> None:
        self._services = services
        self._held_back = held_back
        self._held: dict[str, list[Message]] = {}
        """By thread: accepted while its tree comes back into service, to be read after what was queued before (THR-1)."""
        self._keys = Keys(services.store)

    def message(self, thread: str, message_id: str, body: Body) -> Message:
        return Message(thread, message_id, body.kind, encode(body), accepted_at=self._services.clock.now())

    def keyed(self, prefix: str, key: str | None) -> str:
        if key is None:
            return self._services.ids.mint(prefix)
        if not is_id(key):
            raise BadRequest("an Idempotency-Key is 1 to 128 of A-Z a-z 0-9 _ . : @ + -")
        # Apart from the ids that calls and timers bring: a client's key must never collide with them.
        return f"{prefix}.{key}"

    async def tell(self, thread: str, message_id: str, body: Body) -> Accepted:
        accepted = await self.accept(self.message(thread, message_id, body))
        if accepted.status in (Status.UNKNOWN_THREAD, Status.DELETED):
            raise await missing(self._services.store, thread)
        said = body.print if isinstance(body, UserText) else fingerprint(body)
        if accepted.status is Status.DUPLICATE and said and isinstance(body, UserText | Control):
            if await self._keys.differs(thread, message_id, said):
                return Accepted(Status.REUSED)
        elif accepted.status is Status.ACCEPTED and said:
            self._keys.remember(thread, message_id, said)
        return accepted

    async def accept(
        self, message: Message, expect: Expect = Expect.ANY, call_id: str | None = None
    ) -> Accepted:
        """Durable first, then into the mailbox, then the sender hears of it (I2, L1)."""
        accepted = await self._services.store.accept(message, expect, call_id)
        if accepted.message is not None:
            self._held_back.waits(message.thread)
            if message.thread in self._held:
                self._held[message.thread].append(accepted.message)
            else:
                self._services.mailbox.put([accepted.message])
            self._services.observer.live(message.thread, "queued", {"id": message.id, "kind": message.kind})
        elif accepted.status in (Status.DISCARDED, Status.NOT_PENDING, Status.NOT_SUBSCRIBED):
            reason = _NOT_TAKEN[accepted.status]
            gone = {"id": message.id, "kind": message.kind, "call_id": call_id, "reason": reason}
            self._services.observer.live(message.thread, "discard", gone)
        self._services.observer.gate("accepted")
        return accepted

    def hold(self, threads: Collection[str]) -> None:
        """What is accepted for these threads is kept out of the mailbox until ``let_in``."""
        self._held.update({thread: [] for thread in threads if thread not in self._held})

    def let_in(self, threads: Collection[str]) -> None:
        """What was accepted meanwhile, behind what was queued before. What was among that as well is dropped by the mailbox."""
        for thread in threads:
            self._services.mailbox.put(self._held.pop(thread, []))

    def forget(self, threads: Collection[str]) -> None:
        for thread in threads:
            self._held.pop(thread, None)


async def still_queued(store: Store, messages: Sequence[Message]) -> list[Message]:
    """Those of a mailbox in memory that rest in the durable inbox under their id and place, in their order: after a lost claim somebody else may have
    consumed some (R11). Reads the inbox between the first and the last of them.
    """
    places = {message.seq for message in messages}
    found: set[tuple[str, str, int]] = set()
    after, last = min(places, default=0) - 1, max(places, default=0)
    while after < last and (page := await store.inbox(after)):
        found.update((one.thread, one.id, one.seq) for one in page if one.seq in places)
        after = page[-1].seq
    return [message for message in messages if (message.thread, message.id, message.seq) in found]
