"""``make simulate-check``: each repair is reverted, and the simulator has to find what that breaks. Prints after how many seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulator.changes import DoesNotApply, changed

MOST = int(os.environ.get("INFINITY_SEEDS", "500"))
LONGEST = 1_200
"""Seconds. A change may also keep a script from ending."""
CHOSEN = os.environ.get("REVERTS", "")
"""A part of a name, to try only those."""
PATCHES = [
    patch
    for patch in sorted(Path(__file__).parent.joinpath("reverts").glob("*.patch"))
    if CHOSEN in patch.stem
]
PROGRAM = """
import sys
from infinity.testing.simulator import Failure, run, script_of
for seed in range(int(sys.argv[1])):
    try:
        run(script_of(seed))
    except Failure as failure:
        print(seed + 1, failure.what[:100].replace(chr(10), " "))
        break
"""


def found_after(patch: Path, most: int = MOST) -> tuple[int, str] | None:
    """How many seeds it took, and what was found; ``None``: nothing was."""
    with changed(patch) as folder:
        command = [sys.executable, "-c", PROGRAM, str(most)]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return 0, "a script does not end"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        if last.startswith(("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError")):
            # What cannot run has found nothing.
            raise DoesNotApply(f"{patch.name}: {last}")
        return 0, last
    number, _, what = done.stdout.strip().partition(" ")
    return (int(number), what) if number else None


def main() -> int:
    escaped = 0
    for patch in PATCHES:
        try:
            found = found_after(patch)
        except DoesNotApply as error:
            print(f"DOES NOT APPLY {error}")
            escaped += 1
            continue
        escaped += found is None
        print(
            f"{patch.stem:36} {'NOT FOUND' if found is None else f'{found[0]:4} seeds: {found[1]}'}",
            flush=True,
        )
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
