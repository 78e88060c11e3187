"""What a slice asks of AWS, request by request: each is paid for, for every message of every conversation. See benches/README.md for the price."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from tests.cloud.world import CloudWorld

from infinity.testing.replies import say

OF_A_SLICE = {
    "sqs.ReceiveMessage (mapping)": 1,
    "sqs.ChangeMessageVisibilityBatch": 1,
    "sqs.DeleteMessageBatch (mapping)": 1,
    "dynamodb.BatchWriteItem": 1,
}


async def requests(world: CloudWorld, thread: str, text: str, answer: str) -> Counter[str]:
    """From a message in the queue to rest. The message itself is one ``SendMessage``."""
    before = Counter(world.deployment.aws.counts)
    body = json.dumps({"content": {"type": "text", "text": text}, "group_id": thread})
    await world.client.inbox_queue.send(body, group=thread, deduplication_id=text)
    await world.said(thread, answer)
    await world.settled(thread)
    found = Counter(world.deployment.aws.counts) - before
    # A poll that comes back empty belongs to no message.
    found["sqs.ReceiveMessage (mapping)"] = min(found["sqs.ReceiveMessage (mapping)"], 1)
    return found


async def test_a_message_and_its_answer_take_six_requests_besides_reads(
    open_world: Callable[..., CloudWorld],
) -> None:
    world = open_world()
    await world.start()
    try:
        world.model.then(say("one"), say("two"), say("three"))
        await requests(world, "t", "first", "one")
        for text, answer in (("second", "two"), ("third", "three")):
            found = await requests(world, "t", text, answer)
            # How often an interrupt is looked for depends on the time that a completion takes; reads are a fifth of the price of writes.
            assert found.pop("dynamodb.GetItem") >= 1
            # The message, and the reply.
            assert found == Counter({**OF_A_SLICE, "sqs.SendMessage": 2})
    finally:
        await world.close()
