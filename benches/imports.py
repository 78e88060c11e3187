"""What starting costs: each command as a ratio to ``python -c pass`` in the same run, the best of several."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import infinity": [sys.executable, "-c", "import infinity"],
    "import infinity.runtime": [sys.executable, "-c", "import infinity.runtime"],
    "infinity --help": [sys.executable, "-m", "infinity.cli", "--help"],
}


def best_of(command: list[str], times: int) -> float:
    """Seconds. The best, because everything that disturbs a run only makes it longer."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=15)
    times = options.parse_args().times
    floor = 0.0
    print(f"{'':26} {'ms':>7}  of python -c pass")
    for name, command in COMMANDS.items():
        seconds = best_of(command, times)
        floor = floor or seconds
        print(f"{name:26} {seconds * 1000:7.1f} {seconds / floor:6.1f} x")


if __name__ == "__main__":
    main()
