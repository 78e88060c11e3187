"""``make mutants``: the heart is broken on purpose, one patch at a time, and somebody has to notice: the simulator, or else the tests of slices.

``MUTANTS``: a part of a name, to try only those. ``INFINITY_SEEDS``: how many scripts the simulator runs for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulator.changes import ROOT, DoesNotApply, changed
from tests.simulator.find_reverts import found_after

PATCHES = sorted(Path(__file__).parent.glob("*.patch"))
SEEDS = int(os.environ.get("INFINITY_SEEDS", "60"))
TESTS = (
    "tests/slice",
    "tests/property/test_played_scripts.py",
    "tests/unit/engine",
    "tests/crash/test_gates.py",
)


def noticed(patch: Path) -> str | None:
    """Who notices, and how; ``None``: it survives."""
    if (found := found_after(patch, SEEDS)) is not None:
        return f"simulator, {found[0]} seeds: {found[1]}"
    with changed(patch) as folder:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        tests = [test for test in TESTS if (ROOT / test).exists()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "2", "--timeout", "60", *tests]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0][:140] if failed else None


def main() -> int:
    survivors = []
    for patch in PATCHES:
        if os.environ.get("MUTANTS", "") not in patch.stem:
            continue
        try:
            by = noticed(patch)
        except DoesNotApply as error:
            by, _ = None, print(f"DOES NOT APPLY {error}")
        if by is None:
            survivors.append(patch.stem)
        print(f"{patch.stem:36} {by or 'SURVIVES'}", flush=True)
    print(f"{len(survivors)} survive: {', '.join(survivors)}" if survivors else "none survives")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
