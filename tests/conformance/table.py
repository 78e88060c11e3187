"""``-p tests.conformance.table``: after a run, the protocol rule by rule, the tests that prove each, and how they ended.

``make conformance`` runs every test that claims to prove something, wherever it is, and prints this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from tests.conformance.requirements import LEDGER, Requirement
from tests.conformance.test_ledger import PROOFS

Endings = Mapping[str, Counter[str]]
"""By test, without its parameters: how often it ended how."""

_BAD = ("failed", "error")
_KINDS = ("passed", "skipped", "xfailed", "xpassed", *_BAD)


def test_of(nodeid: str) -> str:
    """``file::function`` below ``tests``, without parameters and without the group that xdist puts behind it."""
    return nodeid.removeprefix("tests/").partition("[")[0].partition("@")[0]


def ended(reports: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """``reports``: node id and ending."""
    found: dict[str, Counter[str]] = {}
    for nodeid, ending in reports:
        found.setdefault(test_of(nodeid), Counter())[ending] += 1
    return found


def of_proof(proof: str, endings: Endings) -> Counter[str]:
    """Of a test, or of all tests of a class or a file."""
    return sum(
        (count for test, count in endings.items() if test == proof or test.startswith(f"{proof}::")),
        Counter[str](),
    )


def state(counts: Counter[str]) -> str:
    if any(counts[kind] for kind in _BAD):
        return "FAIL"
    return "pass" if counts["passed"] else "skip" if counts else "not run"


def verdict(requirement: Requirement, states: list[str]) -> str:
    """Of a requirement, from the states of its proofs. Proofs in the core are run by cargo, not here."""
    if "FAIL" in states:
        return "FAIL"
    if "pass" in states:
        return "pass"
    if requirement.gap:
        return "GAP"
    return "in core" if requirement.rust else "NOT RUN"


def lines(endings: Endings) -> list[tuple[str, str]]:
    """Verdict and text of every line: one for each requirement, below it one for each proof; the sum at the end."""
    table: list[tuple[str, str]] = []
    sums: Counter[str] = Counter()
    for requirement in LEDGER.values():
        proofs = sorted(set(PROOFS.get(requirement.id, [])))
        counts = {proof: of_proof(proof, endings) for proof in proofs}
        found = verdict(requirement, [state(count) for count in counts.values()])
        sums[found] += 1
        said = requirement.gap or requirement.sentence
        table.append((found, f"{requirement.id:8} {requirement.level:7} {found:8} {said}"))
        for proof, count in counts.items():
            cases = f" ({count.total()} cases)" if count.total() > 1 else ""
            table.append((state(count), f"{'':16} {state(count):8} {proof}{cases}"))
        table += [("in core", f"{'':16} {'in core':8} rust/{proof}") for proof in requirement.rust]
    totals = ", ".join(f"{count} {found}" for found, count in sums.items())
    table.append(("pass", f"{len(LEDGER)} requirements: {totals}"))
    return table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        (report.nodeid, kind)
        for kind in _KINDS
        for report in terminalreporter.stats.get(kind, [])
        if isinstance(report, pytest.TestReport)
    ]
    terminalreporter.section("rule → test → pass")
    for found, text in lines(ended(reports)):
        bad = found in ("FAIL", "GAP", "NOT RUN")
        terminalreporter.write_line(text, red=bad, green=found == "pass")
