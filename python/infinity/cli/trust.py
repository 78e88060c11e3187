"""``infinity trust``: the user's word that a project's file may set tools, models and instructions, commands
included (S5).
"""

from __future__ import annotations

from pathlib import Path

import click

from .display import exact
from .exits import NOT_FOUND, REFUSED, Failure
from .options import home_option, the_home

__all__ = ["trust"]


@click.command(epilog="Example: cd my-project && infinity trust && infinity daemon start")
@click.argument("path", type=click.Path(path_type=Path), default=Path("."))
@click.option("--withdraw", is_flag=True, help="Do not trust it any more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def trust(path: Path, withdraw: bool, yes: bool) -> None:
    """Trust PATH, a project's infinity.toml or its directory, as it is now. A file that changes must be trusted again."""
    from infinity.local.trust import Trust, find_project_file

    home = the_home()
    directory = path if path.is_dir() else path.parent
    home.prepare()
    decisions = Trust(home)
    if withdraw:
        done = decisions.withdraw(directory / "infinity.toml")
        click.echo("not trusted any more" if done else "it was not trusted")
        return
    file = find_project_file(directory, home)
    if file is None or (path.name != "infinity.toml" and not path.is_dir()):
        raise Failure(f"{path} has no infinity.toml", NOT_FOUND)
    if not yes and not decisions.holds(file):
        click.echo(f"{exact(str(file.path))} says:\n")
        click.echo("\n".join(f"  {line}" for line in _shown(file.data)))
        click.confirm(
            "\nIts commands will run as you, and a base_url of a model provider in it receives your key and all that is said. Trust it?",
            abort=True,
        )
    # The bytes that were shown, not the file as it may be by now (S5).
    decisions.record(file)
    click.echo(
        f"trusted: {exact(str(file.path))}\nA running daemon uses it after a restart from that directory."
    )


def _shown(data: bytes) -> list[str]:
    """Its lines with everything in them that cannot be seen spelled out (S13). ``Failure`` if it is not TOML:
    then there is nothing to trust.
    """
    import tomllib

    try:
        text = data.decode()
        tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise Failure(
            f"this infinity.toml is not valid TOML ({error}); it cannot be trusted as it is", REFUSED
        ) from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return ["\t".join(map(exact, line.split("\t"))) for line in lines]
