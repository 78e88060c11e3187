"""``infinity doctor``: what is wrong, and what every thread that waits is waiting for (I7).

It asks the daemon if one runs, and reads the files itself if none does. It changes nothing unless
``--repair`` is given, and says "nothing is wrong" only after everything was looked at (I14).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from infinity.errors import InfinityError
from infinity.local.home import Home

from .connection import Connection, connect
from .display import dim, moment, one_line, print_json, strong, warn
from .exits import FAILED, NOT_RUNNING, Failure
from .options import as_json, home_option, the_home
from .states import state_line
from .threads import reason_lines

__all__ = ["doctor"]


@dataclass
class Examination:
    """``problems``: what somebody has to do something about."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """Calls that have waited longest."""


@click.command(epilog="Example: infinity doctor --json | jq '.problems[]'")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many threads."
)
@click.option(
    "--repair",
    is_flag=True,
    help="Salvage the database into a new one, whatever is found. Only while no daemon runs.",
)
@as_json
@home_option
def doctor(limit: int, repair: bool, as_json: bool) -> None:
    """Check the home, the configuration, the models, the database, the tool servers and every thread, and explain those that wait.

    Says what it looked at. Exit code 1 if anything is wrong.
    """
    home = the_home()
    found = Examination()
    _examine_home(home, found)
    _trying(found, lambda: _examine_config(home, found))
    try:
        # With a daemon, it is asked; without one, the database is free to be read here. Never both.
        connection: Connection | None = connect()
    except Failure as failure:
        connection = None
        found.problems.append(failure.message) if failure.exit_code != NOT_RUNNING else found.facts.append(
            failure.message
        )
        _trying(found, lambda: _examine_database(home, found, repair))
    # A daemon is asked even if --repair was given: what it says is of use, and the repair is refused with a
    # reason.
    if connection is not None:
        if repair:
            found.problems.append(
                "the daemon runs, and --repair needs the database for itself: infinity daemon stop, then infinity doctor --repair"
            )
        _examine_daemon(connection, found, limit)
    else:
        _trying(found, lambda: _examine_models(home, found))
    _report(found, as_json)
    if found.problems:
        click.get_current_context().exit(FAILED)


def _trying(found: Examination, examine: Callable[[], None]) -> None:
    try:
        examine()
    except InfinityError as error:
        # A part that cannot be examined is a problem, and no reason to leave out the other parts (I14).
        found.problems.append(str(error))


def _examine_home(home: Home, found: Examination) -> None:
    if home.path.exists():
        found.facts.append(f"home {home.path}")
        found.problems += home.problems()
    else:
        found.facts.append(f"home {home.path} does not exist yet; the first start makes it")


def _examine_config(home: Home, found: Examination) -> None:
    from infinity.local.daemon import plan

    planned = plan(home, os.environ, Path.cwd())
    found.facts.append(f"{home.config} is {'right' if home.config.exists() else 'absent: defaults'}")
    found.problems += planned.notices


def _examine_models(home: Home, found: Examination) -> None:
    """As a start from here would have them; a daemon that runs is asked itself."""
    from infinity.local.daemon import plan
    from infinity.models.planning import examine
    from infinity.models.registry import Models

    config = plan(home, os.environ, Path.cwd()).config
    models = Models(config.models)
    settings = config.settings()
    problems = examine(models, settings, named=True)
    found.problems += problems
    if not problems:
        found.facts.append(f"the default model {settings.default_model or models.default} can be used")


def _examine_database(home: Home, found: Examination, repair: bool) -> None:
    """Only while nobody else has it. A repair is made whatever would be found."""
    from infinity.local.database import examine_database, learned, repair_database

    # First the repair, then the look: what is reported is the state that it left behind.
    if repair:
        done = repair_database(home)
        rows = ", ".join(f"{count} {table}" for table, count in done.rows.items())
        found.facts.append(f"{done.path} was repaired: {rows}; the files as they were are at {done.damaged}")
        found.facts += [f"lost: {item}" for item in done.lost] or ["nothing was lost"]
        found.facts += done.mended
    examined = examine_database(home)
    if examined is None:
        return
    if examined.repaired is not None and not repair:
        found.facts.append(_last_repair(f"{home.database}", examined.repaired))
    if not examined.problems:
        rows = ", ".join(f"{count} {table}" for table, count in examined.rows.items())
        found.facts.append(f"{home.database} was read, every row and every checksum: {rows}")
    if not examined.problems and not repair:
        found.facts += learned(home)
    found.problems += [f"{home.database}: {problem}" for problem in examined.problems]
    found.problems += [f"thread {thread}: {problem}" for thread, problem in examined.threads]
    if examined.problems and not repair and home.database.exists():
        found.problems.append("to salvage what can be read of the database: infinity doctor --repair")


def _last_repair(database: str, repaired: dict[str, Any]) -> str:
    lost = "; ".join(repaired["lost"]) or "nothing"
    return f"{database} was last repaired {moment(repaired['at'])}; lost: {lost}"


def _examine_daemon(connection: Connection, found: Examination, limit: int) -> None:
    try:
        health = connection.get("/healthz")
        found.facts.append(f"the daemon runs: {connection.state}, version {health['version']}; it can write")
        offered = connection.get("/v1/toolsets")
        found.servers = offered["toolsets"]
        found.problems += offered["problems"]
        damaged, needed = _examine_records(connection, found)
        # Whoever needs a person first, however many others there are; a thread may do so for two reasons.
        asked = list(dict.fromkeys(needed))[:limit]
        for status in ("waiting", "stopped"):
            rows = connection.get("/v1/threads", status=status, limit=limit)["threads"]
            asked += [row["id"] for row in rows if row["id"] not in needed and row["status"] != "damaged"]
        found.threads += [connection.get(f"/v1/threads/{each}") for each in asked if each not in damaged]
    except Failure as failure:
        found.problems.append(failure.message)
    for thread in found.threads:
        # That would break I7. Somebody has to hear of it.
        if thread["explanation"]["state"] == "waiting" and not thread["explanation"]["reasons"]:
            found.problems.append(
                f"thread {thread['id']} waits for nothing that is on record; please report this"
            )
        if thread["out_of_service"]:
            found.problems.append(f"thread {thread['id']}: {thread['out_of_service']}")


def _examine_records(connection: Connection, found: Examination) -> tuple[set[str], list[str]]:
    """What the daemon finds in every thread; the ids of those that cannot be read, and of those that need a
    person.
    """
    examined = connection.get("/v1/examination")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in examined["looked_at"].items())
    found.facts.append(f"looked at the record of every thread and at the configured models: {counts}")
    if examined.get("store_read") and not examined["store"]:
        found.facts.append("the daemon has read its database, every row and every checksum")
    if (repaired := examined.get("repaired")) is not None:
        found.facts.append(_last_repair("the database", repaired))
    found.problems += [problem for problem in examined["start"] if problem not in found.problems]
    found.problems += [f"thread {problem['thread']}: {problem['text']}" for problem in examined["problems"]]
    found.problems += [f"the database: {problem}" for problem in examined["store"]]
    if examined["store"]:
        found.problems.append(
            "to salvage what can be read of the database: infinity daemon stop, then infinity doctor --repair"
        )
    found.facts += examined.get("learned", ())
    found.waiting = examined["calls"]
    damaged = {problem["thread"] for problem in examined["problems"] if problem["kind"] == "damaged"}
    return damaged, [needed["thread"] for needed in examined.get("attention", ())]


def _report(found: Examination, as_json: bool) -> None:
    if as_json:
        waiting = [{"id": thread["id"], **thread["explanation"]} for thread in found.threads]
        print_json(
            {
                "problems": found.problems,
                "facts": found.facts,
                "toolsets": found.servers,
                "threads": waiting,
                "calls": found.waiting,
            }
        )
        return
    for fact in found.facts:
        click.echo(f"  {one_line(fact)}")
    for server in found.servers:
        click.echo(
            f"  tool server {one_line(server['name'])} at {one_line(server['url'])}: {len(server['tools'])} tools"
        )
    for thread in found.threads:
        click.echo(f"{strong(thread['id'])}  {one_line(thread['title'])}".rstrip())
        click.echo(f"  {state_line(thread['explanation'])}")
        for line in reason_lines(thread):
            click.echo(line)
    for call in found.waiting[:5]:
        since = f", since {moment(call['since'])}" if call["since"] else ""
        click.echo(f"  waits longest: {one_line(call['tool'])} of {call['thread']}{since} [{call['id']}]")
    for problem in found.problems:
        click.echo(warn(f"! {one_line(problem)}"))
    click.echo(
        dim(
            "nothing is wrong"
            if not found.problems
            else f"{len(found.problems)} problem{'s' * (len(found.problems) > 1)} found"
        )
    )
