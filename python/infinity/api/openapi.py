"""``GET /openapi.json``: the description of the interface, made from the same table that serves it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .routes import Route

__all__ = ["describe"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_WHAT = {
    "after": "The cursor to go on from: the 'next' of a listing, the id of an event, or 'latest' for events.",
    "limit": "At most so many items, up to 1000.",
    "root": "Only threads of this tree.",
    "parent": "Only children of this thread.",
    "thread": "Only those of this thread.",
    "call_id": "Only that of this call.",
    "status": "Only threads in this state: idle, waiting, stopped or closed.",
    "Idempotency-Key": "Sending the request again under the same key is harmless.",
    "Last-Event-ID": "The id of the last event received; wins over 'after'.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "For people: what happened and what to do."},
                "rule": {
                    "type": "string",
                    "description": "The protocol rule that was broken, where there is one.",
                },
            },
        }
    },
}


def describe(routes: Sequence[Route[Any]], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    bodies = [route.body for route in routes if route.body is not None]
    _, schemas = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Infinity", "version": version or "0"},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route[Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    for place, names in (("query", route.query), ("header", route.headers)):
        parameters += [
            {"name": name, "in": place, "description": _WHAT[name], "schema": {"type": "string"}}
            for name in names
        ]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {
            "201" if route.created else "202" if route.later else "200": {
                "description": "Done.",
                "content": {route.produces: {}},
            },
            "default": {
                "description": "Refused (4xx) or failed (5xx: try again).",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    for status, what in route.refusals:
        described = {"description": what, "content": operation["responses"]["default"]["content"]}
        operation["responses"][str(status)] = described
    if route.created and "Idempotency-Key" in route.headers:
        operation["responses"]["200"] = {
            "description": "It was there already.",
            "content": {route.produces: {}},
        }
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        operation["requestBody"] = {
            "required": not route.optional,
            "content": {"application/json": {"schema": schema}},
        }
    if route.uploads:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if route.authenticated:
        operation["security"] = [{"token": []}]
    return operation
