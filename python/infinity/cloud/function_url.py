"""The adapter between Lambda Function URLs and ``infinity.api``: events (payload 2.0) become requests,
responses become what Lambda sends back.

Called by ``cloud/handlers.py``: ``receive`` for tool servers, ``serve`` for clients. Nothing of an event
may be trusted to be there or to be of the right type, because anyone who may invoke the function directly may
send anything; and whatever happens there must be a response, because Lambda would answer for a function
that fails, in words of its own. What a request has put on record besides its message leaves before it is
answered (I5).
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from infinity.api.backend import Part
from infinity.api.errors import Refused, failure, no_method, no_route, refusal
from infinity.api.requests import Body, Request, check_token
from infinity.api.responses import Response
from infinity.api.route import Route
from infinity.api.routes import routes_of
from infinity.aws.sqs import deduplication_id
from infinity.errors import BadRequest
from infinity.rap.callback_type import PREFIX

from . import envelope
from .backend import FunctionBackend
from .effects import Effects, collect_effects

if TYPE_CHECKING:
    from .host import Host

__all__ = ["EventBody", "close_event", "open_event", "receive", "serve"]

logger = logging.getLogger("infinity.api")

MOST_FIELDS = 100
"""Of a query string."""
_PLAIN = 1 << 20
"""Bytes that are sent as text: escaped as JSON they may grow sixfold. More go as base64."""
_LARGEST = 6 * 1024 * 1024 - (64 << 10)
_UNGUARDED = "this function has no INFINITY_API_TOKEN, and its URL is not guarded by IAM: set the token, or the URL's auth type AWS_IAM"


async def receive(host: Host, event: Mapping[str, Any]) -> dict[str, Any]:
    """Serve the function whose URL everybody may call: a callback's credential is in its path (CB-5).

    Args:
        host: The process's host.
        event: The Function URL event. It is untrusted; anything may be missing or of the wrong type.

    Returns:
        The response in the form that Lambda expects; every failure is one, so this does not raise.
    """
    return close_event(await _respond(host, event, Part.RECEIVER))


async def serve(host: Host, event: Mapping[str, Any]) -> dict[str, Any]:
    """Serve the function for clients: ``/v1`` needs the bearer token, or an URL that IAM guards (S1).

    Args and result are those of ``receive``.
    """
    return close_event(await _respond(host, event, Part.API))


async def _respond(host: Host, event: Mapping[str, Any], part: Part) -> Response:
    try:
        request = open_event(event)
        found = [
            (route, held) for route in routes_of(part) if (held := _match(route, request.path)) is not None
        ]
        route, held = next((each for each in found if each[0].method == request.method), (None, {}))
        if route is None:
            return no_method(route.method for route, _ in found) if found else no_route()
        if route.authenticated:
            _check_access(host, request)
        assert not isinstance(route.handler, str), "every route of a function has a handler"
        limit = host.runtime.settings.limits.message_bytes
        request = replace(request, parameters=held, limit=limit)
        with collect_effects() as effects:
            try:
                made = await route.handler(FunctionBackend(host, part), request)
            finally:
                # A message may be durable already when its request is refused.
                await _flush(host, effects)
    except Exception as error:  # noqa: BLE001 the one place where a request's failure becomes its response
        return failure(error)
    logger.debug("%s %s: %d, %d bytes", route.method, route.path, made.status, len(made.body))
    return made


def _match(route: Route, path: str) -> dict[str, str] | None:
    """What the path holds, if it is one of the route. A slash within a part is written ``%2F``."""
    pattern, parts = route.path.split("/"), path.split("/")
    if len(pattern) != len(parts):
        return None
    held = {}
    for one, part in zip(pattern, parts, strict=True):
        if one[:1] == "{" and part:
            held[one[1:-1]] = unquote(part)
        elif one != part:
            return None
    return held


def _check_access(host: Host, request: Request) -> None:
    """``Refused`` (401). A function that is reachable without IAM and has no token lets nobody in (S1)."""
    # A token that is set always decides, even behind IAM: anyone who set it wants it to be asked for.
    if host.resources.api_token:
        check_token(request.headers, host.resources.api_token, "that the function has as INFINITY_API_TOKEN")
    elif not request.by_iam:
        raise Refused(401, "unauthorized", _UNGUARDED)


async def _flush(host: Host, effects: Effects) -> None:
    """These functions reach the inbox queue only: a timer is left to the agent, which a wake for its time
    makes see to it.
    """
    for thread, cause in effects.wakes.items():
        await host.alarms.wake(thread, cause)
    for (thread, _), due_at in effects.timers.items():
        deduplication = deduplication_id(thread, f"wake.{host.fresh_cause()}")
        await host.inbox_queue.send(
            envelope.wake(thread, due_at), group=thread, deduplication_id=deduplication
        )
    if effects.notifications:
        await host.notify(list(effects.notifications.values()))


class EventBody(Body):
    """The body of an event, decoded when it is read. ``encoded``: whether its text is base64."""

    def __init__(self, text: str, encoded: bool = False) -> None:
        self._text = text
        self._encoded = encoded

    async def read_up_to(self, most: int, rule: str | None = None) -> tuple[bytes, bool]:
        """The body, as far as it is not larger than allowed.

        What is larger is not decoded but for its beginning; what is not Unicode is left as it is, to be
        refused as bad UTF-8 by anyone who parses it.

        Args:
            most: Bytes that are allowed.
            rule: Id of the rule that a refusal names.

        Returns:
            Bytes, and whether they are all there is.

        Raises:
            BadRequest: if the event says that it is base64, and it is not.
        """
        text = self._text
        # Four characters of base64 are three bytes at most, one of text at least.
        if len(text) > (most * 4 // 3 + 4 if self._encoded else most):
            return self._beginning(min(most, PREFIX)), False
        data = text.encode(errors="surrogatepass")
        if self._encoded:
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise BadRequest(f"the event's body is not base64: {error}", rule) from None
        return data[:most], len(data) <= most

    def _beginning(self, size: int) -> bytes:
        """Of what is not read whole; what is not base64 has none."""
        if not self._encoded:
            return self._text[:size].encode(errors="surrogatepass")[:size]
        try:
            return base64.b64decode(self._text[: size // 3 * 4])
        except binascii.Error:
            return b""


def open_event(event: Any) -> Request:
    """Read a Function URL event (payload 2.0) as a request of ``infinity.api``.

    Args:
        event: Whatever the function was invoked with.

    Raises:
        BadRequest: if it names no method and path, or its body or query cannot be read.
    """
    context = _mapping(event).get("requestContext")
    http = _mapping(_mapping(context).get("http"))
    method, path = http.get("method"), _mapping(event).get("rawPath", http.get("path"))
    if not isinstance(method, str) or not isinstance(path, str):
        raise BadRequest(
            "this is not an event of a Lambda Function URL (payload 2.0): it names no method and path"
        )
    body = event.get("body")
    if body is not None and not isinstance(body, str):
        raise BadRequest("the event's body is not text")
    return Request(
        method=method.upper(),
        path=path,
        query=_query(event.get("rawQueryString")),
        headers={
            name.lower(): value
            for name, value in _mapping(event.get("headers")).items()
            if isinstance(name, str) and isinstance(value, str)
        },
        body=EventBody(body, event.get("isBase64Encoded") is True) if body else None,
        by_iam=bool(_mapping(_mapping(_mapping(context).get("authorizer")).get("iam"))),
    )


def close_event(response: Response) -> dict[str, Any]:
    """Write a response as a function behind a Function URL returns it.

    Large bodies go as base64, because the platform escapes a text as JSON; what is larger than a function
    may return becomes a refusal that says so.
    """
    plain = len(response.body) <= _PLAIN
    body = response.body.decode() if plain else base64.b64encode(response.body).decode()
    if len(body) > _LARGEST:
        text = "the answer is larger than a function may give; ask for less at a time ('limit'), or read it from the database"
        return close_event(refusal(500, "answer_too_large", text))
    return {
        "statusCode": response.status,
        "headers": {"content-type": "application/json", **_lowered(response.headers)},
        "body": body,
        "isBase64Encoded": not plain,
    }


def _query(text: object) -> dict[str, str]:
    if not isinstance(text, str):
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise BadRequest(f"the query cannot be read: {error}") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
