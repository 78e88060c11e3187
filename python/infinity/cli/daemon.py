"""``infinity daemon``: run, start, status, stop."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infinity.errors import InfinityError

from .connection import Connection, find_daemon
from .display import dim, print_json, warn
from .exits import NOT_RUNNING, Failure, from_error
from .options import as_json, home_option, the_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from infinity.abc import Observer
    from infinity.local.home import DaemonState

__all__ = ["daemon"]

_PROJECT = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="Use the infinity.toml of this directory, if you trust it. [default: the current directory]",
)


@click.group(epilog="Example: infinity daemon start && infinity daemon status")
@home_option
def daemon() -> None:
    """The local host: one process for each home directory."""


@daemon.command(epilog="Example: infinity daemon run --home /srv/agent")
@_PROJECT
@click.option("--no-project", is_flag=True, help="Use the home's infinity.toml only.")
@click.option("--ready-fd", type=int, hidden=True)
@home_option
def run(project: Path | None, no_project: bool, ready_fd: int | None) -> None:
    """Run in the foreground until SIGTERM or Ctrl-C; logs to the terminal and to daemon.log."""
    from infinity.local.background import report_failure, report_ready
    from infinity.local.daemon import Daemon, plan
    from infinity.local.logs import start_logging

    home = the_home()

    def ready(state: DaemonState, notices: list[str]) -> None:
        if ready_fd is not None:
            report_ready(ready_fd, state, notices)
            return
        click.echo(f"infinity: listening at {state.address}, home {home.path}", err=True)

    try:
        directory = None if no_project else project or Path.cwd()
        planned = plan(home, os.environ, directory)
        home.prepare()
        log = planned.config.log
        start_logging(
            home.log, level=log.level, form=log.format, terminal=sys.stderr if ready_fd is None else None
        )
        asyncio.run(Daemon(planned, observe=_crash_gates()).run(ready))
    except InfinityError as error:
        if ready_fd is not None:
            report_failure(ready_fd, error)
        raise from_error(error) from None


def _crash_gates() -> Callable[[Observer], Observer] | None:
    """Only where the environment asks for a crash: users' daemons never see the test kit."""
    if not any(os.environ.get(name) for name in ("INFINITY_CRASH_GATE", "INFINITY_CRASH_AFTER_MS")):
        return None
    from infinity.testing.gates import armed

    return armed


@daemon.command(epilog="Example: infinity daemon start --json")
@_PROJECT
@as_json
@home_option
def start(project: Path | None, as_json: bool) -> None:
    """Start in the background; returns when it serves. Harmless if it runs already."""
    home = the_home()
    try:
        running = home.holder()
        if running is None:
            begin(project or Path.cwd(), quiet=as_json)
            running = find_daemon(home)
        elif not as_json:
            click.echo(f"it runs already: {running}")
    except InfinityError as error:
        raise from_error(error) from None
    if as_json:
        print_json(
            {"pid": running.pid, "address": running.address, "since": running.since, "home": str(home.path)}
        )


def begin(project: Path | None, *, quiet: bool = False) -> None:
    """Start the daemon of the chosen home in the background and say so."""
    from infinity.local.background import start_background

    home = the_home()
    try:
        started = start_background(home, project)
    except InfinityError as error:
        raise from_error(error) from None
    for notice in started.notices:
        click.echo(warn(notice), err=True)
    if not quiet:
        click.echo(
            dim(
                f"started the daemon in the background: {started.state} (stop it with 'infinity daemon stop')"
            ),
            err=True,
        )


@daemon.command(epilog="Example: infinity daemon status --json | jq .pid")
@as_json
@home_option
def status(as_json: bool) -> None:
    """Whether it runs, since when, and how much there is. Exit code 3 if it does not run."""
    home = the_home()
    state = find_daemon(home)
    health = Connection(home, state).get("/healthz")
    if as_json:
        print_json(
            {
                "pid": state.pid,
                "address": state.address,
                "since": state.since,
                "home": str(home.path),
                **health,
            }
        )
        return
    click.echo(f"running: {state}, version {health['version']}, home {home.path}")


@daemon.command(epilog="Example: infinity daemon stop")
@click.option(
    "--kill",
    is_flag=True,
    help="Do not wait for slices. Nothing accepted is lost; it goes on at the next start.",
)
@home_option
def stop(kill: bool) -> None:
    """Stop it: slices commit, everything else goes on at the next start. Exit code 3 if it does not run."""
    from infinity.local.background import stop_background

    home = the_home()
    try:
        stopped = stop_background(home, kill=kill)
    except InfinityError as error:
        raise from_error(error) from None
    if stopped is None:
        raise Failure(f"no daemon is running for {home.path}", NOT_RUNNING)
    click.echo(f"stopped: {stopped}")
