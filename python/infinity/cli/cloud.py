"""``infinity cloud``: a deployment on AWS, from a terminal."""

from __future__ import annotations

import click

from .lazy import LazyCommand, LazyGroup

__all__ = ["cloud"]

_HERE = "infinity.cli"
_COMMANDS = {
    "local": LazyCommand(
        f"{_HERE}.cloud_local", "local", "The whole cloud host on this machine, without an account."
    ),
    "migrate": LazyCommand(
        f"{_HERE}.cloud_database", "migrate", "Make the tables, the roles and the keys; start."
    ),
    "send": LazyCommand(f"{_HERE}.cloud_queues", "send", "Send a message to a thread, by the inbox queue."),
    "replies": LazyCommand(f"{_HERE}.cloud_queues", "replies", "Print replies from the output queue."),
    "wake": LazyCommand(f"{_HERE}.cloud_queues", "wake", "Wake a thread, or all of them."),
    "config": LazyCommand(
        f"{_HERE}.cloud_config", "config", "Check that the settings of the functions are complete."
    ),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings come from the environment: those that the functions have (INFINITY_STORE, INFINITY_INBOX_QUEUE, …), AWS_REGION, and your credentials.",
)
def cloud() -> None:
    """Agents on AWS Lambda: tables, messages, replies, and what is wrong.

    \b
    Examples:
      infinity cloud migrate --outputs outputs.json
      infinity cloud send hello 'Good morning.'
      infinity cloud replies --follow
    """
