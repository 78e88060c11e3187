"""A toolset on AWS Lambda, behind a Function URL.

A Lambda function cannot answer first and work later, so it acknowledges and invokes itself asynchronously (``InvocationType=Event``): the
invocation is in Lambda's durable queue before the caller hears 200 (SRV-1). The second invocation runs the function and delivers
its result; what cannot be delivered goes through the queue once more, without the function, and is retried by Lambda.

There is no state of its own here: no subscriptions and no questions. Lambda delivers an event at least once; with ``table``, a DynamoDB
table with the string key ``call``, each call runs once (SRV-6), a call that is cancelled before it begins does not run (SRV-5), and one that
Lambda cut off is answered or, where it may be repeated, run again when Lambda delivers its event once more (SRV-2).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from typing import Any, Literal
from urllib.parse import parse_qsl

from infinity.backoff import Backoff
from infinity.errors import BadRequest, ConfigError
from infinity.functions.failure import ToolError, error_text
from infinity.functions.running import Runner, Work
from infinity.functions.turn import Slots, Turn
from infinity.supervision import in_thread, shared

from .application import (
    MAX_BODY,
    WELL_KNOWN,
    BodyTooLarge,
    Guard,
    Reply,
    Request,
    _read_invocation,
    error_reply,
)
from .call import Call, Event, Invocation, Key
from .delivery import post, session, settles
from .fitting import fitting
from .limits import Limits
from .result import encode, result_fields
from .toolset import Toolset

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
"""Lambda delivers an event again a minute after its function failed; a call that was heard of since then is one that runs, and the event a copy."""
BEAT_SECONDS = 15.0
"""Between two signs of a call that it still runs."""
MAX_EVENT = 1_000_000


class LambdaHandler:
    """``handler = tools.lambda_handler(token=…)``. ``clients(name)`` gives an AWS client; boto3's, imported when first needed."""

    def __init__(
        self,
        toolset: Toolset,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        table: str | None = None,
        clients: Callable[[str], Any] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        toolset.manifest("")
        for operation in toolset.operations.values():
            if operation.subscribes:
                raise ConfigError(
                    f"tool {operation.name!r} subscribes, and subscriptions live in a process; serve it with 'infinity rap serve'"
                )
        self._toolset = toolset
        self._guard = Guard(token)
        self._limits = limits or Limits()
        self._table = table
        self._clients = clients or _boto3_client
        self._backoff = backoff or Backoff()
        self._known: dict[str, Any] = {}

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        match event.get(TASK):
            case {"run": dict(fields)}:
                invocation = Invocation(**{**fields, "ancestors": tuple(fields["ancestors"])})
                if invocation.problem is not None:
                    invocation = replace(invocation, problem=f"bad invocation: {invocation.problem}")
                return asyncio.run(self._run(invocation, context))
            case {"deliver": {"url": str(url), "body": str(body), "id": str(call_id)}}:
                return asyncio.run(self._deliver_or_fail(url, body.encode(), call_id, context))
        reply = asyncio.run(self._answer(_request(event), context))
        return {
            "statusCode": reply.status,
            "headers": {"Content-Type": "application/json"},
            "body": "" if reply.body is None else json.dumps(reply.body),
        }

    # requests

    async def _answer(self, request: Request, context: Any) -> Reply:
        refused = self._guard.refusal(request.headers)
        if refused is not None:
            return refused
        try:
            match request.method, request.path:
                case "GET", path if path == WELL_KNOWN:
                    return Reply(body=self._toolset.manifest(f"{request.base}/invoke"))
                case "POST", "/invoke":
                    return self._accept(_read_invocation(await request.read(), request.base), context)
                case "POST", "/cancel_tool_call":
                    self._cancel(await request.read())
                    return Reply()
                case "POST", "/close_thread":
                    return Reply()
        except BodyTooLarge:
            return error_reply(413, f"at most {MAX_EVENT} bytes are accepted")
        except BadRequest as error:
            return error_reply(400, str(error), error.rule)
        return error_reply(404, f"nothing is here; tools are described at {WELL_KNOWN}")

    def _accept(self, invocation: Invocation, context: Any) -> Reply:
        try:
            self._send_to_self({"run": asdict(invocation)}, context)
        except BodyTooLarge:
            raise
        except Exception:
            log.exception("call %s could not be queued", invocation.id)
            return error_reply(503, "the invocation could not be queued; send it again")
        return Reply()

    def _cancel(self, body: bytes) -> None:
        """A mark that keeps a call from beginning. Whatever the notice says, it is answered with 200 (SRV-5)."""
        try:
            notice = json.loads(body)
            thread, call_id = str(notice["thread_id"]), str(notice["tool_call_id"])
        except (ValueError, TypeError, KeyError):
            return
        try:
            self._note((thread, call_id), "cancelled", new=True)
        except Exception:
            log.exception("the cancellation of %s could not be recorded", call_id[:256])

    def _send_to_self(self, task: Mapping[str, Any], context: Any) -> None:
        payload = json.dumps({TASK: task}).encode()
        if len(payload) > MAX_EVENT:
            raise BodyTooLarge
        self._client("lambda").invoke(
            FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=payload
        )

    # work

    async def _run(self, invocation: Invocation, context: Any) -> None:
        operation = self._toolset.operations.get(invocation.operation)
        match self._begin(invocation.key):
            case "over":
                log.info("call %s has run already, or was cancelled", invocation.id)
                return
            case "cut off" if operation is not None and not operation.repeatable:
                log.warning("call %s of %s was cut off", invocation.id, invocation.operation)
                invocation = replace(invocation, problem=CUT_OFF.format(operation=invocation.operation))
        over = asyncio.Event()
        signs = shared(self._live(invocation.key, over), f"signs of {invocation.id}")
        try:
            await self._answer_call(invocation, context)
        finally:
            over.set()
            await signs
        self._note(invocation.key, "done")

    async def _live(self, key: Key, over: asyncio.Event) -> None:
        """While a call runs, it is on record that it does: otherwise a copy of its event would tell that it was cut off."""
        while self._table is not None and not over.is_set():
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await over.wait()
            except TimeoutError:
                try:
                    await in_thread(partial(self._note, key, "begun"))
                except Exception:
                    log.exception("that a call still runs could not be recorded")

    async def _answer_call(self, invocation: Invocation, context: Any) -> None:
        message = {"type": "tool_result", "group_id": invocation.group_id, "id": invocation.id}
        try:
            body = self._fitting(
                {**message, "call_id": invocation.call_id, **await self._fields(invocation, context)}
            )
        except Exception as error:  # whatever a tool raises is an answer (SRV-2)
            if not isinstance(error, ToolError):
                log.warning("call %s of %s failed", invocation.id, invocation.operation, exc_info=error)
            text = error_text(invocation.operation, error)
            body = encode({**message, "call_id": invocation.call_id, "text": text})
        until = time.monotonic() + min(LATEST_SECONDS * 10, _left(context) - LATEST_SECONDS)
        if not await self._deliver(invocation.callback_url, body, invocation.id, until):
            letter = {"url": invocation.callback_url, "body": body.decode(), "id": invocation.id}
            self._send_to_self({"deliver": letter}, context)

    async def _fields(self, invocation: Invocation, context: Any) -> dict[str, Any]:
        if invocation.problem is not None:
            raise ToolError(invocation.problem)
        operation = self._toolset.operations.get(invocation.operation)
        if operation is None:
            names = ", ".join(self._toolset.operations)
            raise ToolError(f"there is no tool {invocation.operation!r} here; there are: {names}")
        arguments = operation.signature.check(invocation.arguments)
        turn = Turn(Slots(1, 1), self._limits.seconds)
        if operation.signature.context is not None:
            call = Call(invocation, _Voice(invocation, self._limits), turn.cancelled)
            arguments = {**arguments, operation.signature.context: call}
        left = max(_left(context) - MARGIN_SECONDS, 1.0)
        seconds = min(operation.seconds(self._limits.seconds) or left, left)
        function = partial(operation.function, **arguments)
        fields: dict[str, Any] = await Runner().run(
            Work(operation.name, function, result_fields, turn, seconds)
        )
        return fields

    def _fitting(self, message: dict[str, Any]) -> bytes:
        most = min(self._limits.result_bytes, MAX_EVENT * 3 // 4)  # so that it can be queued, escaped
        return fitting(message, most)

    # delivery

    async def _deliver_or_fail(self, url: str, body: bytes, call_id: str, context: Any) -> None:
        if not await self._deliver(url, body, call_id, time.monotonic() + _left(context) - LATEST_SECONDS):
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
                wait = self._backoff.wait(tries)
                if time.monotonic() + wait >= until:
                    return False
                await asyncio.sleep(wait)
        return False

    # what ran

    def _begin(self, key: Key) -> Literal["new", "cut off", "over"]:
        """Remember that a call begins, or how far it came. Without a table every one is new."""
        found = self._note(key, "begun", new=True)
        if found is None:
            return "new"
        if found.get("state", {}).get("S") != "begun":
            return "over"
        return "cut off" if time.time() - float(found["at"]["N"]) >= RETRY_SECONDS else "over"

    def _note(self, key: Key, state: str, *, new: bool = False) -> dict[str, Any] | None:
        """Write down how far a call is; ``new``: only if nothing is known of it, else what is comes back."""
        if self._table is None:
            return None
        client, now = self._client("dynamodb"), time.time()
        item = {
            "call": {"S": json.dumps(key)},
            "state": {"S": state},
            "at": {"N": f"{now:.3f}"},
            "expires": {"N": str(int(now) + KEEP_SECONDS)},
        }
        condition = {
            "ConditionExpression": "attribute_not_exists(#call)",
            "ExpressionAttributeNames": {"#call": "call"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            client.put_item(TableName=self._table, Item=item, **(condition if new else {}))
        except client.exceptions.ConditionalCheckFailedException as error:
            found: dict[str, Any] = error.response.get("Item", {})
            return found
        return None

    def _client(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._clients(name)
        return self._known[name]


class _Voice:
    """What a function on Lambda can say while it runs: pages and views, sent once. It cannot wait for people."""

    def __init__(self, invocation: Invocation, limits: Limits) -> None:
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
    """A Function URL's event, payload version 2.0. Whoever may invoke the function may send anything: what is not of its type is not there."""
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


def _left(context: Any) -> float:
    """Seconds that this invocation has."""
    return float(context.get_remaining_time_in_millis()) / 1000


def _boto3_client(name: str) -> Any:
    return import_module("boto3").client(name)
