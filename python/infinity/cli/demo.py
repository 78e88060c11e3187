"""``infinity demo``: the whole thing at work, in half a minute."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .console import opened
from .exits import FAILED, Failure

__all__ = ["demo"]


@click.command(epilog="Example: infinity demo --model anthropic")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new directory that is kept. [default: a temporary one]",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The daemon's port. [default: a free one]")
@click.option(
    "--model",
    metavar="NAME",
    default="scripted",
    show_default=True,
    help="'anthropic' talks to Claude and needs ANTHROPIC_API_KEY; any provider/model goes, too.",
)
@click.option("--console", is_flag=True, help="Show it in the web console, and keep it there until Ctrl-C.")
def demo(home: Path | None, port: int | None, model: str, console: bool) -> None:
    """An agent runs a test suite and watches a repository, its daemon is killed in between, and nothing is lost.

    Everything is real but the model, which follows a script unless --model says otherwise: the daemon, kill -9, two tool servers, a webhook
    as GitHub sends it. Exit code 0 if all that was accepted is in the conversation exactly once.
    """
    from infinity.demo.story import SCRIPTED, run

    if home is not None and home.exists() and any(home.iterdir()):
        raise Failure(f"{home} is not empty; give a new directory, or leave --home out", FAILED)
    click.get_current_context().exit(
        run(
            home=home,
            port=port,
            model=SCRIPTED if model == "scripted" else _model(model),
            show=_show if console else None,
        )
    )


def _show(url: str) -> None:
    if not opened(url):
        click.echo(f"Open this address within a minute; the story begins with the page: {url}")


def _model(name: str) -> str:
    from infinity.models.claude import DEFAULT

    full = DEFAULT if name == "anthropic" else name
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    if full.startswith("anthropic/") and not any(os.environ.get(key) for key in keys):
        raise Failure("ANTHROPIC_API_KEY is not set; set it, or run the demo without --model", FAILED)
    return full
