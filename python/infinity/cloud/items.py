"""What may lag behind the database without harm, in one DynamoDB table: ids already applied, pending prompts, views, copies of toolsets, interrupts.

| `pk` | `sk` | further attributes |
|---|---|---|
| `thread#ID` | `seen#MESSAGE` | |
| `thread#ID` | `prompt#PROMPT` | `kind`, `body` |
| `thread#ID` | `view#TYPE` | `type`, `at`, `body` or `claim` |
| `thread#ID` | `interrupt` | `action`, `message` |
| `thread#ID` | `failing` | `reason` |
| `toolset#URL` | `toolset` | `body` or `claim` |

All have `expires`, in seconds since the epoch: DynamoDB deletes what has expired days late, so readers look at it. Ids that are long, or hold what no
key may, are replaced by a digest.

Nothing here is the truth. An id that is not here is not new (R1, I8): the database decides. An id that is here was applied, because it is written after the
commit only; **so a database that is put back to an earlier time needs an empty table beside it**.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from infinity.abc import PromptRow
from infinity.errors import LimitReached, StoreError

from .aws.client import Aws, Patience
from .aws.failure import AwsError
from .claims import Claims

__all__ = ["Interrupt", "Items"]

log = logging.getLogger("infinity.cloud")

T = TypeVar("T")
Item = dict[str, dict[str, str]]

_DAY = 24 * 3600
SEEN_SECONDS = 14 * _DAY
"""As long as a queue may keep a message."""
PROMPT_SECONDS = 14 * _DAY
KEPT_SECONDS = 90 * _DAY
"""Views and toolsets, from their last change."""
INTERRUPT_SECONDS = 900
"""As long as an invocation can last."""
FAILING_SECONDS = 3600

LARGEST = 380_000
"""Bytes of a body in an item: an item may have 400 KB, its names and keys included."""
_BATCH = 25
_TRIES = 4
_PART = 200
_HINT = Patience(tries=3, connect=1.0, once=1.5, total=3.0)
"""A hint is not worth a slice's time."""


class Interrupt(NamedTuple):
    """``message_id``: of the control message, which is in the inbox queue too; ``action``: ``interrupt``, ``stop`` or ``close``."""

    action: str
    message_id: str


class Items:
    """``now``: ms since the epoch. ``claims``: where bodies go that an item cannot hold; without it they are refused.

    Hints (``seen``, ``remember``, prompts, toolsets, interrupts, ``put_failing``) raise nothing for what DynamoDB does: a write that failed is lost, a read
    that failed found nothing. Both are logged, and counted in ``lost`` by the method's name. Views are no hints: they are nowhere else.
    """

    def __init__(
        self,
        aws: Aws,
        table: str,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        claims: Claims | None = None,
    ) -> None:
        self._aws, self._table, self._now, self._claims = aws, table, now, claims
        self.lost: Counter[str] = Counter()

    # -- ids already applied

    async def seen(self, thread: str, id: str) -> bool:
        """True: the message was applied, for certain. False: not known here; **ask the database**, it is not new for that."""
        return await self._hint("seen", thread, self._get(_pk(thread), f"seen#{_part(id)}")) is not None

    async def remember(self, thread: str, ids: Iterable[str]) -> None:
        """Call it after the commit that applied them. Lost, or late: the database is asked once more. Repeated: nothing."""
        pk, expires = _pk(thread), self._expiry(SEEN_SECONDS)
        items = [{**_key(pk, f"seen#{_part(id)}"), **expires} for id in dict.fromkeys(ids)]
        await self._hint("remember", thread, self._write([{"PutRequest": {"Item": item}} for item in items]))

    # -- prompts

    async def prompt(self, thread: str, id: str) -> PromptRow | None:
        """``None``: not known here; ask the database. One that is found may be over already: its answer is checked by the slice that gets it."""
        found = await self._hint("prompt", thread, self._get(_pk(thread), f"prompt#{_part(id)}"))
        return None if found is None else PromptRow(id, thread, found["kind"]["S"], _bytes(found["body"]))

    async def put_prompts(self, thread: str, prompts: Iterable[tuple[str, str, bytes]]) -> None:
        """Id, kind and body. Lost: the database is asked. Late or repeated after it was forgotten: it shows until it expires, and its answer changes nothing."""
        pk, expires = _pk(thread), self._expiry(PROMPT_SECONDS)
        puts = [
            {**_key(pk, f"prompt#{_part(id)}"), "kind": {"S": kind}, "body": _binary(body), **expires}
            for id, kind, body in prompts
            if len(body) <= LARGEST
        ]
        await self._hint(
            "put_prompts", thread, self._write([{"PutRequest": {"Item": item}} for item in puts])
        )

    async def forget_prompts(self, thread: str, ids: Iterable[str]) -> None:
        """Lost or late: as ``put_prompts`` when it is late. Repeated: nothing."""
        keys = [_key(_pk(thread), f"prompt#{_part(id)}") for id in dict.fromkeys(ids)]
        await self._hint(
            "forget_prompts", thread, self._write([{"DeleteRequest": {"Key": key}} for key in keys])
        )

    # -- views

    async def views(self, thread: str) -> list[tuple[str, bytes]]:
        """The latest of each type. ``AwsError`` or ``DamagedStore`` if they cannot be read: never none instead (I8)."""
        values = {":pk": {"S": _pk(thread)}, ":sk": {"S": "view#"}}
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
        }
        found: list[Item] = []
        while True:
            answer = await self._aws.json("dynamodb", "Query", query)
            found += [item for item in answer.get("Items", ()) if self._fresh(item)]
            if not (last := answer.get("LastEvaluatedKey")):
                break
            query["ExclusiveStartKey"] = last
        bodies = await asyncio.gather(*map(self._unpack, found))
        return [(item["type"]["S"], body) for item, body in zip(found, bodies, strict=True)]

    async def put_view(self, thread: str, view_type: str, content: bytes) -> None:
        """Raises if it was not stored, so that whoever sent it sends it again (VIEW-1). Late or repeated: it does not replace one that was stored later.

        ``LimitReached`` if it is larger than an item, and there is no bucket.
        """
        packed = await self._pack(thread, f"view {view_type}", content)
        if packed is None:
            raise LimitReached(
                f"the view {view_type[:100]!r} has {len(content)} bytes, more than {LARGEST}; send less, or set INFINITY_BUCKET for large ones"
            )
        at = {"N": str(self._now())}
        item = {
            **_key(_pk(thread), f"view#{_part(view_type)}"),
            "type": {"S": view_type},
            "at": at,
            **packed,
            **self._expiry(KEPT_SECONDS),
        }
        condition = {
            "ConditionExpression": "attribute_not_exists(#at) OR #at <= :at",
            "ExpressionAttributeNames": {"#at": "at"},
            "ExpressionAttributeValues": {":at": at},
        }
        try:
            await self._aws.json("dynamodb", "PutItem", {"TableName": self._table, "Item": item, **condition})
        except AwsError as error:
            if error.service_code != "ConditionalCheckFailedException":
                raise

    # -- toolsets

    async def toolset(self, base_url: str) -> bytes | None:
        """The last copy, for when its server cannot be reached (DISC-6); ``None`` if there is none, or it cannot be had."""
        return await self._hint("toolset", base_url, self._toolset(base_url))

    async def put_toolset(self, base_url: str, copy: bytes) -> None:
        """Lost: an older copy serves on bad days. Late: a newer one is overwritten, until the next change or process. Repeated: nothing."""
        await self._hint("put_toolset", base_url, self._put_toolset(base_url, copy))

    async def _toolset(self, base_url: str) -> bytes | None:
        found = await self._get(f"toolset#{_part(base_url)}", "toolset")
        return None if found is None else await self._unpack(found)

    async def _put_toolset(self, base_url: str, copy: bytes) -> None:
        packed = await self._pack("", f"toolset {base_url}", copy)
        if packed is None:
            raise LimitReached(
                f"the copy has {len(copy)} bytes, more than {LARGEST}, and there is no INFINITY_BUCKET"
            )
        key = _key(f"toolset#{_part(base_url)}", "toolset")
        await self._put({**key, **packed, **self._expiry(KEPT_SECONDS)})

    # -- a slice that runs

    async def interrupt(self, thread: str, action: str, message_id: str) -> None:
        """For a slice that runs now: its message cannot pass it in the queue. Lost: the message itself comes when the slice is over."""
        item = {
            **_key(_pk(thread), "interrupt"),
            "action": {"S": action},
            "message": {"S": message_id},
            **self._expiry(INTERRUPT_SECONDS),
        }
        await self._hint("interrupt", thread, self._put(item))

    async def take_interrupt(self, thread: str) -> Interrupt | None:
        """What interrupts the slice that runs, given once. Late, or repeated: it is of a message that may be **applied already, so ask before heeding it**: the
        slice that runs now may have been begun after it."""
        return await self._hint("take_interrupt", thread, self._take_interrupt(thread))

    async def _take_interrupt(self, thread: str) -> Interrupt | None:
        # Reading is a tenth of the price of deleting, and mostly there is nothing.
        found = await self._get(_pk(thread), "interrupt")
        if found is None:
            return None
        taken = {
            "TableName": self._table,
            "Key": _key(_pk(thread), "interrupt"),
            "ConditionExpression": "#message = :message",
            "ExpressionAttributeNames": {"#message": "message"},
            "ExpressionAttributeValues": {":message": found["message"]},
        }
        try:
            await self._aws.json("dynamodb", "DeleteItem", taken, patience=_HINT)
        except AwsError as error:
            if error.service_code == "ConditionalCheckFailedException":
                return None  # another one took it, or a newer one is there and is found by the next look
            raise
        return Interrupt(found["action"]["S"], found["message"]["S"])

    async def failing(self, thread: str) -> str | None:
        """Why the thread's last slice failed, while it is being tried again."""
        found = await self._hint("failing", thread, self._get(_pk(thread), "failing"))
        return None if found is None else found["reason"]["S"]

    async def put_failing(self, thread: str, reason: str) -> None:
        """Lost: whoever asks is told that messages are queued, and not why. Late: it shows for up to an hour after the thread has recovered."""
        item = {
            **_key(_pk(thread), "failing"),
            "reason": {"S": reason[:2000]},
            **self._expiry(FAILING_SECONDS),
        }
        await self._hint("put_failing", thread, self._put(item))

    # -- items

    async def _hint(self, method: str, about: str, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except (StoreError, LimitReached, KeyError, ValueError) as error:
            self.lost[method] += 1
            log.warning("%s for %s was lost (the database goes on without): %s", method, about[:200], error)
            return None

    async def _get(self, pk: str, sk: str) -> Item | None:
        payload = {"TableName": self._table, "Key": _key(pk, sk)}
        answer = await self._aws.json("dynamodb", "GetItem", payload, patience=_HINT)
        item: Item | None = answer.get("Item")
        return item if item and self._fresh(item) else None

    async def _put(self, item: Item) -> None:
        payload = {"TableName": self._table, "Item": item}
        await self._aws.json("dynamodb", "PutItem", payload, patience=_HINT)

    async def _write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """In batches; what DynamoDB leaves of one is tried again, a few times."""
        for batch in _batches(requests):
            left: Any = {self._table: batch}
            for tried in range(1, _TRIES + 1):
                answer = await self._aws.json(
                    "dynamodb", "BatchWriteItem", {"RequestItems": left}, patience=_HINT
                )
                left = answer.get("UnprocessedItems")
                if not left:
                    break
                if tried == _TRIES:
                    count = len(left.get(self._table, ()))
                    raise AwsError(f"dynamodb BatchWriteItem left {count} items each time", retryable=True)
                await self._aws.pause(tried)

    async def _pack(self, thread: str, name: str, body: bytes) -> Item | None:
        if len(body) <= LARGEST:
            return {"body": _binary(body)}
        if self._claims is None:
            return None
        return {"claim": {"S": await self._claims.put(thread, name, body)}}

    async def _unpack(self, item: Item) -> bytes:
        if "body" in item:
            return _bytes(item["body"])
        if self._claims is None:
            raise StoreError("a body is in a bucket, and INFINITY_BUCKET does not say in which; set it")
        return await self._claims.get(item["claim"]["S"])

    def _fresh(self, item: Item) -> bool:
        expires = item.get("expires")
        return expires is None or int(expires["N"]) * 1000 > self._now()

    def _expiry(self, seconds: int) -> Item:
        return {"expires": {"N": str(self._now() // 1000 + seconds)}}


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _pk(thread: str) -> str:
    return f"thread#{_part(thread)}"


def _part(text: str) -> str:
    """The text itself, or a digest where a key could not hold it. Nobody's text can be another one's digest."""
    raw = text.encode(errors="surrogatepass")
    if len(raw) <= _PART and text.isprintable() and not text.startswith("sha256."):
        return text
    return f"sha256.{hashlib.sha256(raw).hexdigest()}"


def _binary(body: bytes) -> dict[str, str]:
    return {"B": base64.b64encode(body).decode()}


def _bytes(attribute: Mapping[str, str]) -> bytes:
    return base64.b64decode(attribute["B"], validate=True)


def _batches(requests: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    for start in range(0, len(requests), _BATCH):
        yield requests[start : start + _BATCH]
