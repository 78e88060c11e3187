"""Which tests claim to prove what, read from their source without running any."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKERS = ("rap", "trap")


@dataclass(frozen=True, slots=True)
class Claim:
    """A marker. ``test``: ``file::function``, ``file::Class`` or, for a whole module, ``file``; ``problem``: why it proves nothing."""

    id: str
    marker: str
    test: str
    problem: str = ""


def claims_of(tree: Path) -> list[Claim]:
    """All markers under a folder of tests."""
    return [claim for file in sorted(tree.rglob("*.py")) for claim in _of_file(file, tree)]


def _of_file(file: Path, tree: Path) -> Iterator[Claim]:
    name = file.relative_to(tree).as_posix()
    module = ast.parse(file.read_text(), str(file))
    if file.name.startswith("test_"):
        yield from _of_body(module.body, name)
    else:
        for call in _markers(module):
            yield from _claims(call, name, "it is in a file that holds no tests")


def _of_body(body: list[ast.stmt], name: str) -> Iterator[Claim]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                problem = "" if node.name.startswith("test") else "it is not on a test"
                for decorator in node.decorator_list:
                    for call in _markers(decorator):
                        yield from _claims(call, f"{name}::{node.name}", problem)
            case ast.ClassDef():
                problem = "" if node.name.startswith("Test") else "it is not on a test"
                for decorator in node.decorator_list:
                    for call in _markers(decorator):
                        yield from _claims(call, f"{name}::{node.name}", problem)
                yield from _of_body(node.body, f"{name}::{node.name}")
            case _:
                # pytestmark, and tables of pytest.param(…, marks=…)
                for call in _markers(node):
                    yield from _claims(call, name, "")


def _markers(node: ast.AST) -> Iterator[ast.Call]:
    for found in ast.walk(node):
        if (
            isinstance(found, ast.Call)
            and isinstance(found.func, ast.Attribute)
            and found.func.attr in MARKERS
            and isinstance(found.func.value, ast.Attribute)
            and found.func.value.attr == "mark"
        ):
            yield found


def _claims(call: ast.Call, test: str, problem: str) -> Iterator[Claim]:
    assert isinstance(call.func, ast.Attribute)
    if not call.args:
        yield Claim("", call.func.attr, test, "it names no id")
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield Claim(argument.value, call.func.attr, test, problem)
        else:
            yield Claim("", call.func.attr, test, "its ids are not written out")
