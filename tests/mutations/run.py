"""``make mutants``: the heart is broken on purpose, one patch at a time, and somebody has to notice: the simulator, or else the tests.

``MUTANTS``: a part of a name, to try only those; a number: so many of all, spread evenly. ``INFINITY_SEEDS``: how many scripts the simulator runs for each.
``noticed.toml`` says which test noticed a patch last: that one is asked first, and all others only if it notices nothing. A whole run writes it anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

from tests.simulator.changes import ROOT, DoesNotApply, changed, changed_core, is_of_the_core
from tests.simulator.find_reverts import found_after

PATCHES = sorted(Path(__file__).parent.glob("*.patch"))
CHOSEN = os.environ.get("MUTANTS", "")
SEEDS = int(os.environ.get("INFINITY_SEEDS", "60"))
ENGINE_TESTS = (
    "tests/unit/test_[at]*.py",
    "tests/slice",
    "tests/property/test_played_scripts.py",
    "tests/crash/test_gates.py",
)
STORE_TESTS = (
    "tests/contract/test_one_owner.py",
    "tests/contract/test_store*.py",
    "tests/contract/test_postgres*.py",
    "tests/cloud",
)
CORE = ROOT / "target" / "mutants"
NOTICED = Path(__file__).parent / "noticed.toml"


def noticed(patch: Path) -> str | None:
    """Who notices, and how; ``None``: it survives."""
    if is_of_the_core(patch):
        return _noticed_in_the_core(patch)
    last = tomllib.loads(NOTICED.read_text()).get(patch.stem)
    if last is not None and (ROOT / last.partition("::")[0]).exists():
        # A test of another name now is looked for among all of them.
        with suppress(DoesNotApply):
            if (by := _noticed_by_tests(patch, (), last)) is not None:
                return by
    if "/stores/postgres/" in patch.read_text():
        return _noticed_by_tests(patch, STORE_TESTS)
    if (found := found_after(patch, SEEDS)) is not None:
        return f"simulator, {found[0]} seeds: {found[1]}"
    return _noticed_by_tests(patch, ENGINE_TESTS)


def _noticed_by_tests(patch: Path, patterns: tuple[str, ...], *tests: str) -> str | None:
    """A test that fails counts if it fails once more by itself, and passes without the patch: a busy machine notices nothing."""
    files = [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    files += tests
    with changed(patch) as folder:
        for _ in range(3):
            failed = _first_failure(folder, patch, *files)
            if failed is None:
                return None
            if _first_failure(folder, patch, failed) and not _first_failure(ROOT / "python", patch, failed):
                return failed
            files += ["--deselect", failed]
    return None


def _first_failure(package: Path, patch: Path, *tests: str) -> str | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "2", "--dist", "loadgroup"]
    command += ["--timeout", "240", "-p", "no:schemathesis", *tests]
    environment = {"INFINITY_PATIENCE": "15", **os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    _, _, summary = done.stdout.rpartition("short test summary info")
    lines = [line for line in summary.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if broken := [line for line in lines if "::" not in line]:
        raise DoesNotApply(f"{patch.name}: the tests cannot be collected: {broken[0][:140]}")
    if done.returncode and not lines:
        # Neither a pass nor a failure: pytest itself has ended badly, and that says nothing of the patch.
        raise DoesNotApply(f"{patch.name}: pytest ended with {done.returncode} and named no test")
    return lines[0].partition(" ")[2].partition(" - ")[0] if lines else None


def _noticed_in_the_core(patch: Path) -> str | None:
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CORE / "target"), "RUST_BACKTRACE": "0"}
    cargo = ["cargo", "test", "--quiet", "--locked", "-p", "infinity-core"]
    with changed_core(patch, CORE / "sources"):
        sources = CORE / "sources"
        built = subprocess.run(
            [*cargo, "--no-run"], env=environment, cwd=sources, capture_output=True, text=True
        )
        if built.returncode:
            raise DoesNotApply(f"{patch.name}: it does not compile: {built.stderr[-400:]}")
        done = subprocess.run(cargo, env=environment, cwd=sources, capture_output=True, text=True)
    failures = done.stdout.rpartition("failures:\n")[2]
    failed = [line.strip() for line in failures.splitlines() if line.startswith("    ")]
    return f"cargo test: {failed[0][:120] if failed else 'it ends badly'}" if done.returncode else None


def chosen() -> list[Path]:
    if CHOSEN.isdecimal():
        return PATCHES[:: max(1, len(PATCHES) // int(CHOSEN))]
    return [patch for patch in PATCHES if CHOSEN in patch.stem]


def main() -> int:
    survivors, tests = [], {}
    for patch in chosen():
        try:
            by = noticed(patch)
        except DoesNotApply as error:
            by, _ = None, print(f"DOES NOT APPLY {error}")
        if by is None:
            survivors.append(patch.stem)
        elif "::" in by:
            tests[patch.stem] = by
        print(f"{patch.stem:36} {by or 'SURVIVES'}", flush=True)
    if not CHOSEN:
        NOTICED.write_text("".join(f"{name} = {json.dumps(test)}\n" for name, test in sorted(tests.items())))
    print(f"{len(survivors)} survive: {', '.join(survivors)}" if survivors else "none survives")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
