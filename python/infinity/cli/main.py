"""``infinity``: the list of commands. Nothing heavy is imported before one is chosen."""

from __future__ import annotations

import sys

import click

from .lazy import LazyCommand, LazyGroup
from .options import home_option

__all__ = ["daemon_main", "infinity", "main"]

_HERE = "infinity.cli"
_COMMANDS = {
    "demo": LazyCommand(f"{_HERE}.demo", "demo", "See an agent wait, crash and recover; no keys needed."),
    "chat": LazyCommand(f"{_HERE}.chat", "chat", "Talk to an agent; starts the daemon if none runs."),
    "console": LazyCommand(
        f"{_HERE}.console", "console", "Open the web console; starts the daemon if none runs."
    ),
    "daemon": LazyCommand(f"{_HERE}.daemon", "daemon", "Run, start, look at or stop the daemon."),
    "threads": LazyCommand(f"{_HERE}.threads", "threads", "List threads."),
    "show": LazyCommand(f"{_HERE}.threads", "show", "A thread's history and what it waits for."),
    "tail": LazyCommand(f"{_HERE}.tail", "tail", "Follow a thread's event stream."),
    "send": LazyCommand(f"{_HERE}.send", "send", "Send a message to a thread."),
    "choose": LazyCommand(f"{_HERE}.send", "choose", "Answer or dismiss a thread's question."),
    "prompts": LazyCommand(f"{_HERE}.questions", "prompts", "List the questions that wait for an answer."),
    "interrupt": LazyCommand(f"{_HERE}.control", "interrupt", "End what a thread is doing now."),
    "title": LazyCommand(f"{_HERE}.control", "title", "Name a thread."),
    "cancel": LazyCommand(f"{_HERE}.control", "cancel", "Cancel one open call of a thread."),
    "fork": LazyCommand(f"{_HERE}.control", "fork", "Go on from an earlier point another way."),
    "stop": LazyCommand(f"{_HERE}.control", "stop", "Stop a thread until it is resumed."),
    "resume": LazyCommand(f"{_HERE}.control", "resume", "Let a thread go on."),
    "compact": LazyCommand(f"{_HERE}.control", "compact", "Summarise a thread's history."),
    "close": LazyCommand(f"{_HERE}.control", "close", "Close a thread for good."),
    "delete": LazyCommand(f"{_HERE}.deletion", "delete", "Delete a conversation for good."),
    "subscriptions": LazyCommand(
        f"{_HERE}.subscriptions", "subscriptions", "List or end subscriptions to events."
    ),
    "export": LazyCommand(f"{_HERE}.moving", "export", "Write a conversation to a file, to live elsewhere."),
    "import": LazyCommand(f"{_HERE}.moving", "import_", "Take in a conversation from a file."),
    "migrate": LazyCommand(f"{_HERE}.moving", "migrate", "Move a conversation to another daemon."),
    "tools": LazyCommand(f"{_HERE}.tools", "tools", "Configured tool servers and their tools."),
    "doctor": LazyCommand(
        f"{_HERE}.doctor", "doctor", "Find problems, and show what every thread waits for."
    ),
    "trust": LazyCommand(f"{_HERE}.trust", "trust", "Trust a project's infinity.toml."),
    "rap": LazyCommand(f"{_HERE}.rap", "rap", "Serve or inspect tool servers."),
    "cloud": LazyCommand(f"{_HERE}.cloud", "cloud", "Agents on AWS: tables, messages, replies, settings."),
    "layer": LazyCommand(f"{_HERE}.layer", "layer", "Build the layer for AWS Lambda."),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon is running, 4 not found, 5 refused.",
)
@click.version_option(package_name="infinity-runtime", prog_name="infinity")
@home_option
def infinity() -> None:
    """Durable agents that may wait for days and cost nothing while they wait.

    \b
    infinity demo                 see it work, in half a minute
    infinity chat                 talk to an agent
    infinity daemon start         let it run in the background
    infinity doctor               when something does not move
    """


def main() -> None:
    """The entry point ``infinity``."""
    infinity(prog_name="infinity")


def daemon_main() -> None:
    """``infinity-daemon``: the same as ``infinity daemon run``."""
    infinity(args=["daemon", "run", *sys.argv[1:]], prog_name="infinity")
