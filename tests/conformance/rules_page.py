"""docs/rules.md, made from the ledger and the table of invariants: ``python -m tests.conformance.rules_page`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.requirements import RULES, TRAPS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "rules.md"

_LEVELS = {"must": "MUST", "should": "SHOULD", "ours": "extension"}
_GROUPS = {
    "L": "Losing work",
    "R": "Repeating work",
    "B": "Blocking",
    "G": "Growing",
    "S": "Leaking",
    "M": "Confusing the model",
}


def page() -> str:
    """The whole page."""
    parts = [
        "# Rules by id\n",
        "Errors, comments and tests name rules by their ids. This page is made from the ledger in `tests/conformance/requirements.py`"
        " (`python -m tests.conformance.rules_page`); `make conformance` prints the tests that prove each rule.\n",
        "## Invariants\n",
        "Explained in [guarantees](concepts/guarantees.md).\n",
        _table(("id", "what holds"), _invariants()),
        "## The protocol\n",
        "Explained in [the Reactive Agent Protocol](protocol.md). An *extension* is a rule of Infinity beyond the protocol.\n",
        _table(("id", "level", "rule"), [(rule.id, _LEVELS[rule.level], rule.sentence) for rule in RULES]),
        "## Traps\n",
        "Ways in which systems of this kind lose, repeat, block, grow or leak. Each is something that Infinity must not do, and has a test that"
        " fails if it does.\n",
    ]
    for letter, name in _GROUPS.items():
        traps = [(trap.id, trap.sentence) for trap in TRAPS if re.fullmatch(rf"{letter}\d+", trap.id)]
        parts += [f"### {name}\n", _table(("id", "trap"), traps)]
    return "\n".join(parts)


def _invariants() -> list[tuple[str, ...]]:
    text = (DOCS / "concepts" / "guarantees.md").read_text()
    return re.findall(r"^\| (I\d+ [a-z ]+) \| (.*) \|$", text, re.M)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
