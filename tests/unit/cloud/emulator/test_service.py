"""The emulator's front, beside what a service answers: callers that hang up, closing, environments."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.patience import PATIENCE

from infinity.emulator import Credentials as OwnCredentials
from infinity.emulator import Emulator


async def send(aws: Emulator, session: aiohttp.ClientSession, operation: str, body: bytes) -> int:
    headers = {"X-Amz-Target": f"AmazonSQS.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    request = AWSRequest("POST", aws.endpoint + "/", headers, body)
    own = aws.credentials
    SigV4Auth(Credentials(own.access_key, own.secret_key, own.session_token), "sqs", aws.region).add_auth(
        request
    )
    async with session.post(request.url, data=body, headers=dict(request.headers)) as response:
        await response.read()
        return response.status


async def test_a_caller_that_hangs_up_takes_no_message_with_it() -> None:
    async with Emulator() as aws, aiohttp.ClientSession() as session:
        aws.sqs.create("queue")
        queue = aws.sqs.queue("queue")
        body = b'{"QueueUrl": "queue", "WaitTimeSeconds": 20}'
        waiting = asyncio.create_task(send(aws, session, "ReceiveMessage", body))
        async with asyncio.timeout(PATIENCE):
            while not queue.listening:
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            while queue.listening:
                await asyncio.sleep(0)
        aws.sqs.send_message({"QueueUrl": "queue", "MessageBody": "x"})
        assert [message.body for message in queue.receive(1)] == ["x"]


async def test_a_session_token_is_asked_for_where_there_is_one() -> None:
    credentials = OwnCredentials("AKIATEMPORARY", "secret", "token")
    async with Emulator(credentials=credentials) as aws, aiohttp.ClientSession() as session:
        assert await send(aws, session, "ListQueues", b"{}") == 200
        aws.credentials = OwnCredentials("AKIATEMPORARY", "secret")
        assert await send(aws, session, "ListQueues", b"{}") == 403
        assert aws.environment().get("AWS_SESSION_TOKEN") is None


async def test_a_child_process_finds_the_emulator_by_its_environment() -> None:
    async with Emulator() as aws:
        aws.sqs.create("queue")
        code = "import boto3; print(boto3.client('sqs').list_queues()['QueueUrls'])"
        environment = {"PATH": os.environ["PATH"], **aws.environment()}
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert aws.sqs.url("queue") in done.stdout


async def test_what_does_not_happen_in_time_is_said_with_what_did() -> None:
    async with Emulator() as aws, aiohttp.ClientSession() as session:
        await send(aws, session, "ListQueues", b"{}")
        with pytest.raises(AssertionError, match=r"no reply within 0\.01 s; .*ListQueues"):
            await aws.until(lambda: False, "reply", 0.01)


async def test_two_emulators_do_not_know_each_other() -> None:
    async with Emulator() as one, Emulator() as other, aiohttp.ClientSession() as session:
        one.sqs.create("queue")
        assert other.sqs.queues() == []
        assert await send(other, session, "ListQueues", b"{}") == 200
        other.credentials = one.credentials
        assert await send(other, session, "ListQueues", b"{}") in (400, 403)
