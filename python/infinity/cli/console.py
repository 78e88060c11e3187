"""``infinity console``: a browser that is signed in to the daemon's console, or the address with which one signs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from .connection import Connection
from .daemon import ensure
from .display import dim
from .exits import NOT_FOUND, REFUSED, Failure
from .options import THREAD, home_option, the_home

__all__ = ["console", "opened"]


@click.command(
    epilog="Examples: infinity console · infinity console --thread thread_1 · infinity console --no-browser"
)
@click.option("--no-browser", is_flag=True, help="Print the address in place of opening a browser.")
@click.option("--thread", type=THREAD, metavar="ID", help="Open this thread.")
@click.option("--sign-out", is_flag=True, help="End every session of the console, in every browser.")
@home_option
def console(no_browser: bool, thread: str | None, sign_out: bool) -> None:
    """Open the web console. Starts the daemon in the background if none runs.

    The address signs one browser in, once and within a minute; the session then lasts 7 days after its last use. Do not pass the address on: it gives what the
    daemon's token gives.
    """
    if sign_out and (no_browser or thread):
        raise click.UsageError("--sign-out goes with no other option")
    home = the_home()
    daemon = Connection(home, ensure(home))
    if sign_out:
        _asked(daemon, "DELETE", "/v1/console/session")
        click.echo("every session of the console has ended")
        return
    made = _asked(daemon, "POST", "/v1/console/codes")
    base, _, code = str(made["url"]).partition("/#")
    url = f"{base}/t/{thread}#{code}" if thread else f"{base}/#{code}"
    if not no_browser and opened(url):
        click.echo(f"opened {base}/ in your browser")
        return
    click.echo(url)
    click.echo(dim(f"it signs in one browser, within a minute{_elsewhere(base, os.environ)}"), err=True)


def _asked(daemon: Connection, method: str, path: str) -> dict[str, str]:
    try:
        answer: dict[str, str] = daemon.delete(path) if method == "DELETE" else daemon.post(path)
    except Failure as failure:
        if failure.exit_code != NOT_FOUND:
            raise
        raise Failure(
            "the console is not served: [console] enabled is false; set it to true and restart the daemon",
            REFUSED,
        ) from None
    return answer


def opened(url: str) -> bool:
    """Open an address; whether a browser was started. One in the terminal does not count: it could not show the console."""
    if sys.platform.startswith("linux") and not any(
        map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    ):
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


def _elsewhere(base: str, environment: Mapping[str, str]) -> str:
    """How a browser on the user's own machine reaches a daemon on this one."""
    scheme, _, place = base.partition("://")
    if scheme != "http" or not environment.get("SSH_CONNECTION"):
        return ""
    port = place.rpartition(":")[2]
    return f"; if yours is on another machine, first run there: ssh -L {port}:{place} HOST"
