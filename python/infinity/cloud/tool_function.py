"""A toolset on AWS Lambda, behind a Function URL: what ``Toolset.lambda_handler`` makes.

A Lambda function cannot answer first and work later, so it acknowledges and invokes itself asynchronously
(``InvocationType=Event``): the invocation is in Lambda's durable queue before the caller hears 200
(SRV-1). The second invocation runs the function and delivers its result; what cannot be delivered goes
through the queue once more, without the function, and is retried by Lambda.

The function has no state of its own: no subscriptions and no questions. Lambda delivers an event at least
once; with ``table``, a DynamoDB table with the string key ``call``, each call runs once (SRV-6), a call
that is cancelled before it begins does not run (SRV-5), and one that Lambda cut off is answered or, where
it may be repeated, run again when Lambda delivers its event once more (SRV-2).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qsl, quote

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.backoff import Backoff
from infinity.errors import BadRequest, ConfigError
from infinity.functions.failure import ToolError, error_text
from infinity.functions.running import Runner, Work
from infinity.functions.turn import Slots, Turn
from infinity.rap.server.application import (
    MAX_BODY,
    WELL_KNOWN,
    BodyTooLarge,
    Guard,
    Reply,
    Request,
    error_reply,
    read_invocation,
)
from infinity.rap.server.call import Call, Event, Invocation, Key
from infinity.rap.server.delivery import post, session, settles
from infinity.rap.server.fitting import fitting
from infinity.rap.server.limits import Limits
from infinity.rap.server.result import encode, result_fields
from infinity.rap.server.toolset import Toolset
from infinity.supervision import shared

log = logging.getLogger("infinity.rap.server")

TASK = "infinity.rap"
"""What an event that this function sent to itself is known by."""
CUT_OFF = (
    "the function was cut off while {operation} was running; it may or may not have taken effect. "
    "Check before trying again."
)
MARGIN_SECONDS = 10.0
"""Of the invocation's time, kept for telling that the function took too long."""
LATEST_SECONDS = 2.0
KEEP_SECONDS = 7 * 24 * 3600
RETRY_SECONDS = 45.0
"""Lambda delivers an event again a minute after its function failed; a call that was heard of since then is
one that runs, and the event a copy."""
BEAT_SECONDS = 15.0
"""Between two signs of a call that it still runs."""
MAX_EVENT = 1_000_000


class LambdaHandler:
    """The handler of a tool function: ``handler = tools.lambda_handler(token=…)``.

    Args:
        toolset: The tools. It is checked at once, so that a bad one fails the deployment and not the first
            call.
        token: The bearer token that callers must send; ``None`` leaves that to IAM.
        limits: Seconds and bytes of a call.
        table: A DynamoDB table with the string key ``call``; without it a call may run twice.
        aws: Makes the client of one invocation, when it is first needed.
        backoff: Between two tries of a callback.

    Raises:
        ConfigError: if a tool subscribes, or the toolset is not valid.
    """

    def __init__(
        self,
        toolset: Toolset,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        table: str | None = None,
        aws: Callable[[], Aws] = lambda: Aws(os.environ),
        backoff: Backoff | None = None,
    ) -> None:
        toolset.manifest("")
        for operation in toolset.operations.values():
            if operation.subscribes:
                raise ConfigError(
                    f"tool {operation.name!r} subscribes, and subscriptions live in a process; serve it with 'infinity rap serve'"
                )
        self.toolset = toolset
        self.guard = Guard(token)
        self.limits = limits or Limits()
        self.table = table
        self.aws = aws
        self.backoff = backoff or Backoff()

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        # A loop and a client of its own for each invocation: connections do not survive the freeze between
        # two of them.
        return asyncio.run(self._handle(event, context))

    async def _handle(self, event: dict[str, Any], context: Any) -> dict[str, Any] | None:
        invoked = _Invoked(self, context)
        try:
            match event.get(TASK):
                case {"run": dict(fields)}:
                    invocation = Invocation(**{**fields, "ancestors": tuple(fields["ancestors"])})
                    if invocation.problem is not None:
                        invocation = replace(invocation, problem=f"bad invocation: {invocation.problem}")
                    await invoked.run(invocation)
                    return None
                case {"deliver": {"url": str(url), "body": str(body), "id": str(call_id)}}:
                    await invoked.deliver_or_fail(url, body.encode(), call_id)
                    return None
            reply = await invoked.answer(_request(event))
        finally:
            await invoked.close()
        return {
            "statusCode": reply.status,
            "headers": {"Content-Type": "application/json"},
            "body": "" if reply.body is None else json.dumps(reply.body),
        }


class _Invoked:
    """One invocation of the function, with its own client of AWS and its own time limit."""

    def __init__(self, handler: LambdaHandler, context: Any) -> None:
        self._handler = handler
        self._context = context
        self._client: Aws | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    # requests

    async def answer(self, request: Request) -> Reply:
        refused = self._handler.guard.refusal(request.headers)
        if refused is not None:
            return refused
        try:
            match request.method, request.path:
                case "GET", path if path == WELL_KNOWN:
                    return Reply(body=self._handler.toolset.manifest(f"{request.base}/invoke"))
                case "POST", "/invoke":
                    return await self._accept(read_invocation(await request.read(), request.base))
                case "POST", "/cancel_tool_call":
                    await self._cancel(await request.read())
                    return Reply()
                case "POST", "/close_thread":
                    return Reply()
        except BodyTooLarge:
            return error_reply(413, f"at most {MAX_EVENT} bytes are accepted")
        except BadRequest as error:
            return error_reply(400, str(error), error.rule)
        return error_reply(404, f"nothing is here; tools are described at {WELL_KNOWN}")

    async def _accept(self, invocation: Invocation) -> Reply:
        try:
            # Durable in Lambda's queue before the caller hears 200 (SRV-1).
            await self._send_to_self({"run": asdict(invocation)})
        except BodyTooLarge:
            raise
        except Exception:
            log.exception("call %s could not be queued", invocation.id)
            return error_reply(503, "the invocation could not be queued; send it again")
        return Reply()

    async def _cancel(self, body: bytes) -> None:
        """A mark that keeps a call from beginning. Whatever the notice says, it is answered with 200 (SRV-5)."""
        try:
            notice = json.loads(body)
            thread, call_id = str(notice["thread_id"]), str(notice["tool_call_id"])
        except (ValueError, TypeError, KeyError):
            return
        try:
            await self._note((thread, call_id), "cancelled", new=True)
        except Exception:
            log.exception("the cancellation of %s could not be recorded", call_id[:256])

    async def _send_to_self(self, task: Mapping[str, Any]) -> None:
        payload = json.dumps({TASK: task}).encode()
        if len(payload) > MAX_EVENT:
            raise BodyTooLarge
        path = f"/2015-03-31/functions/{quote(self._context.invoked_function_arn, safe='')}/invocations"
        headers = {"Content-Type": "application/json", "X-Amz-Invocation-Type": "Event"}
        await self._aws().rest("lambda", "POST", path, operation="Invoke", headers=headers, body=payload)

    # work

    async def run(self, invocation: Invocation) -> None:
        operation = self._handler.toolset.operations.get(invocation.operation)
        match await self._begin(invocation.key):
            case "over":
                log.info("call %s has run already, or was cancelled", invocation.id)
                return
            case "cut off" if operation is not None and not operation.repeatable:
                log.warning("call %s of %s was cut off", invocation.id, invocation.operation)
                invocation = replace(invocation, problem=CUT_OFF.format(operation=invocation.operation))
        over = asyncio.Event()
        signs = shared(self._live(invocation.key, over), f"signs of {invocation.id}")
        try:
            await self._answer_call(invocation)
        finally:
            # The last sign is written before "done", because a sign behind it would say that the call still
            # runs.
            over.set()
            await signs
        await self._note(invocation.key, "done")

    async def _live(self, key: Key, over: asyncio.Event) -> None:
        """While a call runs, it is on record that it does: otherwise a copy of its event would tell that it
        was cut off.
        """
        while self._handler.table is not None and not over.is_set():
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await over.wait()
            except TimeoutError:
                try:
                    await self._note(key, "begun")
                except Exception:
                    log.exception("that a call still runs could not be recorded")

    async def _answer_call(self, invocation: Invocation) -> None:
        message = {"type": "tool_result", "group_id": invocation.group_id, "id": invocation.id}
        try:
            body = self._fitting({**message, "call_id": invocation.call_id, **await self._fields(invocation)})
        except Exception as error:  # whatever a tool raises is an answer (SRV-2)
            if not isinstance(error, ToolError):
                log.warning("call %s of %s failed", invocation.id, invocation.operation, exc_info=error)
            text = error_text(invocation.operation, error)
            body = encode({**message, "call_id": invocation.call_id, "text": text})
        until = time.monotonic() + min(LATEST_SECONDS * 10, self._left() - LATEST_SECONDS)
        # Through the queue once more without the function: Lambda then retries the delivery and not the work
        # (SRV-6).
        if not await self._deliver(invocation.callback_url, body, invocation.id, until):
            callback = {"url": invocation.callback_url, "body": body.decode(), "id": invocation.id}
            await self._send_to_self({"deliver": callback})

    async def _fields(self, invocation: Invocation) -> dict[str, Any]:
        if invocation.problem is not None:
            raise ToolError(invocation.problem)
        limits, operations = self._handler.limits, self._handler.toolset.operations
        operation = operations.get(invocation.operation)
        if operation is None:
            names = ", ".join(operations)
            raise ToolError(f"there is no tool {invocation.operation!r} here; there are: {names}")
        arguments = operation.signature.check(invocation.arguments)
        turn = Turn(Slots(1, 1), limits.seconds)
        if operation.signature.context is not None:
            call = Call(invocation, _Backend(limits), turn.cancelled)
            arguments = {**arguments, operation.signature.context: call}
        left = max(self._left() - MARGIN_SECONDS, 1.0)
        seconds = min(operation.seconds(limits.seconds) or left, left)
        function = partial(operation.function, **arguments)
        fields: dict[str, Any] = await Runner().run(
            Work(operation.name, function, result_fields, turn, seconds)
        )
        return fields

    def _fitting(self, message: dict[str, Any]) -> bytes:
        most = min(self._handler.limits.result_bytes, MAX_EVENT * 3 // 4)  # so that it can be queued, escaped
        return fitting(message, most)

    # delivery

    async def deliver_or_fail(self, url: str, body: bytes, call_id: str) -> None:
        if not await self._deliver(url, body, call_id, time.monotonic() + self._left() - LATEST_SECONDS):
            raise ConnectionError(f"the result of {call_id} could not be delivered; Lambda tries again")

    async def _deliver(self, url: str, body: bytes, call_id: str, until: float) -> bool:
        """Again and again on 5xx and lost connections, until it is taken, refused or time is up (SRV-3)."""
        async with session() as connections:
            for tries in range(1_000_000):
                status = await post(connections, url, body, call_id)
                if settles(status):
                    if status >= 300:
                        log.warning("callback of %s refused: HTTP %d", call_id, status)
                    return True
                wait = self._handler.backoff.wait(tries)
                if time.monotonic() + wait >= until:
                    return False
                await asyncio.sleep(wait)
        return False

    # what ran

    async def _begin(self, key: Key) -> Literal["new", "cut off", "over"]:
        """Remember that a call begins, or how far it came. Without a table every one is new."""
        found = await self._note(key, "begun", new=True)
        if found is None:
            return "new"
        if found.get("state", {}).get("S") != "begun":
            return "over"
        return "cut off" if time.time() - float(found["at"]["N"]) >= RETRY_SECONDS else "over"

    async def _note(self, key: Key, state: str, *, new: bool = False) -> Mapping[str, Any] | None:
        """Write down how far a call is; ``new``: only if nothing is known of it, else what is comes back."""
        if self._handler.table is None:
            return None
        now = time.time()
        item = {
            "call": {"S": json.dumps(key)},
            "state": {"S": state},
            "at": {"N": f"{now:.3f}"},
            "by": {"S": secrets.token_hex(8)},
            "expires": {"N": str(int(now) + KEEP_SECONDS)},
        }
        condition = {
            "ConditionExpression": "attribute_not_exists(#call)",
            "ExpressionAttributeNames": {"#call": "call"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        payload = {"TableName": self._handler.table, "Item": item, **(condition if new else {})}
        try:
            await self._aws().json("dynamodb", "PutItem", payload)
        except AwsError as error:
            if error.service_code != "ConditionalCheckFailedException":
                raise
            # A write whose answer was lost is sent again, and finds itself. Only the text says so: numbers come back in another form (12.50 as 12.5).
            return error.item if error.item.get("by") != item["by"] else None
        return None

    def _aws(self) -> Aws:
        if self._client is None:
            self._client = self._handler.aws()
        return self._client

    def _left(self) -> float:
        """Seconds that this invocation has."""
        return float(self._context.get_remaining_time_in_millis()) / 1000


class _Backend:
    """What a function on Lambda can say while it runs: pages and views, sent once. It cannot wait for people."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def say(self, invocation: Invocation, message: dict[str, Any]) -> None:
        body = fitting(
            {"group_id": invocation.group_id, "call_id": invocation.call_id, **message},
            self._limits.result_bytes,
        )
        async with session() as connections:
            await post(connections, invocation.callback_url, body, invocation.id)

    async def ask(self, invocation: Invocation, message: dict[str, Any]) -> int:
        raise ToolError("this tool asks its user, which a tool server on Lambda cannot wait for")

    async def emit(self, invocation: Invocation, event: Event) -> bool:
        return False


def _request(event: Mapping[str, Any]) -> Request:
    """A Function URL's event, payload version 2.0. Anyone who may invoke the function may send anything: what is
    not of its type is not there.
    """
    context = _table(event.get("requestContext"))
    http = _table(context.get("http"))
    given = _table(event.get("headers")).items()
    headers = {
        name.lower(): value for name, value in given if isinstance(name, str) and isinstance(value, str)
    }
    domain = _text(context.get("domainName")) or headers.get("host", "")
    # Lambda says how it was reached: https, but for stand-ins on loopback.
    scheme = "http" if headers.get("x-forwarded-proto") == "http" else "https"

    async def read() -> bytes:
        raw = _text(event.get("body"))
        body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw.encode(errors="surrogatepass")
        if len(body) > MAX_BODY:
            raise BodyTooLarge
        return body

    return Request(
        method=_text(http.get("method")),
        path=_text(event.get("rawPath")),
        base=f"{scheme}://{domain}",
        headers=headers,
        read=read,
        query=dict(parse_qsl(_text(event.get("rawQueryString")))),
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
