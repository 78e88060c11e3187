"""``infinity cloud send``, ``replies`` and ``wake``: the queues of a deployment, as a person uses them.

They speak to SQS directly, with the person's own credentials. A reply is deleted from its queue only after
it was printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .display import clean, dim, exact, one_line, print_json, question_lines, strong, warn, within
from .exits import FAILED, Failure
from .options import as_json

if TYPE_CHECKING:
    from infinity.aws.client import Aws
    from infinity.aws.sqs import Queue

__all__ = ["replies", "send", "wake"]

T = TypeVar("T")

_PAGE = 100
_LONGEST_WAIT = 20
_INBOX: dict[str, Any] = {
    "required": True,
    "envvar": "INFINITY_INBOX_QUEUE",
    "show_envvar": True,
    "metavar": "URL",
    "help": "The inbox queue.",
}


@click.command(
    epilog="Examples: infinity cloud send hello 'Good morning.' · git diff | infinity cloud send review - --user ada"
)
@click.argument("thread")
@click.argument("text", required=False)
@click.option("--key", metavar="KEY", help="Sending again under the same key within 5 minutes is harmless.")
@click.option("--user", metavar="ID", help="Whose message it is.")
@click.option("--queue", **_INBOX)
@as_json
def send(thread: str, text: str | None, key: str | None, user: str | None, queue: str, as_json: bool) -> None:
    """Send TEXT to THREAD; '-' or nothing reads it from standard input. A thread that does not exist is created.

    Returns once it is in the queue; what the agent says to it comes by 'infinity cloud replies'.
    """
    from infinity.ids import ID_RULE, USER_RULE, is_id, is_user

    for what, thread_id in (("THREAD", thread), ("--key", key)):
        if thread_id is not None and not is_id(thread_id):
            raise click.UsageError(f"{what} must be {ID_RULE}")
    if user is not None and not is_user(user):
        raise click.UsageError(f"--user must be {USER_RULE}")
    if text is None or text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise click.UsageError("the message is empty")
    body: dict[str, Any] = {"content": {"type": "text", "text": text}, "group_id": thread}
    if user is not None:
        body["user_id"] = user
    message = _run(lambda: _send(queue, thread, json.dumps(body), key))
    if as_json:
        print_json({"thread": thread, "message": message})
    else:
        click.echo(f"queued: {thread}")


async def _send(url: str, thread: str, body: str, key: str | None) -> str:
    """The message's id, as the thread will know it."""
    from infinity.aws.sqs import deduplication_id

    async with _queue(url) as (_, queue):
        deduplication = deduplication_id(thread, f"cli.{key or uuid.uuid4().hex}")
        return "sqs." + await queue.send(body, group=thread, deduplication_id=deduplication)


@click.command(
    epilog="Examples: infinity cloud replies · infinity cloud replies --follow · infinity cloud replies --json | jq -r .data.text"
)
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--wait",
    type=click.IntRange(0, _LONGEST_WAIT),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the first reply.",
)
@click.option(
    "--queue",
    required=True,
    envvar="INFINITY_OUTPUT_QUEUE",
    show_envvar=True,
    metavar="URL",
    help="The output queue.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON as it is in the queue, one line each.")
def replies(follow: bool, wait: int, queue: str, as_json: bool) -> None:
    """Print replies, questions and problems, and delete from the queue what was printed.

    Each comes at least once; its id is always the same.
    """
    _run(
        lambda: _print_all(queue, _LONGEST_WAIT if follow else wait, follow, _as_it_is if as_json else _told)
    )


async def _print_all(url: str, wait: int, follow: bool, words: Callable[[str], str]) -> None:
    async with _queue(url) as (_, queue):
        while (records := await queue.receive(wait=wait)) or follow:
            for record in records:
                click.echo(words(record["body"]))
                # Deleted only once it is out of our hands.
                # A reader that has gone makes this fail, and what it did not get stays in the queue.
                sys.stdout.flush()
                await queue.delete(record["receiptHandle"])
            if not follow:
                wait = 0  # Anyone who waits, waits for the first.


def _as_it_is(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError:
        return json.dumps({"unreadable": body}, ensure_ascii=False)


def _told(body: str) -> str:
    try:
        told = json.loads(body)
        thread, kind, data = str(told["thread"]), str(told["kind"]), dict(told["data"])
    except (ValueError, KeyError, TypeError):
        return warn(f"a message that is none of Infinity's: {exact(body)[:200]}")
    return f"{strong(one_line(thread))}  {_words(kind, data)}"


def _words(kind: str, data: dict[str, Any]) -> str:
    match kind:
        case "reply":
            return within(clean(str(data.get("text", ""))), "  ")
        case "problem":
            return warn(one_line(f"{data.get('code', 'problem')}: {data.get('text', '')}"))
        case "prompt":
            message_id = str(data.get("id", ""))
            return "\n".join(
                [f"question {exact(message_id)}", *question_lines(data, message_id.partition(".")[0])]
            )
        case _:
            return dim(exact(f"{kind} {json.dumps(data, ensure_ascii=False)}"))


@click.command(epilog="Examples: infinity cloud wake thread_1 · infinity cloud wake --all")
@click.argument("thread", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every thread that is not closed; needs --store.")
@click.option("--queue", **_INBOX)
@click.option(
    "--store",
    envvar="INFINITY_STORE",
    show_envvar=True,
    metavar="URL",
    help="The database, for --all.",
)
@as_json
def wake(thread: str | None, everyone: bool, queue: str, store: str | None, as_json: bool) -> None:
    """Let THREAD look at what it has on record: messages, timers, deliveries. One wake too many is harmless.

    The deployment does this by itself every quarter of an hour for whatever is overdue.
    """
    if (thread is None) == (not everyone):
        raise click.UsageError("say which THREAD, or --all")
    if everyone and not store:
        raise click.UsageError("--all needs --store, or INFINITY_STORE")
    woken = _run(lambda: _wake(queue, thread, store or ""))
    if as_json:
        print_json({"woken": woken})
    else:
        click.echo(f"woken: {thread}" if thread is not None else f"woken: {woken} threads")


async def _wake(url: str, thread: str | None, store: str) -> int:
    from infinity.aws.sqs import Queue
    from infinity.cloud.alarms import Alarms

    async with _queue(url) as (aws, queue):
        # The inbox queue is all that is needed: nothing here waits, so no delay queue and no schedule.
        alarms = Alarms(queue, Queue(aws, ""), aws, group="", role="")
        woken = 0
        async for page in _pages(thread, store):
            # A cause of its own each time: a wake must not be taken for one that was consumed a minute ago.
            await alarms.wake_many([(thread_id, f"cli.{uuid.uuid4().hex}") for thread_id in page])
            woken += len(page)
        return woken


async def _pages(thread: str | None, url: str) -> AsyncIterator[list[str]]:
    if thread is not None:
        yield [thread]
        return
    from infinity.abc import pages
    from infinity.stores.postgres.opening import open_store

    store = await open_store(url)
    try:
        # Closed threads have nothing to wake for.
        for status in ("waiting", "stopped", "idle"):
            async for rows in pages(store, status=status, limit=_PAGE):
                yield [row.id for row in rows]
    finally:
        await store.close()


@asynccontextmanager
async def _queue(url: str) -> AsyncIterator[tuple[Aws, Queue]]:
    from infinity.aws.client import Aws
    from infinity.aws.sqs import Queue

    aws = Aws(os.environ)
    try:
        yield aws, Queue(aws, url)
    finally:
        await aws.close()


def _run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    try:
        return asyncio.run(main())
    except BrokenPipeError:
        raise Failure(
            "the reader of this output has gone; what was not printed is still in the queue", FAILED
        ) from None
