"""Options that every command has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infinity.ids import is_id

from .exits import NOT_FOUND, Failure

if TYPE_CHECKING:
    from infinity.local.home import Home

__all__ = ["THREAD", "as_json", "home_option", "the_home"]

F = TypeVar("F", bound=Callable[..., Any])

_KEY = "infinity.home"


class _Thread(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """The id of a thread. What cannot be one names none, and must not reach a URL, where it could name
    something else.
    """

    name = "thread"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_id(value):
            # The same answer as for an id that nobody has: to a script both are "there is no such thread".
            raise Failure(f"thread {value} not found; run 'infinity threads' to list threads", NOT_FOUND)
        return value


THREAD = _Thread()


def _remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_KEY] = value


def home_option(command: F) -> F:
    """Give a command ``--home``, here or before the command's name; else ``INFINITY_HOME``, else
    ``~/.infinity``.
    """
    return click.option(
        "--home",
        metavar="DIR",
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="The daemon's home directory. [env: INFINITY_HOME; default: ~/.infinity]",
    )(command)


def as_json(command: F) -> F:
    """Give a command ``--json``, as its argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def the_home() -> Home:
    """The home that the command line, the environment or the default names. Only within a command."""
    from infinity.local.home import Home

    return Home(click.get_current_context().meta.get(_KEY))
