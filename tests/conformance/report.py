"""``python -m tests.conformance.report``: one line for each requirement, with what proves it."""

from __future__ import annotations

from tests.conformance.requirements import LEDGER, Requirement
from tests.conformance.test_ledger import PROOFS


def line(requirement: Requirement) -> str:
    """Id, level, how many tests, the sentence and what of it is missing; or the reason of a gap."""
    tests = [*PROOFS.get(requirement.id, []), *requirement.rust]
    missing = f" MISSING: {requirement.partly}" if requirement.partly else ""
    state = f"{len(tests):3} tests" if tests else "      gap"
    return f"{requirement.id:7} {requirement.level:6} {state}  {requirement.gap or requirement.sentence}{missing}"


def report() -> str:
    lines = [line(requirement) for requirement in LEDGER.values()]
    gaps = sum(1 for requirement in LEDGER.values() if requirement.gap)
    parts = sum(1 for requirement in LEDGER.values() if requirement.partly)
    return "\n".join([*lines, f"{len(lines)} requirements, {gaps} gaps, {parts} in part"])


if __name__ == "__main__":
    print(report())
