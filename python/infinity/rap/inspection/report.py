"""What an inspection found: one finding for each check, with the id of the protocol's rule that it is
about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

SHOULD = frozenset(
    {"DISC-6", "DISC-7", "DISC-8", "DISC-9", "INV-5", "RES-4", "RES-5", "SRV-3", "SRV-5", "SUB-4"}
)
OURS = frozenset({"CB-5", "INV-9", "S1", "SRV-6"})
"""Rules that a server may leave out; every other one is a must."""


class Outcome(Enum):
    PASSED = "passed"
    BROKEN = "broken"
    """A rule that a server must keep, or one that makes this runtime refuse it."""
    WARNED = "warned"
    """A rule that a server should keep."""
    SKIPPED = "skipped"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``check``: what was looked at, in a few words; ``text``: what was seen, and what was expected
    instead.
    """

    rule: str
    outcome: Outcome
    check: str
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding for scripts; these names are stable."""
        return {
            "rule": self.rule,
            "level": level(self.rule),
            "outcome": self.outcome.value,
            "check": self.check,
            "text": self.text,
        }


@dataclass(slots=True)
class Report:
    """``toolset``: name, endpoint and tools as the server told them, if it did; ``answer``: of the call
    that was asked for, if any.
    """

    url: str
    reachable: bool = False
    toolset: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    answer: dict[str, Any] | None = None

    @property
    def conforms(self) -> bool:
        """Whether no rule that a server must keep is broken."""
        return self.reachable and not self.of(Outcome.BROKEN)

    def of(self, outcome: Outcome) -> list[Finding]:
        """The findings with one outcome.

        Args:
            outcome: which.
        """
        return [finding for finding in self.findings if finding.outcome is outcome]

    def passed(self, rule: str, check: str, text: str = "") -> None:
        """A rule is kept, as far as it was looked at.

        Args:
            rule: its id.
            check: what was looked at.
            text: what was seen.
        """
        self.findings.append(Finding(rule, Outcome.PASSED, check, text))

    def skipped(self, rule: str, check: str, text: str) -> None:
        """A rule could not be looked at.

        Args:
            rule: its id.
            check: what would have been looked at.
            text: why it could not.
        """
        self.findings.append(Finding(rule, Outcome.SKIPPED, check, text))

    def failed(self, rule: str, check: str, text: str, *, refused: bool = False) -> None:
        """A rule is broken; how much that weighs depends on the rule.

        Args:
            rule: its id.
            check: what was looked at.
            text: what was seen, and what was expected instead.
            refused: a runtime does not use the server because of it, so that it weighs as much as a
                must.
        """
        must = refused or level(rule) == "must"
        self._add(Finding(rule, Outcome.BROKEN if must else Outcome.WARNED, check, text))

    def advised(self, rule: str, check: str, text: str) -> None:
        """Within the rule, and yet people will notice.

        Args:
            rule: its id.
            check: what was looked at.
            text: what was seen, and what would be better.
        """
        self._add(Finding(rule, Outcome.WARNED, check, text))

    def _add(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def to_json(self) -> dict[str, Any]:
        """The report for scripts; these names are stable."""
        return {
            "url": self.url,
            "reachable": self.reachable,
            "conforms": self.conforms,
            "counts": {outcome.value: len(self.of(outcome)) for outcome in Outcome},
            "toolset": self.toolset,
            "findings": [finding.to_json() for finding in self.findings],
            "answer": self.answer,
        }


def level(rule: str) -> str:
    """How much a rule binds a server: ``must``, ``should``, or ``ours`` for rules that Infinity adds.

    Args:
        rule: its id.
    """
    return "should" if rule in SHOULD else "ours" if rule in OURS else "must"
