"""Hints: what may lag behind the database without harm, in one DynamoDB table: ids already applied, views,
copies of toolsets, interrupts.

| `pk` | `sk` | further attributes |
|---|---|---|
| `thread#ID` | `seen#MESSAGE` | |
| `thread#ID` | `view#TYPE` | `type`, `at`, `body` or `claim` |
| `thread#ID` | `key#MESSAGE` | `print`, `at` |
| `thread#ID` | `interrupt` | `action`, `argument`, `message` |
| `thread#ID` | `failing` | `reason`, `excused`, `heard`, `begun` |
| `thread#ID` | `schedule` | `at` |
| `thread#ID` | `order` | `ids`, `waited` |
| `thread#ID` | `said` | `count`, `bound`, `last`, `marks` |
| `toolset#URL` | `toolset` | `body` or `claim` |

All have `expires`, in seconds since the epoch: DynamoDB deletes what has expired days late, so readers
look at it. Ids that are long, or hold what no key may, are replaced by a digest.

Nothing here is the truth. An id that is not here is not new for that (R1, I8): the database decides. An id
that is here was applied, because it is written after the commit only; **so a database that is put back to
an earlier time needs an empty table beside it**.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from infinity.aws.breaker import Breaker, NotAsked
from infinity.aws.client import Aws, RetryPolicy
from infinity.aws.dynamodb import Item, Table, binary, bytes_of, number, text
from infinity.errors import DamagedStore, LimitReached, StoreError

from .blobs import BlobStore

__all__ = ["HintTable", "Interrupt", "Order", "Said", "Trouble"]

log = logging.getLogger("infinity.cloud")

T = TypeVar("T")

_DAY = 24 * 3600
SEEN_SECONDS = 14 * _DAY
"""As long as a queue may keep a message."""
KEPT_SECONDS = 90 * _DAY
"""Views and toolsets, from their last change."""
INTERRUPT_SECONDS = 900
"""As long as an invocation can last."""
FAILING_SECONDS = 3600

LARGEST = 380_000
"""Bytes of a body in an item: an item may have 400 KB, its names and keys included."""
_PART = 200
_REASON = 2000
_HINT = RetryPolicy(tries=3, connect=1.0, once=1.5, total=3.0)
"""A hint is not worth more of a slice's time."""
_VIEW = RetryPolicy(tries=4, connect=1.0, once=2.0, total=5.0)
"""Less than a function has that somebody waits for."""


class Interrupt(NamedTuple):
    """``message_id``: of the control message, which is in the inbox queue too; ``action``: ``interrupt``,
    ``stop`` or ``close``, with its ``argument``.
    """

    action: str
    message_id: str
    argument: str | None = None


class Trouble(NamedTuple):
    """Of a thread whose last slice did not end well. ``reason``: for people.

    Receives of its messages: ``excused`` are those that were no fault of the thread (the store was away,
    or others went first); ``heard`` is how many there were when a slice last said why it failed, so that
    those since have ended without a word; ``begun`` are those since in which the thread had the process to
    itself.
    """

    reason: str = ""
    excused: int = 0
    heard: int = 0
    begun: int = 0


class Order(NamedTuple):
    """Of a thread's messages that came again. ``ids``: of each, by which the queue knows it, and the database
    (empty: it carries nothing), in order; ``waited``: so many times it has waited for dead letters.
    """

    ids: tuple[tuple[str, str], ...] = ()
    waited: int = 0


class Said(NamedTuple):
    """How much people have said to a thread. ``number``: messages so far, of which ``last`` was the id of the
    last one; ``marks``: of some the number and the id; ``bound``: how far it may count.
    """

    number: int
    bound: int
    last: str
    marks: tuple[tuple[int, str], ...] = ()


class HintTable:
    """The table of hints.

    Hints (ids, toolsets, interrupts, failures) raise nothing for what DynamoDB does: a write that failed is
    lost, a read that failed found nothing. Both are logged, and counted in ``lost`` by the method's name.
    Views are no hints: they are nowhere else.

    Args:
        aws: The client.
        table: Name of the table.
        now: Milliseconds since the epoch.
        blobs: Where bodies go that an item cannot hold; without it they are refused.
        breaker: The process's own; while the table gives no answer, nothing waits for it.
    """

    def __init__(
        self,
        aws: Aws,
        table: str,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        blobs: BlobStore | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._table = Table(aws, table, breaker)
        self._now, self._blobs = now, blobs
        self.lost: Counter[str] = Counter()

    # -- ids already applied

    async def seen(self, thread: str, message_id: str) -> bool:
        """True: the message ``id`` of ``thread`` was applied, for certain. False: it is not known here; **ask
        the database**, because an id that is missing is not a new one (R1).
        """
        return (
            await self._hint("seen", thread, self._get(_pk(thread), f"seen#{_part(message_id)}")) is not None
        )

    async def remember(self, thread: str, ids: Iterable[str]) -> None:
        """Note ``ids`` of messages of ``thread`` that a commit has applied; call it after the commit, never
        before. Lost, or late: the database is asked once more. Repeated: nothing.
        """
        pk, expires = _pk(thread), self._expiry(SEEN_SECONDS)
        puts = {(pk, f"seen#{_part(message_id)}"): expires for message_id in ids}
        await self._hint("remember", thread, self._table.write(puts, policy=_HINT))

    # -- what was said under a key

    async def claim_key(self, thread: str, message_id: str, fingerprint: str) -> bool:
        """Claim the idempotency key ``id`` of ``thread`` for a content, of which ``print`` is a digest.

        False only if other content is known to have come under this key. Lost: the key counts as new, and
        the queue drops what has its id.
        """
        return (
            await self._hint("claim_key", thread, self._claim_key(thread, message_id, fingerprint))
            is not False
        )

    async def _claim_key(self, thread: str, message_id: str, fingerprint: str) -> bool:
        pk, sk = _pk(thread), f"key#{_part(message_id)}"
        if (found := await self._get(pk, sk)) is None:
            # The first of several stays: their times count backwards.
            item = {"print": text(fingerprint), "at": number(-self._now()), **self._expiry(SEEN_SECONDS)}
            if await self._table.put_later(pk, sk, item, "at", _HINT):
                return True
            found = await self._get(pk, sk)
        return found is None or found["print"]["S"] == fingerprint

    # -- views

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        """The latest content of each view of a thread, as pairs of type and content.

        Raises:
            AwsError: if they cannot be read now; never none instead (I8).
            DamagedStore: if an item is not one of ours.
        """
        found = [item for item in await self._table.begins(_pk(thread), "view#", _VIEW) if self._fresh(item)]
        try:
            bodies = await asyncio.gather(*map(self._unpack, found))
            return [(item["type"]["S"], body) for item, body in zip(found, bodies, strict=True)]
        except (KeyError, ValueError) as error:
            raise DamagedStore(f"a view of {thread} in DynamoDB cannot be read; delete its item") from error

    async def put_view(self, thread: str, view_type: str, content: bytes) -> None:
        """Keep the latest content of a view. Late or repeated, it does not replace one that was sent later.

        Args:
            thread: Whose view it is.
            view_type: Any text; one that is no key becomes a digest.
            content: The view as JSON bytes.

        Raises:
            AwsError: if it was not stored, so that the sender sends it again (VIEW-1).
            LimitReached: if it is larger than an item and there is no bucket.
        """
        item = {
            "type": text(view_type),
            "at": number(self._now()),
            **await self._pack(thread, f"view {view_type[:100]}", content),
            **self._expiry(KEPT_SECONDS),
        }
        await self._table.put_later(_pk(thread), f"view#{_part(view_type)}", item, "at", _VIEW)

    # -- toolsets

    async def toolset(self, base_url: str) -> bytes | None:
        """The last copy of the definitions of the server at ``base_url``, for when it cannot be reached
        (DISC-6); ``None`` if there is none, or it cannot be had.
        """
        return await self._hint("toolset", base_url, self._toolset(base_url))

    async def put_toolset(self, base_url: str, copy: bytes) -> None:
        """Keep ``copy``, the JSON bytes of what the server at ``base_url`` offers. Lost: an older copy serves
        on bad days. Late: a newer one is overwritten, until the next change or process. Repeated: nothing.
        """
        await self._hint("put_toolset", base_url, self._put_toolset(base_url, copy))

    async def _toolset(self, base_url: str) -> bytes | None:
        found = await self._get(f"toolset#{_part(base_url)}", "toolset")
        return None if found is None else await self._unpack(found)

    async def _put_toolset(self, base_url: str, copy: bytes) -> None:
        packed = await self._pack("", f"toolset {base_url}", copy)
        item = {**packed, **self._expiry(KEPT_SECONDS)}
        await self._table.put(f"toolset#{_part(base_url)}", "toolset", item, _HINT)

    # -- a slice that runs

    async def interrupt(self, thread: str, action: str, message_id: str, argument: str | None = None) -> None:
        """Leave word for a slice that runs now: the control message itself cannot pass it in the queue.

        Args:
            thread: Whose slice it is.
            action: ``interrupt``, ``stop`` or ``close``.
            message_id: Of the control message. Lost: the message itself comes when the slice is over.
            argument: The message's argument, because the slice folds this copy in.
        """
        item = {
            "action": text(action),
            "message": text(message_id),
            **self._expiry(INTERRUPT_SECONDS),
        }
        if argument is not None:
            # The slice folds this copy in, and the message behind it is a repeat then: it says all that the
            # message says.
            item["argument"] = text(argument)
        await self._hint("interrupt", thread, self._table.put(_pk(thread), "interrupt", item, _HINT))

    async def take_interrupt(self, thread: str) -> Interrupt | None:
        """Take what interrupts the slice that runs; it is given once at most.

        Late: its message may be **applied already, so ask before heeding it**; the slice that runs now may
        have begun after it. Lost: as ``interrupt``.
        """
        return await self._hint("take_interrupt", thread, self._take_interrupt(thread))

    async def _take_interrupt(self, thread: str) -> Interrupt | None:
        # Mostly there is nothing, and reading is a tenth of the price of deleting.
        found = await self._get(_pk(thread), "interrupt")
        if found is None:
            return None
        argument = found["argument"]["S"] if "argument" in found else None
        interrupt = Interrupt(found["action"]["S"], found["message"]["S"], argument)
        taken = await self._table.take(_pk(thread), "interrupt", "message", interrupt.message_id, _HINT)
        return interrupt if taken else None

    async def failing(self, thread: str) -> str | None:
        """Why the thread's last slice failed, while it is being tried again."""
        found = await self.trouble(thread)
        return found.reason or None if found is not None else None

    async def trouble(self, thread: str) -> Trouble | None:
        """``None``: that cannot be known now, and nothing may be concluded from it (I8)."""
        return await self._hint("trouble", thread, self._trouble(thread))

    async def put_trouble(self, troubles: Mapping[str, Trouble]) -> None:
        """Record why threads fail: ``troubles`` by thread. Lost: the API says that messages are queued, and
        not why; receives count as the thread's own failures. Late: it shows for up to an hour after the
        thread has recovered.
        """
        items = {(_pk(thread), "failing"): self._item(trouble) for thread, trouble in troubles.items()}
        await self._hint("put_trouble", ", ".join(troubles), self._table.write(items, policy=_HINT))

    def _item(self, trouble: Trouble) -> Item:
        counts = {name: getattr(trouble, name) for name in ("excused", "heard", "begun")}
        return {
            "reason": text(trouble.reason[:_REASON]),
            **{name: number(count) for name, count in counts.items() if count},
            **self._expiry(FAILING_SECONDS),
        }

    async def forget_failing(self, thread: str) -> None:
        """The thread has recovered. Lost: as ``put_trouble`` when it is late. Repeated: nothing."""
        await self._hint("forget_failing", thread, self._forget_failing(thread))

    async def _forget_failing(self, thread: str) -> None:
        # Mostly there is nothing, and reading is a tenth of the price of deleting.
        if await self._get(_pk(thread), "failing") is not None:
            await self._table.write({}, [(_pk(thread), "failing")], policy=_HINT)

    async def _trouble(self, thread: str) -> Trouble:
        found = await self._get(_pk(thread), "failing")
        if found is None:
            return Trouble()
        excused, heard, begun = (
            int(found[n]["N"]) if n in found else 0 for n in ("excused", "heard", "begun")
        )
        return Trouble(found["reason"]["S"], excused, heard, begun)

    # -- the order of messages

    async def order(self, thread: str) -> Order | None:
        """``None``: that cannot be known now."""
        return await self._hint("order", thread, self._order(thread))

    async def put_order(self, orders: Mapping[str, Order]) -> None:
        """Put on record how messages stand: ``orders`` by thread. Lost: dead letters may come behind what was
        said later. Late, or repeated after it was forgotten: the database says that all of it is processed.
        """
        items = {
            (_pk(thread), "order"): {
                "ids": text(msgspec.json.encode(order.ids).decode()),
                "waited": number(order.waited),
                **self._expiry(SEEN_SECONDS),
            }
            for thread, order in orders.items()
        }
        await self._hint("put_order", ", ".join(orders), self._table.write(items, policy=_HINT))

    async def forget_order(self, thread: str) -> None:
        """They are through. Lost: as ``put_order`` when it is late. Repeated: nothing."""
        keys = [(_pk(thread), "order")]
        await self._hint("forget_order", thread, self._table.write({}, keys, policy=_HINT))

    async def _order(self, thread: str) -> Order:
        found = await self._get(_pk(thread), "order")
        if found is None:
            return Order()
        ids = msgspec.json.decode(found["ids"]["S"], type=tuple[tuple[str, str], ...])
        return Order(ids, int(found["waited"]["N"]))

    # -- how much was said

    async def count_said(self, thread: str, message_id: str, most: int) -> Said | None:
        """Count one more message that a person sends; ``None`` if the bound is reached, and nothing was
        counted.

        Args:
            thread: The thread that it is for.
            id: The message's id, which becomes ``last``.
            most: The bound while the item has none of its own.

        Raises:
            AwsError: what DynamoDB says; ``queue_limit.py`` decides what that means.
        """
        values = {
            "last": text(message_id),
            "one": number(1),
            "most": number(most),
            **self._expiry(SEEN_SECONDS),
        }
        # One conditional update, not a read and a write: many receivers count the same thread at once.
        found = await self._table.update(
            _pk(thread),
            "said",
            "SET #last = :last, #expires = :expires ADD #count :one",
            "attribute_not_exists(#count) OR #count < #bound OR (attribute_not_exists(#bound) AND #count < :most)",
            values,
            _HINT,
        )
        return None if found is None else _said(found)

    async def uncount_said(self, thread: str) -> None:
        """One less. Raises what DynamoDB does."""
        values = {"less": number(-1), "none": number(0)}
        await self._table.update(_pk(thread), "said", "ADD #count :less", "#count > :none", values, _HINT)

    async def said(self, thread: str) -> Said | None:
        found = await self._table.get(_pk(thread), "said", _HINT)
        return None if found is None else _said(found)

    async def mark_said(self, thread: str, marks: tuple[tuple[int, str], ...]) -> None:
        """Keep ``marks``: numbers of messages of ``thread`` with their ids, the latest last. Of two writers at
        once one is lost; the next mark is as good.
        """
        values = {"marks": text(msgspec.json.encode(marks).decode())}
        await self._table.update(_pk(thread), "said", "SET #marks = :marks", "", values, _HINT)

    async def bound_said(self, thread: str, bound: int) -> None:
        """Move the ``bound`` that the count of ``thread`` may reach. Raises what DynamoDB says."""
        values = {"bound": number(bound)}
        await self._table.update(_pk(thread), "said", "SET #bound = :bound", "", values, _HINT)

    # -- schedules

    async def schedule(self, thread: str) -> int | None:
        """When the thread's schedule wakes it, in ms since the epoch: the earliest of those to come. Lost:
        another one is made.
        """
        return await self._hint("schedule", thread, self._schedule(thread))

    async def put_schedule(self, thread: str, due_at: int) -> None:
        """Note that a schedule of ``thread`` exists for ``due_at``, in milliseconds since the epoch; call it
        after it was made. Lost: another one is made. Late: the sweep finds the timer that has none.
        """
        item = {"at": number(due_at), "expires": number(due_at // 1000 + _DAY)}
        await self._hint("put_schedule", thread, self._table.put(_pk(thread), "schedule", item, _HINT))

    async def _schedule(self, thread: str) -> int | None:
        found = await self._get(_pk(thread), "schedule")
        return None if found is None else int(found["at"]["N"])

    # -- a thread that is deleted

    async def forget_thread(self, thread: str) -> int:
        """Delete all items of ``thread``, which is deleted; gives their number. Raises ``AwsError`` if that
        fails: this is no hint, because the items hold what was said. Repeated: nothing.
        """
        pk = _pk(thread)
        keys = [(pk, sk) for sk in await self._table.keys(pk)]
        await self._table.write({}, keys)
        return len(keys)

    # -- items

    async def _hint(self, method: str, about: str, work: Awaitable[T]) -> T | None:
        try:
            return await work
        # The last two: an item that is not one of ours.
        except (StoreError, LimitReached, KeyError, ValueError) as error:
            self.lost[method] += 1
            level = logging.DEBUG if isinstance(error, NotAsked) else logging.WARNING
            log.log(
                level, "%s for %s was lost, the database answers instead: %s", method, about[:_PART], error
            )
            return None

    async def _get(self, pk: str, sk: str) -> Item | None:
        # DynamoDB deletes expired items days late, so that one which is there may be over.
        item = await self._table.get(pk, sk, _HINT)
        return item if item is not None and self._fresh(item) else None

    async def _pack(self, thread: str, name: str, body: bytes) -> Item:
        # The body is put into the bucket before the item that refers to it, never after (I8).
        if len(body) <= LARGEST:
            return {"body": binary(body)}
        if self._blobs is None:
            raise LimitReached(
                f"the {name} has {len(body)} bytes, more than {LARGEST}; send less, or set INFINITY_BUCKET for large ones"
            )
        return {"claim": text(await self._blobs.put(thread, name, body))}

    async def _unpack(self, item: Item) -> bytes:
        if "claim" not in item:
            return bytes_of(item["body"])
        if self._blobs is None:
            raise StoreError("a body is in a bucket, and INFINITY_BUCKET does not say in which; set it")
        return await self._blobs.get(item["claim"]["S"])

    def _fresh(self, item: Item) -> bool:
        return int(item["expires"]["N"]) * 1000 > self._now()

    def _expiry(self, seconds: int) -> Item:
        return {"expires": number(self._now() // 1000 + seconds)}


def _said(item: Item) -> Said:
    marks = (
        msgspec.json.decode(item["marks"]["S"], type=tuple[tuple[int, str], ...]) if "marks" in item else ()
    )
    return Said(
        int(item["count"]["N"]), int(item["bound"]["N"]) if "bound" in item else 0, item["last"]["S"], marks
    )


def _pk(thread: str) -> str:
    return f"thread#{_part(thread)}"


def _part(name: str) -> str:
    """The text itself, or a digest where a key could not hold it. Nobody's text can be another one's digest."""
    raw = name.encode(errors="surrogatepass")
    if len(raw) <= _PART and name.isprintable() and not name.startswith("sha256."):
        return name
    return f"sha256.{hashlib.sha256(raw).hexdigest()}"
