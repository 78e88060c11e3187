"""The cloud host: its parts and their order, made once per process and kept between invocations.

``open_host`` reads the settings and puts the parts together; every handler works with the ``Host`` that it
gives. What a function does not need is left out, because it may have no permission for it. The order of a
commit and its effects is not decided here but in ``batch``: nothing in this module may send what no commit
has recorded (I5).
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from infinity._core import CoreError, Message
from infinity.abc import Clock, Models, Observer, Status
from infinity.aws.breaker import Breaker
from infinity.aws.client import Aws
from infinity.aws.secrets import resolve
from infinity.aws.sqs import Queue, deduplication_id
from infinity.callback_keys import kept_keys
from infinity.errors import BadRequest, ConfigError, DamagedStore, InfinityError, ThreadDeleted
from infinity.feed import Feed
from infinity.ids import Ids, RandomIds
from infinity.models.planning import examine
from infinity.models.registry import Models as ConfiguredModels
from infinity.rap.address import Server
from infinity.rap.capability import Capabilities, generate_key
from infinity.runtime import Runtime
from infinity.settings import Settings
from infinity.stores.postgres.address import connections, open_address
from infinity.stores.postgres.commit import Notification
from infinity.stores.postgres.opening import check_tables
from infinity.stores.postgres.transactions import Transactions
from infinity.tools.functions import ToolLike

from . import envelope
from .alarms import Alarms
from .blobs import BlobStore
from .clock import SystemClock
from .effects import PostCommit
from .environment import Resources, read_agent, read_config, read_resources
from .groups import SILENT
from .hints import HintTable, Trouble
from .metrics import Counting
from .notifications import Notifier
from .store import CloudStore
from .toolsets import CloudToolsets, configured_servers
from .transport import SignedTransport

__all__ = ["Described", "Host", "Parts", "open_host"]

KEYS = "keys"
"""Needed by functions that make or open callback URLs: the keys that sign those. Others may not read them."""
NEEDED = ("store", "inbox_queue", "table", "public_url", KEYS)
STATEMENT = 8.0
"""Seconds of one statement: with the next try of it, less than the shortest time limit of a function."""
CALLS_TOOLS = "tools"
"""Needed by functions that speak to tool servers: the servers' tokens."""


log = logging.getLogger("infinity.cloud")

_NOWHERE = {Status.UNKNOWN_THREAD: "there is no such thread", Status.MOVED: "its thread has moved"}


@dataclass(frozen=True, slots=True)
class Described:
    """The agent, as a configuration file or a program describes it."""

    settings: Settings
    models: Models
    functions: Sequence[ToolLike] = ()
    servers: Sequence[Server] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a test or a simulator brings in place of the real thing. ``clock`` and ``ids`` as in
    ``infinity.abc``; ``observe`` stands in front of the feed.
    """

    clock: Clock | None = None
    ids: Ids | None = None
    described: Described | None = None
    transactions: Callable[[BlobStore | None], Transactions] | None = None
    observe: Callable[[Observer], Observer] | None = None
    breaker: Breaker | None = None
    """The process's own, which outlives its hosts."""


class Host:
    """The parts of one process, and what several functions do with them.

    ``alarms`` is for functions that flush the effects of a commit; the others cannot reach the queues of
    time. ``open_host`` makes one.

    Args:
        aws: The client of all services.
        resources: Where everything is.
        environment: With secrets resolved.
        runtime: The engine.
        store: Of this host.
        hints: The same that the store has.
        post_commit: The runtime's mailbox and alarm.
        clock: The runtime's.
    """

    def __init__(
        self,
        aws: Aws,
        resources: Resources,
        environment: Mapping[str, str],
        runtime: Runtime,
        store: CloudStore,
        hints: HintTable,
        post_commit: PostCommit,
        clock: Clock,
    ) -> None:
        now = clock.now
        self.aws = aws
        self.resources = resources
        self.environment = environment
        self.runtime = runtime
        self.store = store
        self.hints = hints
        self.post_commit = post_commit
        self._looked = False
        self.looked_at = -math.inf
        """When its secrets were last compared with what is kept."""
        self.now = now
        self.inbox_queue = Queue(aws, resources.inbox_queue)
        delay = Queue(aws, resources.delay_queue)
        self.alarms = Alarms(
            self.inbox_queue,
            delay,
            aws,
            group=resources.schedule_group,
            role=resources.schedule_role,
            dead_letters=resources.schedule_dead_letters,
            now=now,
            hints=hints,
        )
        self._blobs = BlobStore(aws, resources.bucket) if resources.bucket else None
        self._records = BlobStore(aws, resources.bucket, "records") if resources.bucket else None
        self._output = Notifier(Queue(aws, resources.output_queue)) if resources.output_queue else None

    # -- messages

    async def fetch(self, message: Message, key: str) -> Message:
        """Read the body of a message that was too large for the queue.

        Args:
            message: The message with an empty body.
            key: Of the body in the bucket.

        Raises:
            ConfigError: if no bucket is configured.
            DamagedStore: if the body is gone or is not one of its kind.
            AwsError: if that cannot be known now; the message stays queued.
        """
        if self._blobs is None:
            raise ConfigError(
                f"message {message.id} is in a bucket, and INFINITY_BUCKET does not say in which; set it"
            )
        body = await self._blobs.get(key)
        try:
            envelope.check_body(message.kind, body)
        except (BadRequest, msgspec.DecodeError) as error:
            raise DamagedStore(
                f"the body of message {message.id} in the bucket cannot be read: {error}"
            ) from error
        return Message(message.thread, message.id, message.kind, body, accepted_at=message.accepted_at)

    async def welcome(self, message: Message) -> None:
        """Make sure that the root thread exists which a person's message is for.

        Args:
            message: User text from the queue; it creates or reopens the thread. Of a thread that was
                deleted, its slice drops it on record.
        """
        row = await self.store.thread(message.thread)
        if row is None:
            try:
                await self.runtime.create(id=message.thread)
            except ThreadDeleted as error:
                # Its slice drops it on record.
                log.info("message %s creates nothing: %s", message.id, error)
        elif row.status == "closed":
            await self.runtime.reopen(message.thread)

    async def refuse(self, thread: str, message_id: str, reason: str) -> None:
        """Drop a message that can never be read: on record first, then told (I2).

        Args:
            thread: The message group that it came in.
            message_id: SQS's id of the message.
            reason: For people, without the message's content (S9).
        """
        await self.store.discard(thread, f"sqs.{message_id}", reason, self.now())
        await self.problem(
            thread, f"refused.{message_id}", "unreadable", f"a message in the queue was dropped: {reason}"
        )

    async def keep(self, message: Message) -> Status:
        """Put a message into the database's inbox.

        A database that was put back to an earlier time may not know the thread: that is put on record and
        told (I2).

        Returns:
            What became of it, as ``Store.accept`` says.
        """
        status = (await self.store.keep(message)).status
        if (reason := _NOWHERE.get(status)) is not None:
            await self.store.discard(message.thread, message.id, reason, self.now())
            text = f"message {message.id} was dropped: {reason}"
            await self.problem(message.thread, f"refused.{message.id}", "unreadable", text)
        return status

    async def send_erasure(self, root: str) -> None:
        """Tell the agent function to remove a tree that is marked as deleted. One too many finds nothing.

        Args:
            root: Id of the tree's root thread.

        Raises:
            AwsError: if the queue did not take it; the sweep sends another.
        """
        deduplication = deduplication_id(root, f"erasure.{self.fresh_cause()}")
        await self.inbox_queue.send(envelope.erasure(root), group=root, deduplication_id=deduplication)

    async def forget(self, thread: str) -> None:
        """Delete what is kept of a deleted thread outside of the database: hints, large bodies, schedules.

        Args:
            thread: Its id; its timers must still be in the database, because they name the schedules.

        Raises:
            AwsError: if something could not be deleted; may be repeated.
        """
        due = {timer.due_at for timer in await self.store.timers(thread)}
        # Of a timer that may be over by now, and that stands for all later ones.
        if (scheduled := await self.hints.schedule(thread)) is not None:
            due.add(scheduled)
        for due_at in sorted(due):
            await self.alarms.forget(thread, due_at)
        # After the schedules: the hints name one of them.
        await self.hints.forget_thread(thread)
        for bodies in (self._blobs, self._records):
            if bodies is not None:
                await bodies.forget(thread)

    # -- words for people

    async def notify(self, rows: Sequence[Notification]) -> None:
        """Send rows of the output queue, and forget them once they have left (I5).

        Raises:
            AwsError: if not all were taken; they stay on record.
        """
        if self._output is not None:
            await self._output.send(rows)
        # Forgotten after they left, so that a crash in between sends them twice and never loses them.
        await self.store.forget([key for key, _, _ in rows])

    async def failing(self, thread: str, reason: str, receives: int, *, outage: bool = False) -> None:
        """Put on record that a slice failed and is tried again; people are told once until the thread has
        recovered.

        Args:
            thread: The thread that failed.
            reason: For people.
            receives: Of its messages so far; 0 if they are processed and something else failed.
            outage: Because the store was away, which does not count against the thread.
        """
        before = await self.hints.trouble(thread) or Trouble()
        now = Trouble(reason, before.excused + outage, heard=receives)
        await self.hints.put_trouble({thread: now})
        # A thread that keeps failing is one problem, not one a try.
        if before.reason in ("", SILENT):
            await self.problem(thread, f"failing.{secrets.token_hex(8)}", "failing", reason)

    async def problem(self, thread: str, message_id: str, code: str, text: str) -> None:
        """Tell people of a problem that is not a part of the thread's event stream.

        Args:
            thread: The thread concerned.
            message_id: Unique for the occurrence; the queue drops a repeat within five minutes.
            code: One word that a client may act on.
            text: For people.
        """
        if self._output is None:
            return
        body = {
            "id": f"{thread}.{message_id}",
            "thread": thread,
            "kind": "problem",
            "data": {"code": code, "text": text},
        }
        await self._output.send([(f"problem.{thread}.{message_id}", thread, msgspec.json.encode(body))])

    async def end_removed(self) -> None:
        """Once in a process: a new deployment may have other tool servers. What fails is done by the next
        one.
        """
        if self._looked:
            return
        self._looked = True
        try:
            await self.runtime.end_removed()
        except (InfinityError, CoreError, OSError) as error:
            log.warning(
                "calls of tool servers that are not configured any more were not looked for: %s", error
            )

    def fresh_cause(self) -> str:
        """For a wake that must not be taken for an earlier one."""
        return secrets.token_hex(8)

    async def close(self) -> None:
        """Stop the runtime, then close the store and the client of AWS, in this order: what stops still
        writes.
        """
        await self.runtime.stop(0)
        await self.store.close()
        await self.aws.close()


async def open_host(
    environment: Mapping[str, str], needed: Collection[str] = NEEDED, parts: Parts | None = None
) -> Host:
    """Make the host of a process.

    Args:
        environment: The function's variables. Secrets that they name are read first.
        needed: Names of ``Resources`` that this function cannot do without, ``KEYS`` and ``CALLS_TOOLS``.
        parts: What a test brings in place of the real thing.

    Raises:
        ConfigError: says everything that is missing or wrong.
        StoreError: if the database or a secret cannot be reached; the start is tried again by ``start.py``.
    """
    aws = Aws(environment)
    try:
        # Before anything reads a setting: a value may be the name of a secret.
        environment = await resolve(environment, aws)
        if parts is None or parts.described is None:
            described = _describe(environment, calls_tools=CALLS_TOOLS in needed)
            parts = replace(parts or Parts(), described=described)
        resources = read_resources(environment, needed)
        return await _assemble(aws, resources, environment, parts, signs=KEYS in needed)
    except BaseException:
        # A cancelled start, too, must not leave connections open in a process that will try again.
        await aws.close()
        raise


async def _assemble(
    aws: Aws, resources: Resources, environment: Mapping[str, str], parts: Parts, *, signs: bool
) -> Host:
    clock, described = parts.clock or SystemClock(), parts.described
    assert described is not None
    blobs = BlobStore(aws, resources.bucket) if resources.bucket else None
    hints = HintTable(aws, resources.table, clock.now, blobs=blobs, breaker=parts.breaker)
    output = Notifier(Queue(aws, resources.output_queue)) if resources.output_queue else None
    records = BlobStore(aws, resources.bucket, "records") if resources.bucket else None
    transactions = await _transactions(resources, records, parts)
    most = described.settings.limits.queued_messages
    inbox = Queue(aws, resources.inbox_queue)
    store = CloudStore(transactions, inbox, hints, blobs=blobs, output=output, most=most)
    try:
        # What a key of nobody's signs is refused by everybody.
        keys = await kept_keys(store) if signs else [generate_key()]
        if not keys:
            raise ConfigError("there are no keys to sign callback URLs with; run: infinity cloud migrate")
        capabilities = Capabilities(keys, resources.public_url or None)
    except BaseException:
        await store.close()
        raise
    post_commit = PostCommit()
    feed = Feed(store)
    runtime = Runtime(
        store=store,
        mailbox=post_commit,
        models=described.models,
        transport=SignedTransport(described.servers, aws),
        toolsets=CloudToolsets(described.servers, hints, aws),
        capabilities=capabilities,
        clock=clock,
        feed=feed,
        settings=described.settings,
        functions=described.functions,
        observer=Counting(parts.observe(feed) if parts.observe is not None else feed),
        ids=parts.ids or RandomIds(),
        sole_writer=False,
        alarm=post_commit,
    )
    return Host(aws, resources, environment, runtime, store, hints, post_commit, clock)


async def _transactions(resources: Resources, blobs: BlobStore | None, parts: Parts) -> Transactions:
    if parts.transactions is not None:
        return parts.transactions(blobs)
    address = open_address(resources.store)
    opened = connections(address, command_timeout=STATEMENT)
    transactions = Transactions(opened, address.platform, address.where, blobs=blobs)
    await check_tables(transactions, address.where)
    return transactions


def _describe(environment: Mapping[str, str], *, calls_tools: bool) -> Described:
    config = read_config(environment)
    agent = read_agent(environment)
    models = ConfiguredModels(config.models, environment=environment)
    urls = agent.toolsets if agent else ()
    servers = configured_servers(config.toolsets, urls, environment, calls_tools=calls_tools)
    described = (
        Described(config.settings(), models, (), servers)
        if agent is None
        else Described(agent.settings, models, agent.tools, servers)
    )
    if calls_tools:
        # As a daemon says it at its start; the other functions ask no model, and need not import a provider
        # for this.
        notices = [models.notice] if models.notice else []
        for notice in notices + examine(models, described.settings, named=False):
            log.warning("%s", notice)
    return described
