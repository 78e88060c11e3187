"""The output queue: each thread's rows in order, and once however often they are sent."""

from __future__ import annotations

import json

from tests.contract.aws_clients.conftest import drain

from infinity.aws.client import Aws
from infinity.aws.sqs import Queue, deduplication_id
from infinity.cloud.notifications import Notifier
from infinity.emulator import Emulator, reset
from infinity.stores.postgres.commit import Notification


def rows(thread: str, *positions: int) -> list[Notification]:
    return [
        (f"output.{thread}.{position}", thread, json.dumps({"id": f"{thread}.{position}"}).encode())
        for position in positions
    ]


async def test_rows_are_sent_in_order_and_keyed_by_thread_and_position(inbox: Queue, aws: Aws) -> None:
    output = Notifier(inbox)
    await output.send(rows("t", 3, 4, 7))
    await output.send(rows("u", 1))
    await output.send([])
    received = await drain(inbox)
    assert [json.loads(record["body"])["id"] for record in received] == ["t.3", "t.4", "t.7", "u.1"]
    assert received[1]["attributes"]["MessageDeduplicationId"] == deduplication_id("t", "4")
    assert aws.counts["sqs.SendMessage"] == 1, "a single row is not a batch"


async def test_rows_sent_again_after_a_crash_are_told_once(cloud: Emulator, inbox: Queue) -> None:
    output = Notifier(inbox)
    cloud.faults.add("sqs", "SendMessageBatch", reset(after=True), times=1)
    await output.send(rows("t", 1, 2))
    await output.send(rows("t", 1, 2, 3))
    assert [json.loads(record["body"])["id"] for record in await drain(inbox)] == ["t.1", "t.2", "t.3"]


async def test_rows_that_are_no_part_of_the_stream_have_ids_of_their_own(inbox: Queue) -> None:
    output = Notifier(inbox)
    await output.send([("problem.t.dead.1", "t", b'{"id":1}'), ("problem.t.dead.2", "t", b'{"id":2}')])
    assert len(await drain(inbox)) == 2
