"""The table that ``make conformance`` prints."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.conformance import table
from tests.conformance.requirements import LEDGER, Requirement
from tests.conformance.test_ledger import PROOFS


@pytest.mark.parametrize(
    "nodeid",
    ["tests/a/test_b.py::test_c", "tests/a/test_b.py::test_c[x::y@z]", "tests/a/test_b.py::test_c@group"],
)
def test_the_cases_of_a_test_are_one_test(nodeid: str) -> None:
    assert table.test_of(nodeid) == "a/test_b.py::test_c"


def test_one_case_that_fails_fails_the_requirement() -> None:
    rule = Requirement("INV-3", "must", "…")
    endings = table.ended([("tests/a.py::test_b[1]", "passed"), ("tests/a.py::test_b[2]", "failed")])
    assert table.state(table.of_proof("a.py::test_b", endings)) == "FAIL"
    assert table.verdict(rule, ["pass", "FAIL"]) == "FAIL"
    assert table.verdict(rule, ["pass", "not run"]) == "pass"


def test_what_was_not_run_or_was_skipped_proves_nothing() -> None:
    rule = Requirement("INV-3", "must", "…")
    assert table.state(Counter()) == "not run"
    assert table.state(Counter(skipped=3)) == "skip"
    assert table.verdict(rule, ["skip", "not run"]) == "NOT RUN"
    assert table.verdict(Requirement("INV-3", "must", "…", gap="later"), []) == "GAP"


def test_a_class_or_a_file_is_proof_with_all_of_its_tests() -> None:
    endings = table.ended([("tests/a.py::TestB::test_c", "passed"), ("tests/ab.py::test_d", "failed")])
    assert table.of_proof("a.py::TestB", endings) == Counter(passed=1)
    assert table.of_proof("a.py", endings) == Counter(passed=1)


def test_every_requirement_and_every_proof_has_its_line() -> None:
    endings = table.ended((f"tests/{test}", "passed") for tests in PROOFS.values() for test in tests)
    text = "\n".join(line for _, line in table.lines(endings))
    assert all(f"{id:8} " in text for id in LEDGER)
    assert all(test in text for tests in PROOFS.values() for test in tests)
    assert "NOT RUN" not in text and "FAIL" not in text
