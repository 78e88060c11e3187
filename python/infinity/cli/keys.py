"""Keys that anyone who types has and the daemon lacks: the one reason for a wrong answer that only the command
line can see (I14).
"""

from __future__ import annotations

import os
from typing import Any

import click

from .connection import Connection
from .display import one_line, warn
from .exits import Failure

__all__ = ["missing", "tell_of_missing_keys"]


def missing(models: dict[str, Any]) -> str | None:
    """What to say of keys that the daemon lacks.

    Args:
        models: The daemon's ``/v1/models``.

    Returns:
        ``None`` while its default model answers as meant.
    """
    if not (models["problems"] or models["notice"]):
        return None
    # Only keys that are here and not there: a key that nobody has is the daemon's own problem, which it
    # reports.
    names = [name for name, there in models["keys"].items() if not there and os.environ.get(name)]
    if not names:
        return models["problems"][0] if models["problems"] else None
    return (
        f"{', '.join(names)} is set here but not in the daemon, which was started without it; {one_line(str(models['default']))} is its default model. "
        "To use the key: infinity daemon stop, then infinity daemon start from here"
    )


def tell_of_missing_keys(connection: Connection) -> None:
    """On standard error; nothing when the daemon cannot say."""
    try:
        said = missing(connection.get("/v1/models"))
    except Failure:
        return
    if said is not None:
        click.echo(warn(f"! {one_line(said)}"), err=True)
