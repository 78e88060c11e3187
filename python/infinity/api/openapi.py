"""``GET /openapi.json``: the description of the interface, made from the same table that serves it.

The schemas are those of ``requests.py`` and ``responses.py``. Nothing may be described here by hand that a type can describe. Two tests hold both hosts to the document:
``tests/boundary/test_openapi_described.py`` sends what it allows and what it does not, ``test_generated_client.py`` makes a client from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .requests import ATTENTION, LONGEST_PAGE, LONGEST_TITLE, PAGE, STATES, STATUSES
from .responses import Error
from .route import Route

__all__ = ["describe"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_TEXT = {"type": "string"}
_WHAT: dict[str, tuple[str, dict[str, Any]]] = {
    "after": (
        "The cursor to go on from: the 'next' of a listing, the id of an event, or 'latest' for events.",
        _TEXT,
    ),
    "limit": (
        f"At most so many items, up to {LONGEST_PAGE}.",
        {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE},
    ),
    "before": (
        "Only what comes before this position: the last of it, so that a page of the end is read first.",
        _TEXT,
    ),
    "bodies": (
        "cut: long texts of entries are cut, and each such entry says its size; whole: as they are.",
        {"type": "string", "enum": ["whole", "cut"], "default": "whole"},
    ),
    "explain": (
        "1: with the state and the first reason of each thread's explanation.",
        {"type": "string", "enum": ["1"]},
    ),
    "root": ("Only threads of this tree.", _TEXT),
    "parent": ("Only children of this thread.", _TEXT),
    "thread": (
        "Only those of this thread; in the stream of all events: what happens live in this one, too.",
        _TEXT,
    ),
    "from": ("The first day, as 2026-11-30; days are of UTC.", {"type": "string", "format": "date"}),
    "to": ("The last day.", {"type": "string", "format": "date"}),
    "by": (
        "What to sum by: some of day, model, root and thread, separated by commas; day if it is absent.",
        _TEXT,
    ),
    "rows": (
        "1: also the row of the list of threads whenever one changes, as an event 'row' without an id; '{\"many\": true}' in place of too many.",
        {"type": "string", "enum": ["0", "1"]},
    ),
    "kinds": ("Only events of these kinds, separated by commas.", _TEXT),
    "attention": (
        "Only threads that need a person, those that have for longest first: they ask something, or rest with a problem that only a person ends.",
        {"type": "string", "enum": list(ATTENTION)},
    ),
    "q": (
        "Only threads whose id begins with this, or whose title and first words have all of these words. One page of a search looks at a bounded number "
        "of threads, so it may have fewer than 'limit', and none, before 'next' is null; so with 'state' and 'model'.",
        {"type": "string", "maxLength": LONGEST_TITLE},
    ),
    "state": (
        f"Only threads in one of these states of their explanation, separated by commas: {', '.join(STATES)}.",
        _TEXT,
    ),
    "model": ("Only threads whose model has this name.", _TEXT),
    "call_id": ("Only that of this call.", _TEXT),
    "status": (
        f"Only threads in one of these states: {', '.join(STATUSES)}.",
        {"type": "string", "enum": list(STATUSES)},
    ),
    "Idempotency-Key": ("Sending the request again under the same key is harmless.", _TEXT),
    "Last-Event-ID": ("The id of the last event received; wins over 'after'.", _TEXT),
}
"""Parameters, by name: what they mean, and their schema."""
_REFERENCE = "#/components/schemas/{name}"


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document. Every body is described by a named schema."""
    routes = [route for route in routes if route.described]
    shapes: list[type] = [Error]
    for route in routes:
        shapes += [shape for shape in (route.body, route.returns) if shape is not None]
        shapes += [shape for _, _, shape in route.refusals]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(shapes), ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Infinity", "version": version or "0"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    for place, names in (("query", route.query), ("header", route.headers)):
        parameters += [
            {"name": name, "in": place, "description": _WHAT[name][0], "schema": _WHAT[name][1]}
            for name in names
        ]
    operation: dict[str, Any] = {"operationId": route.id, "summary": route.summary}
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": not route.optional, "content": _json(route.body)}
    if route.uploads:
        operation["requestBody"] = {"required": True, "content": _binary("application/octet-stream")}
    done = _json(route.returns) if route.returns is not None else _binary(route.produces)
    responses = {
        str(status): {"description": what, "content": done}
        for status, what in ((route.status, "Done."), *route.also)
    }
    for status, what, shape in route.refusals:
        responses[str(status)] = {"description": what, "content": _json(shape)}
    responses["default"] = {
        "description": "Refused (4xx) or failed (5xx: try again).",
        "content": _json(Error),
    }
    operation["responses"] = responses
    if route.authenticated:
        operation["security"] = [{"token": []}]
    return operation


def _json(shape: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(name=shape.__name__)}}}


def _binary(media_type: str) -> dict[str, Any]:
    """What is not JSON of ours; this document itself is an object without a schema of its own."""
    if media_type == "application/json":
        return {media_type: {"schema": {"type": "object"}}}
    return {
        media_type: {
            "schema": {"type": "string"}
            if media_type.startswith("text/")
            else {"type": "string", "format": "binary"}
        }
    }
