"""One request: signed, counted, bounded, tried again where that helps and harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.contract.aws_clients.conftest import QUICK, Makes, Waits
from tests.patience import PATIENCE

from infinity.aws.client import Aws, RetryPolicy
from infinity.aws.credentials import Keys
from infinity.aws.failure import AwsError
from infinity.emulator import Emulator, Fault, broken, refused, reset, slow, throttled

ITEM = {"pk": {"S": "a"}, "sk": {"S": "b"}}
PUT = {"TableName": "items", "Item": ITEM}


async def test_an_operation_is_answered_and_counted_as_the_service_counts_it(
    cloud: Emulator, aws: Aws
) -> None:
    await aws.json("dynamodb", "PutItem", PUT)
    found = await aws.json("dynamodb", "GetItem", {"TableName": "items", "Key": ITEM})
    assert found == {"Item": ITEM}
    assert dict(aws.counts) == {"dynamodb.PutItem": 1, "dynamodb.GetItem": 1}
    assert aws.counts == cloud.counts


async def test_keys_with_another_secret_are_refused_and_the_text_shows_none_of_it(
    cloud: Emulator, make: Makes
) -> None:
    aws = make(AWS_SECRET_ACCESS_KEY="not the one")
    with pytest.raises(AwsError, match="check the credentials") as caught:
        await aws.json("dynamodb", "PutItem", PUT)
    for secret in ("not the one", "a session's token", str(cloud.credentials.secret_key)):
        assert secret not in str(caught.value)
    assert not caught.value.retryable and aws.counts.total() == 1


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (throttled(), 3),
        (throttled("ProvisionedThroughputExceededException"), 3),
        (broken(500), 2),
        (broken(503), 4),
        (broken(500, after=True), 1),
        (reset(), 3),
        (reset(after=True), 3),
    ],
    ids=["throttled", "provisioned", "500", "503", "500 after", "reset", "reset after"],
)
async def test_a_service_that_recovers_is_heard_in_the_end(
    cloud: Emulator, aws: Aws, waits: Waits, fault: Fault, times: int
) -> None:
    cloud.faults.add("dynamodb", "PutItem", fault, times=times)
    await aws.json("dynamodb", "PutItem", PUT)
    assert cloud.counts["dynamodb.PutItem"] == aws.counts["dynamodb.PutItem"] == times + 1
    assert len(waits) == times and all(0 <= wait <= 2 for wait in waits)


async def test_waits_grow_and_have_jitter_and_are_bounded(cloud: Emulator, waits: Waits, make: Makes) -> None:
    cloud.faults.add("dynamodb", "*", throttled())
    policy = RetryPolicy(tries=9, first_wait=0.1, longest_wait=1.0, total=60)
    aws = make(policy)
    with pytest.raises(AwsError, match="ProvisionedThroughputExceeded") as caught:
        await aws.json("dynamodb", "PutItem", PUT)
    assert caught.value.retryable and len(waits) == 8
    longest = [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert all(0 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len(set(waits)) == 8


@pytest.mark.trap("B1")
async def test_who_accepts_and_never_answers_costs_a_bounded_time(cloud: Emulator, make: Makes) -> None:
    cloud.faults.add("dynamodb", "PutItem", slow(3600))
    aws = make(RetryPolicy(tries=3, connect=0.5, once=0.2, total=0.5))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(AwsError, match="got no answer: none within") as caught:
            await aws.json("dynamodb", "PutItem", PUT)
    assert caught.value.retryable and 2 <= aws.counts["dynamodb.PutItem"] <= 3


async def test_one_that_is_slow_once_is_asked_again(cloud: Emulator, make: Makes) -> None:
    cloud.faults.add("dynamodb", "PutItem", slow(3600), times=1)
    aws = make(QUICK)
    await aws.json("dynamodb", "PutItem", PUT)
    assert aws.counts["dynamodb.PutItem"] == 2


async def test_what_is_refused_for_good_is_not_tried_again(cloud: Emulator, aws: Aws, waits: Waits) -> None:
    cloud.faults.add("sqs", "SendMessage", refused("AccessDenied", "not authorized", 403))
    with pytest.raises(AwsError, match="allow sqs:SendMessage") as caught:
        await aws.json("sqs", "SendMessage", {})
    assert (caught.value.service_code, caught.value.status, caught.value.retryable) == (
        "AccessDenied",
        403,
        False,
    )
    assert aws.counts["sqs.SendMessage"] == 1 and waits == []


@pytest.mark.parametrize("fault", [reset(after=True), broken(500, after=True)], ids=["reset", "500"])
async def test_what_must_not_happen_twice_is_not_repeated_when_it_may_have_happened(
    cloud: Emulator, aws: Aws, fault: Fault
) -> None:
    cloud.faults.add("dynamodb", "PutItem", fault)
    with pytest.raises(AwsError):
        await aws.json("dynamodb", "PutItem", PUT, idempotent=False)
    assert aws.counts["dynamodb.PutItem"] == 1
    cloud.faults.clear()
    cloud.faults.add("dynamodb", "PutItem", throttled(), times=2)
    await aws.json("dynamodb", "PutItem", PUT, idempotent=False)
    assert aws.counts["dynamodb.PutItem"] == 4


async def test_nobody_there_is_an_error_that_says_what_to_look_at(waits: Waits) -> None:
    aws = Aws(
        {
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "s",
        },
        sleep=waits,
    )
    with pytest.raises(AwsError, match="sqs SendMessage got no answer: connection refused; check AWS_REGION"):
        await aws.json("sqs", "SendMessage", {}, idempotent=False)
    assert aws.counts["sqs.SendMessage"] == 5
    await aws.close()


# -- servers that are none of AWS


Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[str]:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answers(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Given:
    async def get(self) -> Keys:
        return Keys("AKID", "secret")


def client(endpoint: str, **more: object) -> Aws:
    return Aws({"AWS_REGION": "r", "AWS_ENDPOINT_URL": endpoint}, credentials=Given(), **more)  # type: ignore[arg-type]


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    return head + await reader.readexactly(length)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("idempotent", [True, False])
async def test_after_a_freeze_every_kept_connection_may_be_dead_and_no_call_fails(
    idempotent: bool, waits: Waits
) -> None:
    """More dead connections than a call has tries: each of them takes one request and is cut."""
    arrived, gate, served = 0, asyncio.Event(), 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived, served
        await _request(reader)
        arrived += 1
        if arrived == 12:
            gate.set()
        await gate.wait()
        served += 1
        writer.write(ANSWER)
        try:
            await _request(reader)
        except asyncio.IncompleteReadError:
            return
        writer.transport.abort()

    async with serving(answers) as endpoint:
        aws = client(endpoint, sleep=waits)
        await asyncio.gather(*(aws.json("sqs", "ReceiveMessage", {}) for _ in range(12)))
        for _ in range(12):
            await aws.json("sqs", "ReceiveMessage", {}, idempotent=idempotent)
        assert served == 24
        assert set(waits) <= {0.0}
        await aws.close()


async def test_redirects_are_not_followed_and_take_no_signature_along(waits: Waits) -> None:
    heard: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await _request(reader))

    async with serving(elsewhere) as other:
        location = other.encode()

        async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _request(reader)
            writer.write(b"HTTP/1.1 307 Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % location)

        async with serving(answers) as endpoint:
            aws = client(endpoint, sleep=waits)
            with pytest.raises(AwsError, match="was refused: HTTP 307"):
                await aws.json("sqs", "SendMessage", {})
            await aws.close()
    assert heard == []


@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"[]", b"\xff"])
async def test_an_answer_that_is_no_answer_is_an_error(body: bytes) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with serving(answers) as endpoint:
        aws = client(endpoint)
        with pytest.raises(AwsError, match="sqs SendMessage was answered with"):
            await aws.json("sqs", "SendMessage", {})
        await aws.close()


async def test_an_answer_that_breaks_off_is_asked_for_again(waits: Waits) -> None:
    asked = 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await _request(reader)
        writer.write(ANSWER if asked > 1 else b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"MessageId"')

    async with serving(answers) as endpoint:
        aws = client(endpoint, sleep=waits)
        assert await aws.json("sqs", "SendMessage", {}) == {}
        await aws.close()
    assert asked == 2
