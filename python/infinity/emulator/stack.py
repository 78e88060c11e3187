"""All of AWS that Infinity's cloud host uses, on loopback, for as long as a block of code.

    async with Emulator(clock=VirtualClock()) as aws:
        queue = aws.sqs.create("inbox.fifo")
        aws.lambdas.create("agent", handler, timeout=30)
        aws.lambdas.map(queue, "agent")
        client = boto3.client("sqs", endpoint_url=aws.endpoint, …)

Nothing is kept when it closes, and nothing here is a measure of AWS's speed.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from .clock import Clock, Timeline, WallClock
from .dynamodb import DynamoDb
from .faults import Attempt, Faults
from .firing import Firing
from .lambdas import Lambdas
from .permissions import Permissions, Place
from .rules import Rules
from .s3 import S3
from .scheduler import Scheduler
from .secrets import Parameters, SecretsManager
from .service import HOST, Front
from .signature import Credentials
from .sqs import Sqs
from .sts import Sts
from .wire import Reply

__all__ = ["Emulator"]

ACCOUNT = "000000000000"
REGION = "eu-central-1"


class Emulator:
    """All services on one port, with one clock.

    ``sqs``, ``dynamodb``, ``scheduler``, ``s3``, ``secrets``, ``parameters`` and ``lambdas`` each have a
    small API for tests beside the wire.

    Args:
        clock: The system's by default.
        credentials: Of the caller that may do everything; random by default.
        region: That requests must be signed for.
        account: Twelve digits, for ARNs.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        credentials: Credentials | None = None,
        region: str = REGION,
        account: str = ACCOUNT,
        port: int = 0,
    ) -> None:
        self.timeline = Timeline(clock or WallClock())
        self.credentials = credentials or Credentials()
        self.region = region
        self.account = account
        self._port = port
        self._changed = asyncio.Condition()
        self._telling: asyncio.Task[None] | None = None
        # The address is asked for when a URL is made: the port is known once the server listens.
        self.sqs = Sqs(self.timeline, region, account, lambda: self.endpoint)
        self.dynamodb = DynamoDb(self.timeline, region, account)
        self.s3 = S3(self.timeline)
        self.secrets = SecretsManager(self.timeline, region, account)
        self.parameters = Parameters(self.timeline, region, account)
        self._firing = Firing(self.timeline, self._send, lambda arn: self.sqs.url(arn.rpartition(":")[2]))
        self.scheduler = Scheduler(self.timeline, region, account, self._firing)
        self._counts: Counter[str] = Counter()
        self.lambdas = Lambdas(
            self.timeline,
            region,
            account,
            self.credentials,
            self.sqs,
            variables=self.environment,
            counts=self._counts,
            told=self.tell,
        )
        self.rules = Rules(self.timeline, self.lambdas.events)
        services = (
            self.sqs,
            self.dynamodb,
            self.s3,
            self.secrets,
            self.parameters,
            self.scheduler,
            self.lambdas,
            self.rules,
            Sts(account),
        )
        self.permissions = Permissions(Place(region, account))
        self._front = Front(
            services, self.credentials, region, self.timeline, self._counts, self.tell, self.permissions
        )

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self._front.port}"

    @property
    def counts(self) -> Counter[str]:
        """Requests by ``"service.Operation"``; what the stand-ins ask of each other is marked in brackets."""
        return self._counts

    @property
    def faults(self) -> Faults:
        return self._front.faults

    def environment(self, caller: Credentials | None = None) -> dict[str, str]:
        """Variables for a child process: with these, an SDK's clients talk to this emulator.

        Args:
            caller: One with ``permissions`` of its own; by default the one that may do everything.
        """
        who = caller or self.credentials
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": who.access_key,
            "AWS_SECRET_ACCESS_KEY": who.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if who.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = who.session_token
        return variables

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client of a service. It blocks: call it in a thread. ``settings`` are passed on to boto3."""
        import boto3  # type: ignore[import-untyped]

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            aws_session_token=self.credentials.session_token,
            **settings,
        )

    async def until(self, condition: Callable[[], bool], what: str = "that", seconds: float = 10) -> None:
        """Wait until something that happens in the emulator makes a condition true. Tests use it in place of
        sleeping.

        Args:
            condition: Asked after each request, and after each ``tell``.
            what: For the error.
            seconds: By the system's clock.

        Raises:
            AssertionError: if nothing makes it true in time; it lists the requests so far.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(
                f"no {what} within {seconds:g} s; requests so far: {dict(self.counts)}"
            ) from None

    # life

    async def start(self) -> Self:
        self.timeline.start()
        await self._front.start(self._port)
        return self

    async def close(self) -> None:
        # Functions first, because they still call the services; the clock last, because the services set
        # alarms on it.
        await self.lambdas.close()
        await self._firing.close()
        await self._front.close()
        await self.timeline.close()
        if self._telling is not None:
            await asyncio.gather(self._telling, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def tell(self) -> None:
        """Let those who wait in ``until`` look again; for what happens beside the emulator, such as in a
        handler.
        """
        # One task is enough for any number of changes: those who wait look at everything.
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _send(self, request: dict[str, Any]) -> None:
        """What a schedule sends; the same faults stand around it."""
        self._counts["sqs.SendMessage (scheduler)"] += 1

        async def act() -> Reply:
            return Reply(200, json.dumps(self.sqs.send_message(request)).encode())

        try:
            await self.faults.around(Attempt(self.sqs, "SendMessage", None, self.timeline, act))
        finally:
            self.tell()
