"""``infinity daemon``: run, start, status, stop, and the tables of its PostgreSQL database.

``run`` is the daemon itself; ``start`` runs that in the background and waits until it serves. Settings are
checked before anything is touched.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infinity.errors import InfinityError

from .connection import Connection, find_daemon
from .display import dim, one_line, print_json, warn
from .exits import NOT_RUNNING, Failure, from_error
from .options import as_json, home_option, the_home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from infinity.abc import Observer
    from infinity.local.home import DaemonState, Home
    from infinity.stores.postgres.store import PostgresStore

__all__ = ["daemon"]

_PROJECT = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="Use the infinity.toml of this directory, if you trust it. [default: the current directory]",
)

_STORE: dict[str, Any] = {
    "envvar": "INFINITY_STORE",
    "show_envvar": True,
    "metavar": "URL",
    "help": "A PostgreSQL database that keeps everything, in place of the home's.",
}

_WAIT = 20.0


@click.group(epilog="Example: infinity daemon start && infinity daemon status")
@home_option
def daemon() -> None:
    """The local host: one process for each home directory."""


@daemon.command(epilog="Example: infinity daemon run --home /srv/agent")
@_PROJECT
@click.option("--no-project", is_flag=True, help="Use the home's infinity.toml only.")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--store", **_STORE)
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86_400),
    default=_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another daemon on the PostgreSQL database to stop. Exit code 5 after that.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the PostgreSQL database from whichever daemon owns it now; that one stops at once.",
)
@home_option
def run(
    project: Path | None,
    no_project: bool,
    ready_fd: int | None,
    store: str | None,
    wait: float,
    take_over: bool,
) -> None:
    """Run in the foreground until SIGTERM or Ctrl-C; logs to the terminal and to daemon.log. One daemon owns a home, and one a database: exit code 5 if another one does."""
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
        # Read and checked before the home is touched: a start that cannot succeed leaves nothing behind.
        planned = plan(home, os.environ, directory)
        home.prepare()
        log = planned.config.log
        start_logging(
            home.log, level=log.level, form=log.format, terminal=sys.stderr if ready_fd is None else None
        )
        # Only now is it known whether the file names a database.
        if take_over and not (store or planned.config.daemon.store):
            raise click.UsageError(
                "--take-over is for a store on PostgreSQL: give --store URL, or set [daemon] store"
            )
        open_store = _opener(home, store or planned.config.daemon.store, wait, take_over)
        asyncio.run(Daemon(planned, observe=_crash_gates(), open_store=open_store).run(ready))
    except InfinityError as error:
        if ready_fd is not None:
            report_failure(ready_fd, error)
        raise from_error(error) from None


def _opener(
    home: Home, url: str | None, wait: float, take_over: bool
) -> Callable[[], Awaitable[PostgresStore]] | None:
    if url is None:
        return None
    import hashlib
    import socket

    from infinity.stores.postgres.opening import open_store
    from infinity.stores.postgres.ownership import Claim

    name = f"pid {os.getpid()} on {socket.gethostname()}, home {home.path}"
    # The same for each start from this home: a daemon that crashed takes its own database back without
    # waiting.
    claim = Claim(hashlib.sha256(home.make_token().encode()).hexdigest()[:16], name, wait, take_over)
    return partial(open_store, url, claim=claim)


@daemon.command(epilog="Example: infinity daemon migrate --store postgresql://infinity@db.example/infinity")
@click.option("--store", required=True, **_STORE)
def migrate(store: str) -> None:
    """Make the tables of a PostgreSQL database, or bring them up to date. Harmless if there is nothing to do."""
    from infinity.stores.postgres.opening import migrate

    before, now = asyncio.run(migrate(store))
    click.echo(
        f"the tables are of version {now}" + ("" if before == now else f" (before: {before or 'none'})")
    )


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
    running = home.holder()
    if running is None:
        begin(project or Path.cwd(), quiet=as_json)
        # Read anew: what is printed is what the daemon itself has written down.
        running = find_daemon(home)
        if running.console and not as_json:
            click.echo(dim(f"the console is at {running.console}; open it with 'infinity console'"), err=True)
    elif not as_json:
        click.echo(f"it runs already: {running}")
    if as_json:
        print_json(
            {"pid": running.pid, "address": running.address, "since": running.since, "home": str(home.path)}
        )


def ensure(home: Home) -> DaemonState:
    """The daemon of a home; started in the background if none runs, with the project of the current directory.

    Raises:
        Failure: with exit code 3, if it is starting or stopping.
        InfinityError: what the daemon said when it could not start.
    """
    if home.holder() is None:
        # Without a standard input there is nobody whose directory it would be.
        begin(Path.cwd() if sys.stdin else None)
    return find_daemon(home)


def begin(project: Path | None, *, quiet: bool = False) -> None:
    """Start the daemon of the chosen home in the background and say so on standard error.

    Args:
        project: A directory whose ``infinity.toml`` is used if it is trusted; ``None`` for none.
        quiet: Say only what needs attention.

    Raises:
        InfinityError: what the daemon said when it could not start.
    """
    from infinity.local.background import start_background

    home = the_home()
    started = start_background(home, project)
    for notice in started.notices:
        click.echo(warn(one_line(notice)), err=True)
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
    stopped = stop_background(home, kill=kill)
    if stopped is None:
        raise Failure(f"no daemon is running for {home.path}", NOT_RUNNING)
    click.echo(f"stopped: {stopped}")
