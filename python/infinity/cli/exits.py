"""How commands end: exit codes that scripts can rely on, and one line that says what happened and what to do.

0 done · 1 failed · 2 wrong usage · 3 no daemon is running · 4 not found · 5 refused
"""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from infinity.escaping import escape_text

__all__ = ["FAILED", "NOT_FOUND", "NOT_RUNNING", "REFUSED", "USAGE", "Failure", "from_error"]

FAILED, USAGE, NOT_RUNNING, NOT_FOUND, REFUSED = 1, 2, 3, 4, 5


class Failure(click.ClickException):
    """Ends a command with one line on standard error.

    Args:
        text: What happened, and what to do. Escaped when it is shown.
        exit_code: One of the codes at the top of this module.
    """

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"infinity: {escape_text(self.message)}", file=file or sys.stderr)


def from_error(error: Exception) -> Failure:
    """The failure for an ``InfinityError`` that was raised in this process: the same exit code as if the
    daemon had said it.
    """
    from infinity.errors import BadRequest, LimitReached, StoreLocked, UnknownThread

    if isinstance(error, UnknownThread):
        return Failure(str(error), NOT_FOUND)
    if isinstance(error, (BadRequest, LimitReached, StoreLocked)):
        return Failure(str(error), REFUSED)
    return Failure(str(error))
