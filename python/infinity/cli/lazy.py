"""A group of commands that imports a command only when it is run or asked for its help."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import click

from .exits import from_error

__all__ = ["LazyCommand", "LazyGroup"]


class LazyCommand(NamedTuple):
    """Where a command lives, and its line in the list of commands."""

    module: str
    name: str
    help: str


class LazyGroup(click.Group):
    """A group of commands.

    Args:
        arguments: As for ``click.Group``.
        lazy: By name; those whose module is not installed are left out.
        options: As for ``click.Group``.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, LazyCommand], **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A distribution may leave families of commands out.
        self._lazy = {name: place for name, place in lazy.items() if find_spec(place.module) is not None}

    def invoke(self, context: click.Context) -> Any:
        """An ``InfinityError`` that a command lets through ends it with one line and its exit code."""
        try:
            return super().invoke(context)
        except Exception as error:
            from infinity.errors import InfinityError

            if isinstance(error, InfinityError):
                raise from_error(error) from None
            raise

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        place = self._lazy.get(name)
        if place is None:
            return None
        # Only now is the module imported, with everything that the command needs.
        found: click.Command = getattr(import_module(place.module), place.name)
        return found

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Before click looks: its own message names no command that may have been meant.
        if arguments and arguments[0] not in self._lazy and not arguments[0].startswith("-"):
            context.fail(f"there is no command {arguments[0]!r}{self._meant(arguments[0])}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in self._lazy.items()])

    def _meant(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(name, self._lazy, n=1)
        return f"; did you mean {close[0]!r}?" if close else "; 'infinity --help' lists them"
