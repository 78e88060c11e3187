"""The door: events of a Lambda Function URL (payload 2.0) become requests, answers become what Lambda sends back.

Nothing of a request is trusted to be there or to be of the right type: whoever may invoke the function directly may send anything. A body stays as it came
until somebody asks for it, so that whoever checks a credential first has looked at nothing else (CB-5).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from infinity.api.errors import refusal
from infinity.api.requests import too_large
from infinity.api.responses import Answer
from infinity.errors import BadRequest

__all__ = ["PAGE_BYTES", "Body", "Request", "close_event", "open_event"]

MOST_FIELDS = 100
"""Of a query string."""
PAGE_BYTES = 4 << 20
"""Bytes after which a page of a listing ends early: Lambda gives back at most 6 MB, and base64 makes them a third longer."""
_PLAIN = 1 << 20
"""Bytes that are sent as text: escaped as JSON they may grow sixfold. More go as base64."""
_LARGEST = 6 * 1024 * 1024 - (64 << 10)


@dataclass(frozen=True, slots=True)
class Body:
    """As it came. ``repr`` leaves its content out (S9)."""

    text: str = field(default="", repr=False)
    encoded: bool = False

    def __bool__(self) -> bool:
        return bool(self.text)

    def beginning(self, size: int) -> bytes:
        """The first bytes, of what is not read whole; what is no base64 has none."""
        if not self.encoded:
            return self.text[:size].encode(errors="surrogatepass")[:size]
        try:
            return base64.b64decode(self.text[: size // 3 * 4])
        except binascii.Error:
            return b""

    def read(self, limit: int, rule: str | None = None, setting: str = "limits.message_bytes") -> bytes:
        """At most ``limit`` bytes; ``Refused`` (413) for more, before anything is decoded; ``BadRequest`` for what is no base64."""
        # Four characters of base64 are three bytes at most, one of text at least.
        if len(self.text) > (limit * 4 // 3 + 4 if self.encoded else limit):
            raise too_large(limit, rule, setting)
        # What is no Unicode stays what it is, and is refused as bad UTF-8 by whoever parses it.
        data = self.text.encode(errors="surrogatepass")
        if self.encoded:
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise BadRequest(f"the event's body is not base64: {error}", rule) from None
        if len(data) > limit:
            raise too_large(limit, rule, setting)
        return data


@dataclass(frozen=True, slots=True)
class Request:
    """``headers``: names in lower case; ``query``: of a name that comes twice, the first; ``parameters``: of the path, once a route was found.

    ``by_iam``: Lambda has checked a signature of IAM before it called the function.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body = field(default_factory=Body)
    by_iam: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


def open_event(event: Any) -> Request:
    """``BadRequest`` for what is no event of a Function URL."""
    context = _mapping(event).get("requestContext")
    http = _mapping(_mapping(context).get("http"))
    method, path = http.get("method"), _mapping(event).get("rawPath", http.get("path"))
    if not isinstance(method, str) or not isinstance(path, str):
        raise BadRequest(
            "this is no event of a Lambda Function URL (payload 2.0): it names no method and path"
        )
    body = event.get("body")
    if body is not None and not isinstance(body, str):
        raise BadRequest("the event's body is no text")
    return Request(
        method=method.upper(),
        path=path,
        query=_query(event.get("rawQueryString")),
        headers={
            name.lower(): value
            for name, value in _mapping(event.get("headers")).items()
            if isinstance(name, str) and isinstance(value, str)
        },
        body=Body(body or "", event.get("isBase64Encoded") is True),
        by_iam=bool(_mapping(_mapping(_mapping(context).get("authorizer")).get("iam"))),
    )


def close_event(answer: Answer) -> dict[str, Any]:
    """What a function behind a Function URL returns."""
    plain = len(answer.body) <= _PLAIN
    body = answer.body.decode() if plain else base64.b64encode(answer.body).decode()
    if len(body) > _LARGEST:
        text = "the answer is larger than a function may give; ask for less at a time ('limit'), or read it from the database"
        return close_event(refusal(500, "answer_too_large", text))
    return {
        "statusCode": answer.status,
        "headers": {"content-type": "application/json", **_lowered(answer.headers)},
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
