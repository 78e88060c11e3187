"""Waits that grow between tries come from ``infinity.backoff`` alone: one rule, with jitter, for all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import infinity

ROOT = Path(infinity.__file__).parent
NOT_OURS = ("testing", "demo")
"""What plays a user's program or server waits as it likes."""


def grows(node: ast.expr) -> bool:
    """A power, or something times a small constant: what a hand-written back-off makes longer."""
    if not isinstance(node, ast.BinOp):
        return False
    if isinstance(node.op, ast.Pow):
        return not isinstance(node.right, ast.Constant)
    sides = (node.left, node.right)
    small = [each for each in sides if isinstance(each, ast.Constant) and each.value in (1.5, 2, 3, 4)]
    return isinstance(node.op, ast.Mult) and (bool(small) or any(map(grows, sides)))


def by_hand(tree: ast.AST) -> Iterator[int]:
    """Lines with ``min(wait * 2, longest)``, ``first * 2**tries`` or ``wait *= 2``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "min":
            given = [inner for each in node.args for inner in (each, *getattr(each, "args", ()))]
            if any(map(grows, given)):
                yield node.lineno
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.left, ast.Constant)
            and node.left.value in (2, 2.0)
        ):
            if isinstance(node.op, ast.Pow) and not isinstance(node.right, ast.Constant):
                yield node.lineno
        elif (
            isinstance(node, ast.AugAssign)
            and isinstance(node.op, ast.Mult)
            and isinstance(node.value, ast.Constant)
        ):
            yield node.lineno


def test_the_search_finds_what_is_written_by_hand() -> None:
    for line in (
        "pause = min(pause * 1.5, 5)",
        "wait *= 2",
        "pause = min(1000 * 2**tries, longest)",
        "w = min(max(w * 2, a), b)",
    ):
        assert set(by_hand(ast.parse(line))) == {1}, line
    for line in ("size = min(length * 3 // 4, 5)", "wait = backoff.wait(tries)", "most = 250 * 2**20"):
        assert list(by_hand(ast.parse(line))) == [], line


def test_there_is_no_hand_written_backoff() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] not in (*NOT_OURS, "backoff.py")
        for line in by_hand(ast.parse(path.read_text()))
    ]
    assert found == []
