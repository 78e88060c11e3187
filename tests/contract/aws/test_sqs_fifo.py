"""SQS FIFO: order, locks, deduplication, time-outs, as the service documents them."""

from __future__ import annotations

import asyncio
import time

from tests.contract.aws.backends import Aws
from tests.contract.aws.conftest import refused
from tests.contract.aws.queues import VISIBILITY, queue, with_dead_letters

SERVICE = "sqs"


# order and locks


async def test_messages_of_a_group_come_in_the_order_in_which_they_were_sent(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    for number in range(5):
        await fifo.send(str(number), "g")
    assert await fifo.bodies(3) == ["0", "1", "2"]


async def test_a_group_is_locked_while_one_of_its_messages_is_in_flight(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, VisibilityTimeout=30)
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        await fifo.send(body, group)
    [first] = await fifo.receive(1)
    assert first["Body"] == "a1"
    assert await fifo.bodies() == ["b1"]
    await fifo.delete(first)
    assert await fifo.bodies() == ["a2"]


async def test_a_group_stays_locked_until_its_last_message_in_flight_is_done(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, VisibilityTimeout=30)
    for body in ("1", "2", "3"):
        await fifo.send(body, "g")
    first, second = await fifo.receive(2)
    await fifo.delete(first)
    assert await fifo.bodies() == []
    await fifo.delete(second)
    assert await fifo.bodies() == ["3"]


async def test_one_receive_may_mix_groups_and_keeps_the_order_of_each(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    for body, group in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
        await fifo.send(body, group)
    bodies = await fifo.bodies()
    assert sorted(bodies) == ["a1", "a2", "b1", "b2"]
    assert bodies.index("a1") < bodies.index("a2") and bodies.index("b1") < bodies.index("b2")


async def test_a_visibility_of_zero_unlocks_the_group(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, VisibilityTimeout=30)
    await fifo.send("1", "g")
    await fifo.send("2", "g")
    [first] = await fifo.receive(1)
    await fifo.hide(first, 0)
    assert await fifo.bodies() == ["1", "2"]


async def test_a_message_whose_time_is_over_comes_again_before_those_behind_it(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    await fifo.send("2", "g")
    assert await fifo.bodies(1) == ["1"]
    await aws.later(VISIBILITY + 0.2)
    assert await fifo.bodies(1) == ["1"]


async def test_several_messages_of_a_group_come_again_oldest_first(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    for body in ("1", "2", "3"):
        await fifo.send(body, "g")
    assert await fifo.bodies(3) == ["1", "2", "3"]
    await aws.later(VISIBILITY + 0.2)
    assert await fifo.bodies(3) == ["1", "2", "3"]


async def test_visibility_can_be_made_longer(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    [message] = await fifo.receive()
    await fifo.hide(message, 60)
    await aws.later(VISIBILITY + 0.2)
    assert await fifo.bodies() == []
    await fifo.delete(message)


async def test_the_receive_count_grows(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    counts = []
    for _ in range(3):
        [message] = await fifo.receive()
        counts.append(message["Attributes"]["ApproximateReceiveCount"])
        await fifo.hide(message, 0)
    assert counts == ["1", "2", "3"]


async def test_a_delay_of_the_queue_hides_what_was_sent(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, DelaySeconds=1)
    await fifo.send("1", "g")
    assert await fifo.bodies() == []
    await aws.later(1.2)
    assert await fifo.bodies() == ["1"]


# deduplication


async def test_a_repeated_send_answers_with_the_first_message_and_delivers_nothing(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    first = await fifo.send("one", "g", "same")
    second = await fifo.send("another", "g", "same")
    assert second["MessageId"] == first["MessageId"]
    assert second["SequenceNumber"] == first["SequenceNumber"]
    assert await fifo.bodies() == ["one"]


async def test_a_repeated_send_is_not_delivered(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("one", "g", "same")
    await fifo.send("another", "g", "same")
    assert await fifo.bodies() == ["one"]


async def test_a_repeated_send_is_dropped_after_the_first_was_deleted(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("one", "g", "same")
    [message] = await fifo.receive()
    await fifo.delete(message)
    await fifo.send("again", "g", "same")
    assert await fifo.bodies() == []


async def test_five_minutes_after_the_first_send_the_same_id_is_a_new_message(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("one", "g", "same")
    await aws.later(299)
    await fifo.send("dropped", "g", "same")
    # From the first send, not from the last.
    await aws.later(2)
    await fifo.send("two", "g", "same")
    assert await fifo.bodies() == ["one", "two"]


async def test_one_id_in_two_groups_is_one_message_in_a_usual_queue(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("a", "a", "same")
    await fifo.send("b", "b", "same")
    assert await fifo.bodies() == ["a"]


async def test_one_id_in_two_groups_is_two_messages_when_the_scope_is_the_group(aws: Aws) -> None:
    fifo = await queue(
        aws, fifo=True, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId"
    )
    await fifo.send("a", "a", "same")
    await fifo.send("b", "b", "same")
    assert sorted(await fifo.bodies()) == ["a", "b"]


async def test_content_is_the_id_when_the_queue_says_so(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, ContentBasedDeduplication="true")
    for body in ("same", "same", "other"):
        await aws.call("sqs", "send_message", QueueUrl=fifo.url, MessageBody=body, MessageGroupId="g")
    assert await fifo.bodies() == ["same", "other"]


async def test_sequence_numbers_grow(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    numbers = [int((await fifo.send(str(n), f"g{n % 2}"))["SequenceNumber"]) for n in range(5)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 5


# handles


async def test_a_handle_that_has_expired_deletes_nothing_and_is_an_error(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    [message] = await fifo.receive()
    await aws.later(VISIBILITY + 0.2)
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await fifo.delete(message)
    assert await fifo.bodies() == ["1"]


async def test_the_handle_of_an_earlier_receive_is_an_error(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    [old] = await fifo.receive()
    await aws.later(VISIBILITY + 0.2)
    [new] = await fifo.receive(VisibilityTimeout=30)
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await fifo.delete(old)
    await fifo.delete(new)


async def test_visibility_cannot_be_changed_with_a_handle_that_has_expired(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g")
    [message] = await fifo.receive()
    await aws.later(VISIBILITY + 0.2)
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await fifo.hide(message, 60)


async def test_deleting_twice_is_harmless(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, VisibilityTimeout=30)
    await fifo.send("1", "g")
    [message] = await fifo.receive()
    await fifo.delete(message)
    await fifo.delete(message)


# waiting


async def test_a_long_poll_ends_as_soon_as_something_is_sent(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    began = time.monotonic()
    waiting = asyncio.create_task(fifo.bodies(wait=20))
    await fifo.send("1", "g")
    assert await waiting == ["1"]
    assert time.monotonic() - began < 20


async def test_a_long_poll_ends_when_a_group_is_unlocked(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True, VisibilityTimeout=30)
    await fifo.send("1", "g")
    await fifo.send("2", "g")
    [first] = await fifo.receive(1)
    waiting = asyncio.create_task(fifo.bodies(wait=2))
    await fifo.delete(first)
    assert await waiting == ["2"]


# refusals


async def test_a_group_is_required(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    with refused("MissingParameter", "MissingRequiredParameterException"):
        await fifo.send("1", MessageDeduplicationId="1")


async def test_a_deduplication_id_is_required_unless_the_content_is_one(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await fifo.send("1", MessageGroupId="g")


async def test_a_delay_of_one_message_is_refused(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await fifo.send("1", "g", DelaySeconds=1)


async def test_ids_have_128_printable_characters_at_most(aws: Aws) -> None:
    fifo = await queue(aws, fifo=True)
    await fifo.send("1", "g" * 128, "d" * 128)
    for group, id in (("g" * 129, "1"), ("g", "d" * 129), ("with space", "1"), ("ä", "1")):
        with refused("InvalidParameterValue", "InvalidParameterValueException"):
            await fifo.send("2", group, id)


async def test_the_name_of_a_fifo_queue_ends_in_fifo(aws: Aws) -> None:
    with refused("InvalidParameterValue", "InvalidParameterValueException"):
        await aws.call("sqs", "create_queue", QueueName="plain", Attributes={"FifoQueue": "true"})


async def test_per_group_throughput_needs_deduplication_per_group(aws: Aws) -> None:
    with refused("InvalidAttributeValue", "InvalidParameterValue"):
        await queue(aws, fifo=True, FifoThroughputLimit="perMessageGroupId")


# dead letters


async def test_what_was_received_too_often_moves_away_and_the_group_goes_on(aws: Aws) -> None:
    fifo, letters = await with_dead_letters(aws, 2, fifo=True)
    await fifo.send("poison", "g")
    await fifo.send("next", "g")
    for _ in range(2):
        [message] = await fifo.receive(1)
        assert message["Body"] == "poison"
        await fifo.hide(message, 0)
    # It may be the receive that finds it once too often which moves it, and gives nothing.
    assert (await fifo.bodies(1) or await fifo.bodies(1)) == ["next"]
    [letter] = await letters.receive()
    assert letter["Body"] == "poison"
    assert letter["Attributes"]["MessageGroupId"] == "g"
