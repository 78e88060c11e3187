"""``python -m infinity.testing.simulator``: run the scripts of many seeds, in as many processes as there are processors."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import click

from .faults import CONTRACTS
from .runs import Failure, Report, shorten, simulate

__all__ = ["main"]

_SHARE = 25
"""Seeds of one piece of work."""


def _share(first: int, count: int) -> Report | tuple[str, str]:
    """What happened, or what failed: its words and how to repeat it."""
    try:
        return simulate(range(first, first + count), short=False)
    except Failure as failure:
        shortest = shorten(failure.script) or failure
        return failure.what, str(shortest)


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many scripts to run.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--faults", is_flag=True, help="Say how often each fault came at each method.")
@click.option("--least", default=0, help="Exit with 1 if a fault came less often than this at a method.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, help="Run in so many processes.")
def main(seeds: int, first: int, faults: bool, least: int, processes: int) -> None:
    """Run random scripts against the whole runtime, under a virtual clock, with faults at every method of every contract.

    Exits with 1 when something did not hold, and prints the shortest script that was found for it, as Python that repeats it.
    """
    began = time.monotonic()
    total = Report()
    shares = [(number, min(_SHARE, first + seeds - number)) for number in range(first, first + seeds, _SHARE)]
    with ProcessPoolExecutor(processes) as pool:
        for outcome in pool.map(_share, *zip(*shares, strict=True)):
            if isinstance(outcome, tuple):
                pool.shutdown(cancel_futures=True)
                click.echo(f"{outcome[0]}\n\n{outcome[1]}", err=True)
                sys.exit(1)
            total.add(outcome)
    click.echo(
        f"{total.runs} scripts: {total.slices} slices, {total.requests} completions, {total.lives} lives of the host, "
        f"{total.days:.0f} days of virtual time, {sum(total.faults.values())} faults; everything held "
        f"({time.monotonic() - began:.0f} s)"
    )
    if faults:
        for (at, kind), count in sorted(total.faults.items()):
            click.echo(f"{at}\t{kind}\t{count}")
    rare = [
        f"{at}\t{kind}\t{total.faults[at, kind]}"
        for at, kinds in sorted(CONTRACTS.items())
        for kind in kinds
        if total.faults[at, kind] < least
    ]
    if rare:
        click.echo("\n".join([f"came less than {least} times:", *rare]), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
