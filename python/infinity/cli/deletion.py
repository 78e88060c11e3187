"""``infinity delete``: a conversation goes for good."""

from __future__ import annotations

import click

from .connection import Connection, connect
from .display import clean, dim, print_json
from .exits import NOT_FOUND, REFUSED, Failure
from .options import THREAD, as_json, home_option

__all__ = ["delete"]

DELETE_SECONDS = 1800.0
"""A large journal is written anew meanwhile."""


@click.command(epilog="Examples: infinity delete thread_1 · infinity delete thread_1 --yes")
@click.argument("thread", type=THREAD)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@home_option
def delete(thread: str, yes: bool, as_json: bool) -> None:
    """Delete a whole conversation, the root THREAD and its child threads, for good.

    What it is doing ends, its tool servers are told, and when the command returns nothing of it can be read from the daemon's database any more. Only its id and
    the time stay, so that the id is not used again. Backups and exported files are not touched.
    """
    daemon = connect()
    if not yes:
        # Shown, so that a mistyped id is noticed before it is too late. A record that cannot be read can be
        # deleted as well.
        title = clean(_title(daemon, thread))
        try:
            click.confirm(
                f"Delete {clean(thread)} ({title}) and its child threads for good?", abort=True, err=True
            )
        except click.Abort:
            raise Failure("nothing was deleted; --yes deletes without asking") from None
    deleted = daemon.delete(f"/v1/threads/{thread}", within=DELETE_SECONDS)
    if as_json:
        print_json(deleted)
        return
    click.echo(f"{clean(thread)} is deleted")
    click.echo(dim("backups of the database and exported files, if there are any, still have it"), err=True)


def _title(daemon: Connection, thread: str) -> str:
    try:
        found = daemon.get(f"/v1/threads/{thread}")
    except Failure as failure:
        if failure.exit_code == NOT_FOUND:
            raise
        return "its record cannot be read"
    # Said here, where the right command can be named; the daemon would refuse it as well.
    if found["root"] != thread:
        raise Failure(
            f"{thread} belongs to the conversation {found['root']}, which is deleted as a whole only: infinity delete {found['root']}",
            REFUSED,
        )
    return found["title"] or "no title"
