"""The ledger and the tests agree: nothing is proved that is not in it, nothing is in it that is silently unproved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.conformance.evidence import Claim, claims_of
from tests.conformance.requirements import LEDGER, RULES, TRAPS, Requirement

TESTS = Path(__file__).parents[1]
RUST = TESTS.parent / "rust"


def proofs(claims: list[Claim]) -> dict[str, list[str]]:
    """The tests of each requirement."""
    found: dict[str, list[str]] = {}
    for claim in claims:
        if not claim.problem:
            found.setdefault(claim.id, []).append(claim.test)
    return found


def defects(claims: list[Claim], ledger: Mapping[str, Requirement]) -> list[str]:
    """Markers that prove nothing: unknown ids, the wrong marker, no test."""
    texts = []
    for claim in claims:
        problem = claim.problem
        if not problem and claim.id not in ledger:
            problem = "there is no such id"
        if not problem and (claim.marker == "trap") != (ledger[claim.id].level == "trap"):
            problem = "it is a rule, not a trap" if claim.marker == "trap" else "it is a trap, not a rule"
        if problem:
            texts.append(f"{claim.test}: @pytest.mark.{claim.marker}({claim.id!r}): {problem}")
    return texts


def verdict(requirement: Requirement, tests: list[str]) -> str | None:
    """What is wrong with the ledger's word on a requirement."""
    proved = tests or requirement.rust
    if not proved and not requirement.gap:
        return f"{requirement.id} has no test; write one, or a reason into 'gap'"
    if requirement.partly and not proved:
        return f"{requirement.id} has no test at all; 'partly' is for what tests leave out, 'gap' for this"
    if proved and requirement.gap:
        return f"{requirement.id} has tests now ({', '.join(proved)}); take its 'gap' out of the ledger"
    return None


CLAIMS = claims_of(TESTS)
PROOFS = proofs(CLAIMS)


def test_every_marker_is_on_a_test_and_names_a_known_id() -> None:
    assert defects(CLAIMS, LEDGER) == []


@pytest.mark.parametrize("requirement", [*RULES, *TRAPS], ids=lambda requirement: requirement.id)
def test_it_is_proved_or_the_ledger_says_why_not(requirement: Requirement) -> None:
    problem = verdict(requirement, PROOFS.get(requirement.id, []))
    assert problem is None, problem


@pytest.mark.parametrize(
    "proof", sorted({proof for requirement in LEDGER.values() for proof in requirement.rust})
)
def test_a_proof_in_the_core_is_there(proof: str) -> None:
    file, _, name = proof.partition("::")
    assert f"fn {name}()" in (RUST / file).read_text()


def test_every_id_is_in_the_ledger_once() -> None:
    assert len(LEDGER) == len(RULES) + len(TRAPS)
    assert all(requirement.level in ("must", "should", "ours") for requirement in RULES)


KNOWN = {"INV-3": Requirement("INV-3", "must", "…"), "L1": Requirement("L1", "trap", "…")}


def claimed(tmp_path: Path, source: str, name: str = "test_it.py") -> list[Claim]:
    (tmp_path / name).write_text(source)
    return claims_of(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.rap('INV-3')\ndef test_it(): ...",
        "@pytest.mark.rap('INV-3')\nasync def test_it(): ...",
        "@pytest.mark.rap('INV-3')\nclass TestIt:\n  def test_it(self): ...",
        "class TestIt:\n  @pytest.mark.rap('INV-3')\n  def test_it(self): ...",
        "pytestmark = [pytest.mark.rap('INV-3')]",
        "CASES = [pytest.param(1, marks=pytest.mark.rap('INV-3'))]",
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.rap('INV-3'))])\ndef test_it(x): ...",
    ],
)
def test_a_marker_is_found_wherever_pytest_finds_it(tmp_path: Path, source: str) -> None:
    claims = claimed(tmp_path, source)
    assert list(proofs(claims)) == ["INV-3"]
    assert defects(claims, KNOWN) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("@pytest.mark.rap('INV-99')\ndef test_it(): ...", "no such id"),
        ("@pytest.mark.rap('L1')\ndef test_it(): ...", "a trap, not a rule"),
        ("@pytest.mark.trap('INV-3')\ndef test_it(): ...", "a rule, not a trap"),
        ("@pytest.mark.rap()\ndef test_it(): ...", "names no id"),
        ("@pytest.mark.rap(RULE)\ndef test_it(): ...", "not written out"),
        ("@pytest.mark.rap('INV-3')\ndef prepare(): ...", "not on a test"),
    ],
)
def test_a_marker_that_proves_nothing_is_a_defect(tmp_path: Path, source: str, problem: str) -> None:
    (defect,) = defects(claimed(tmp_path, source), KNOWN)
    assert problem in defect


def test_a_marker_in_a_file_without_tests_is_a_defect(tmp_path: Path) -> None:
    claims = claimed(tmp_path, "@pytest.mark.rap('INV-3')\ndef test_it(): ...", "world.py")
    assert len(defects(claims, KNOWN)) == 1
    assert proofs(claims) == {}


def test_silence_is_a_defect_and_so_is_a_gap_that_has_been_filled() -> None:
    rule, with_gap = KNOWN["INV-3"], Requirement("INV-3", "must", "…", gap="not built")
    in_core = Requirement("INV-3", "must", "…", rust=("tests/a.rs::b",))
    assert verdict(rule, []) is not None
    assert verdict(rule, ["test_it.py::test_it"]) is None
    assert verdict(in_core, []) is None
    assert verdict(with_gap, []) is None
    assert verdict(with_gap, ["test_it.py::test_it"]) is not None
