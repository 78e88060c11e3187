"""One client for the services of AWS: signed requests, bounded in time, tried again where that cannot do
harm.

It knows three shapes of services: JSON ones (``json``), REST ones (``rest``) and functions' own URLs
(``sign``). What an operation means is its caller's. No request may be without a bound, and nothing that
must not happen twice may be sent over a kept connection.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from infinity.backoff import Backoff
from infinity.errors import StoreError
from infinity.unreachable import why

from .credentials import Credentials, FoundCredentials
from .endpoints import Endpoints, function_region
from .failure import AwsError, is_throttling, refused, unreachable
from .signing import Scope, query_string, signed_headers

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "Aws", "RetryPolicy"]

LARGEST_ANSWER = 1 << 26
"""Bytes of an answer's body."""
_AT_ONCE = 1 << 18
PER_HOST = 64
"""Connections to one service."""

_TARGETS = {
    "sqs": ("AmazonSQS", "1.0"),
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "secretsmanager": ("secretsmanager", "1.1"),
    "ssm": ("AmazonSSM", "1.1"),
    "events": ("AWSEvents", "1.1"),
}
"""What stands before the operation in ``X-Amz-Target``, and the version of the JSON protocol."""


class Answer(NamedTuple):
    """An answer of a REST service. ``headers``: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one call may take, in seconds.

    ``connect`` and ``once`` bound each try, ``total`` all of them and the waits in between (B1). Waits
    grow from ``first_wait`` to ``longest_wait``, with full jitter.
    """

    tries: int = 5
    connect: float = 2.0
    once: float = 10.0
    total: float = 25.0
    first_wait: float = 0.05
    longest_wait: float = 2.0


@dataclass(frozen=True, slots=True)
class _Request:
    service: str
    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    idempotent: bool
    policy: RetryPolicy


class _NoAnswer(Exception):
    """``reached``: the service may have got the request, and done what it asked for."""

    def __init__(self, why: str, *, reached: bool) -> None:
        super().__init__(why)
        self.reached = reached


class Aws:
    """One per process and event loop.

    Throttling, 5xx and broken connections are tried again after waits that grow and have jitter, a
    bounded number of times and within a bounded time. ``counts`` has the requests that were made, by
    ``"service.Operation"``; each try counts, because each is paid for.

    A function that was frozen finds its kept connections dead, perhaps all of them. So a second try
    never takes a kept connection, and what must not happen twice (``idempotent=False``) takes none at
    all, and is repeated only if it certainly did not happen.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        credentials: Credentials | None = None,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read the environment; nothing is sent.

        Args:
            environment: ``AWS_REGION``, keys, and ``AWS_ENDPOINT_URL…`` where stand-ins are used.
            credentials: who we are; by default whatever the environment has.
            policy: of calls that bring none of their own.
            sleep: waits between tries.
            jitter: 0 to 1, by chance.
            now: seconds since the epoch, for signatures.

        Raises:
            ConfigError: there is no region.
        """
        self._endpoints = Endpoints(environment)
        self._credentials = credentials if credentials is not None else FoundCredentials(environment)
        self._policy = policy if policy is not None else RetryPolicy()
        self._sleep, self._jitter, self._now = sleep, jitter, now
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self.counts: Counter[str] = Counter()

    @property
    def region(self) -> str:
        """The region of everything that is spoken to."""
        return self._endpoints.region

    async def json(
        self,
        service: str,
        operation: str,
        payload: Mapping[str, Any],
        *,
        idempotent: bool = True,
        policy: RetryPolicy | None = None,
    ) -> dict[str, Any]:
        """An operation of SQS, DynamoDB, Secrets Manager, SSM or EventBridge.

        Args:
            service: ``sqs``, ``dynamodb``, ``secretsmanager``, ``ssm`` or ``events``.
            operation: its name, as ``SendMessage``.
            payload: what the operation takes, by AWS's own names.
            idempotent: whether a repeat does no harm; otherwise it is repeated only if it certainly did
                not happen.
            policy: in place of the client's.

        Returns:
            The answer's document.

        Raises:
            AwsError: AWS refused, or did not answer in time.
            ConfigError: there are no credentials.
        """
        # One URL for all operations of a service; the header says which is meant.
        prefix, version = _TARGETS[service]
        headers = {
            "Content-Type": f"application/x-amz-json-{version}",
            "X-Amz-Target": f"{prefix}.{operation}",
        }
        body = msgspec.json.encode(payload)
        request = _Request(service, operation, "POST", "/", headers, body, idempotent, policy or self._policy)
        answer = await self._call(request)
        try:
            document = msgspec.json.decode(answer.body) if answer.body else {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AwsError(
                f"{service} {operation} was answered with something that is not JSON; is AWS_ENDPOINT_URL right?"
            ) from error
        if not isinstance(document, dict):
            raise AwsError(f"{service} {operation} was answered with JSON that is not an object")
        return document

    async def rest(
        self,
        service: str,
        method: str,
        path: str,
        *,
        operation: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        idempotent: bool = True,
        policy: RetryPolicy | None = None,
    ) -> Answer:
        """An operation of Scheduler, S3 or Lambda.

        Args:
            service: ``scheduler``, ``s3`` or ``lambda``.
            method: the HTTP method.
            path: escaped, and of S3 ``/bucket/key``.
            operation: its name, for counts and errors.
            query: unescaped.
            headers: signed as well.
            body: sent as it is.
            idempotent: as for ``json``.
            policy: in place of the client's.

        Raises:
            AwsError: anything but a 2xx, or no answer in time.
        """
        target = f"{path}?{query_string(query)}" if query else path
        request = _Request(
            service, operation, method, target, headers or {}, body, idempotent, policy or self._policy
        )
        return await self._call(request)

    async def sign(self, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        """Headers for one request to a Lambda function's own URL (``AWS_IAM``).

        Args:
            method: the HTTP method.
            url: a configured one, which the caller sees to (S7); escaped as it is sent.
            body: the exact bytes.
        """
        # A function may live in another region than the one that calls it.
        scope = Scope("lambda", function_region(url) or self.region, self._now())
        return signed_headers(method, url, {}, body, await self._credentials.get(), scope)

    async def pause(self, tried: int) -> None:
        """Wait before the next try of something that was refused in part: longer each time, with jitter.

        Args:
            tried: how many tries there were, at least 1.
        """
        await self._sleep(self._wait(self._policy, tried))

    async def close(self) -> None:
        """Close the connections; what is under way fails."""
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()
        self._kept = self._fresh = None

    # -- one call: several tries

    async def _call(self, request: _Request) -> Answer:
        policy = request.policy
        loop = asyncio.get_running_loop()
        until = loop.time() + policy.total
        # A kept connection may be dead; what was sent over it may have happened, or not.
        tried, fresh = 0, not request.idempotent
        while True:
            tried += 1
            left = until - loop.time()
            try:
                answer = await self._try(request, min(policy.once, left), fresh)
            except _NoAnswer as error:
                failure = unreachable(request.service, request.operation, str(error))
                again = request.idempotent or not error.reached
                # Nothing is known of the service yet: the connection may just have been an old one.
                wait = 0.0 if not fresh else self._wait(policy, tried)
                fresh, cause = True, error.__cause__
            else:
                if answer.status < 300:
                    return answer
                failure = refused(request.service, request.operation, *answer)
                again = failure.retryable and (request.idempotent or is_throttling(failure.service_code))
                wait, cause = self._wait(policy, tried), None
            # A wait that would end after the time is up is not begun.
            if not again or tried >= policy.tries or loop.time() + wait >= until:
                raise failure from cause
            await self._sleep(wait)

    def _wait(self, policy: RetryPolicy, tried: int) -> float:
        """Full jitter, so that functions that were throttled together do not come back together."""
        return Backoff(policy.first_wait, policy.longest_wait, 0.0, self._jitter).wait(tried)

    async def _try(self, request: _Request, within: float, fresh: bool) -> Answer:
        import aiohttp
        from yarl import URL

        url = self._endpoints.url(request.service, request.path)
        # For each try: temporary keys may have been renewed, and a signature is of its moment.
        keys = await self._credentials.get()
        scope = Scope(request.service, self.region, self._now())
        signed = signed_headers(request.method, url, request.headers, request.body, keys, scope)
        # Before it is sent: what gets no answer is paid for as well.
        self.counts[f"{request.service}.{request.operation}"] += 1
        try:
            async with self._session(fresh).request(
                request.method,
                URL(url, encoded=True),
                data=_payload(request.body),
                headers={**request.headers, **signed},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=within, sock_connect=request.policy.connect),
            ) as response:
                body = await _read(response, request)
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, body)
        except aiohttp.ClientConnectorCertificateError as error:
            raise AwsError(
                f"{request.service} {request.operation}: the certificate of the endpoint is not valid; is AWS_ENDPOINT_URL right?"
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NoAnswer(why(error), reached=False) from error
        except TimeoutError as error:
            raise _NoAnswer(f"none within {within:.1f} s", reached=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _NoAnswer(why(error), reached=True) from error

    def _session(self, fresh: bool) -> aiohttp.ClientSession:
        if fresh:
            if self._fresh is None:
                self._fresh = _session(force_close=True)
            return self._fresh
        if self._kept is None:
            self._kept = _session(force_close=False)
        return self._kept


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Small bodies go out at once; writing a large one must not hold up the event loop."""
    return io.BytesIO(body) if len(body) > _AT_ONCE else body or None


def _session(*, force_close: bool) -> aiohttp.ClientSession:
    import aiohttp

    connector = aiohttp.TCPConnector(
        limit=0, limit_per_host=PER_HOST, ttl_dns_cache=60, force_close=force_close
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "infinity"},
        # What is not signed must not be added on the way; and nothing comes compressed.
        skip_auto_headers=("Accept-Encoding", "Content-Type"),
        auto_decompress=False,
    )


async def _read(response: aiohttp.ClientResponse, request: _Request) -> bytes:
    body = bytearray()
    # Piece by piece, so that an endless answer is cut off (G6).
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise StoreError(
                f"the answer to {request.service} {request.operation} has more than {LARGEST_ANSWER} bytes"
            )
    return bytes(body)
