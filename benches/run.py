"""``make bench``: every bench, one after the other, or those named."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Not the project's configuration: it is for tests, and this environment has no plug-ins but the one.
PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-c",
    os.devnull,
    "--rootdir",
    str(HERE),
    "-p",
    "no:cacheprovider",
]
CORE = [*PYTEST, str(HERE / "test_core.py")]
BENCHES = {
    "core": [*CORE, "--benchmark-columns=min,median,ops", "--benchmark-sort=min", "--benchmark-warmup=on"],
    **{
        name: [sys.executable, str(HERE / f"{name}.py")]
        for name in (
            "imports",
            "flat",
            "rounds",
            "followers",
            "burst",
            "idle",
            "guests",
            "subscriptions",
            "coldstart",
            "warm",
            "cost",
        )
    },
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all without one")
    names = options.parse_args().names or list(BENCHES)
    unknown = set(names) - set(BENCHES)
    if unknown:
        options.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run(BENCHES[name], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
