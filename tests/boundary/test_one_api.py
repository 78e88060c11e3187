"""There is one HTTP interface: one table of routes and one map of errors for both hosts, and every operation is described in full."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

import infinity.errors
from infinity._core import CoreError
from infinity.api.backend import Part
from infinity.api.errors import Refused, at_fault, failure
from infinity.api.openapi import describe
from infinity.api.routes import ROUTES, routes_of
from infinity.errors import (
    AlreadyAnswered,
    ConfigError,
    DamagedStore,
    LimitReached,
    MoveFailed,
    MoveUnconfirmed,
    RuleBroken,
    ThreadDeleted,
    UnknownThread,
)
from infinity.local.app import OWN

PACKAGE = Path(infinity.errors.__file__).parent
HOSTS = [path for room in ("api", "local", "cloud") for path in sorted((PACKAGE / room).rglob("*.py"))]
ERRORS = {name for name, kind in vars(infinity.errors).items() if inspect.isclass(kind)}
ROUTERS = {"Route", "add_route", "add_get", "add_post", "add_put", "add_delete", "RouteTableDef"}


def _named(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _makes_routes(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and _named(node.func) in ROUTERS for node in ast.walk(tree))


def _maps_errors(tree: ast.AST) -> bool:
    """Whether a class of error stands beside a status, in a pair or a dictionary."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            pairs.append((node.elts[0], node.elts[1]))
        elif isinstance(node, ast.Dict):
            pairs += zip(node.keys, node.values, strict=True)
    return any(
        kind is not None
        and _named(kind) in ERRORS
        and isinstance(status, ast.Constant)
        and isinstance(status.value, int)
        for kind, status in pairs
    )


def _which(found: Any) -> set[str]:
    return {str(path.relative_to(PACKAGE)) for path in HOSTS if found(ast.parse(path.read_text()))}


def test_there_is_one_table_of_routes() -> None:
    assert _which(_makes_routes) == {"api/routes.py", "local/app.py"}


def test_there_is_one_map_of_errors() -> None:
    assert _which(_maps_errors) == {"api/errors.py"}


def test_the_daemon_brings_exactly_the_operations_that_only_it_can_perform() -> None:
    assert {route.id for route in ROUTES if isinstance(route.handler, str)} == set(OWN)
    assert all(
        route.parts in (Part.DAEMON, Part.CONSOLE) for route in ROUTES if isinstance(route.handler, str)
    )


@pytest.mark.parametrize("part", [Part.DAEMON, Part.API, Part.RECEIVER])
def test_every_operation_has_an_id_and_schemas_by_name(part: Part) -> None:
    document = describe(routes_of(part), "1")
    names = set(document["components"]["schemas"])
    ids = []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            bodies = [*operation["responses"].values(), operation.get("requestBody", {"content": {}})]
            for media_type, content in (pair for body in bodies for pair in body["content"].items()):
                if media_type == "application/json" and path != "/openapi.json":
                    assert content["schema"]["$ref"].removeprefix("#/components/schemas/") in names
                assert content["schema"], (path, media_type)
    assert len(ids) == len(set(ids)) == len(routes_of(part))


def test_the_functions_serve_what_the_daemon_serves_but_for_what_only_one_of_them_can() -> None:
    ours, theirs = (
        {(route.method, route.path) for route in routes_of(part)} for part in (Part.API, Part.DAEMON)
    )
    # The daemon's stream begins with the views; there is no stream here.
    assert ours - theirs == {("GET", "/v1/threads/{id}/views")}
    moving = {
        (method, path)
        for method, path in theirs
        if path.endswith(("/migrate", "/export")) or "/imports" in path
    }
    assert theirs - ours == moving | {
        ("POST", "/callback/{token}"),
        ("GET", "/metrics"),
        # The order of all commits would be one row that all functions wait for (decision 0008).
        ("GET", "/v1/events"),
        # What `infinity doctor` asks a daemon; a deployment is examined by `infinity cloud`.
        ("GET", "/v1/examination"),
        ("GET", "/v1/models"),
        # What rests between two tries there is in no process; a schedule wakes one for it.
        ("POST", "/v1/outbox/{key}/retry"),
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ThreadDeleted("x"), 410, "deleted"),
        (UnknownThread("x"), 404, "not_found"),
        (AlreadyAnswered("x"), 400, "not_pending"),
        (LimitReached("x"), 429, "limit"),
        (MoveFailed("x"), 409, "move_failed"),
        (MoveUnconfirmed("x"), 502, "move_unconfirmed"),
        # A setting of the host is wrong: the sender is to try again, not to give up (CB-3).
        (ConfigError("x"), 503, "config"),
        (DamagedStore("x"), 503, "damaged"),
        (OSError("/a/path"), 503, "storage"),
        (CoreError("damaged", "x"), 503, "damaged"),
        (RuleBroken("x"), 500, "internal"),
        (KeyError("a secret"), 500, "internal"),
        (Refused(415, "content_type", "x", "CB-6"), 415, "content_type"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Exception) else str(part),
)
def test_an_error_has_one_status_on_every_host(error: Exception, status: int, code: str) -> None:
    made = failure(error)
    told = msgspec.json.decode(made.body)["error"]
    assert (made.status, told["code"], told.get("rule")) == (status, code, getattr(error, "rule", None))
    assert ("Retry-After" in made.headers) == (status in (429, 503))
    assert not any(word in told["message"] for word in ("/a/path", "a secret"))
    assert at_fault(error) == (status < 500)
