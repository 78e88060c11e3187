"""``infinity export``, ``import`` and ``migrate``: conversations that go to live elsewhere.

The daemon does the work; here is the file, which is written whole and for its owner only. After an export
the conversation rests, because two hosts that run it would do everything twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import click

from .connection import connect
from .display import dim, print_json, warn
from .exits import Failure
from .options import THREAD, as_json, home_option

__all__ = ["export", "import_", "migrate"]

MOVE_SECONDS = 1800.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command(
    epilog="Examples: infinity export thread_1 thread_1.infinity · infinity export thread_1 --undo"
)
@click.argument("thread", type=THREAD)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--keep", is_flag=True, help="A copy only: the conversation goes on here.")
@click.option(
    "--undo",
    is_flag=True,
    help="Take it back into service here. The file is void then: only if it was imported nowhere.",
)
@as_json
@home_option
def export(thread: str, file: Path | None, keep: bool, undo: bool, as_json: bool) -> None:
    """Write a whole conversation, THREAD and its child threads, to FILE, and take it out of service here.

    Two hosts that run the same conversation would do everything twice; therefore it rests here from then on. The file holds the
    conversation in the clear.
    """
    if undo:
        outcome = connect().delete(f"/v1/threads/{thread}/export")
        print_json(outcome) if as_json else click.echo(f"{thread} is in service here again")
        return
    if file is None:
        raise click.UsageError("say to which FILE")
    size = _download(thread, file, keep)
    if as_json:
        print_json({"thread": thread, "file": str(file), "bytes": size, "kept": keep})
        return
    click.echo(f"{file}: {size:,} bytes")
    if not keep:
        click.echo(dim(f"{thread} rests here now. At its new home: infinity import {file}"))
        click.echo(
            dim(
                f"It comes back the same way, or, if it was imported nowhere: infinity export {thread} --undo"
            )
        )


def _download(thread: str, file: Path, keep: bool) -> int:
    """To a file that nobody else can read, whole or not at all."""
    draft = file.with_name(f".{file.name}.part")
    try:
        if file.exists():
            raise Failure(f"there is a file {file} already; give another name, or remove it")
        # For its owner only from the first byte on, and through no link that somebody put there: a whole
        # conversation is in it.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as content:
            size = connect().download(
                f"/v1/threads/{thread}/export", {"keep": keep}, content, within=MOVE_SECONDS
            )
            content.flush()
            os.fsync(content.fileno())
        # Whole under its own name, or not there at all.
        draft.rename(file)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return size


@click.command(name="import", epilog="Example: infinity import thread_1.infinity")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@home_option
def import_(file: Path, as_json: bool) -> None:
    """Take in a conversation from FILE; it goes on here at once. All of it, or nothing.

    A conversation that was exported from here comes back this way: the file takes the place of what rests here, unless it is older.
    """
    try:
        with file.open("rb") as content:
            found = connect().upload("/v1/imports", content, within=MOVE_SECONDS)
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from None
    except Failure as failure:
        raise Failure(f"{file}: {failure.message}", failure.exit_code) from None
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['root']} lives here now")
    if found["replaced"]:
        click.echo(dim("it has taken the place of the older copy that had been exported from here"))
    if found["copy"]:
        click.echo(
            warn(
                f"{file} is a copy: {found['root']} was in service when it was exported (--keep). If it still runs there, both go on, and do everything twice"
            ),
            err=True,
        )
    if found["callbacks"]:
        click.echo(
            dim(
                f"open calls and subscriptions: {len(found['callbacks'])}. Their tool servers still answer to the old host, which refuses them; "
                "'infinity migrate' would have had them passed on"
            )
        )


@click.command(
    epilog="Example: infinity migrate thread_1 --to https://agent.example --token-file other-home/token"
)
@click.argument("thread", type=THREAD)
@click.option("--to", "destination", metavar="URL", required=True, help="Address of the other daemon.")
@click.option(
    "--token",
    envvar="INFINITY_DESTINATION_TOKEN",
    show_envvar=True,
    help="Token of the other daemon, from the file 'token' in its home.",
)
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with it."
)
@as_json
@home_option
def migrate(thread: str, destination: str, token: str | None, token_file: Path | None, as_json: bool) -> None:
    """Move a whole conversation, THREAD and its child threads, to another daemon.

    In order: it stops here; tool servers that keep state of their own move it; the conversation moves; it starts there; it is removed here. If any of that fails,
    it goes on here as if nothing had been. Answers of tools that still come here are passed on.
    """
    token = token_file.read_text().strip() if token_file is not None else token
    if not token:
        raise click.UsageError("give the other daemon's token: --token-file, or INFINITY_DESTINATION_TOKEN")
    place = urlsplit(destination)
    # Said and not refused: a network of one's own may be trusted.
    if place.scheme == "http" and place.hostname not in _LOOPBACK:
        click.echo(
            warn(f"{destination} is not encrypted: the conversation and the token can be read on the way"),
            err=True,
        )
    body = {"destination": destination, "token": token}
    moved = connect().post(f"/v1/threads/{thread}/migrate", body, within=MOVE_SECONDS)
    if as_json:
        print_json(moved)
    else:
        click.echo(f"{thread} and {moved['threads'] - 1} child threads live at {moved['to']} now")
