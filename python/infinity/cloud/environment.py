"""What a function of the cloud host is told by its environment. All that is missing or wrong is told at once.

``host`` reads it once in a process, ``infinity cloud config check`` and the local deployment read it the
same way. It imports the agent's code and reads its file, and opens no connection; values never appear in an
error, because a variable may hold a secret (S9).
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infinity.agent import Agent
from infinity.errors import ConfigError

if TYPE_CHECKING:
    from infinity.config.schema import Config

__all__ = ["Resources", "read_agent", "read_config", "read_resources"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Where everything is: URLs, names and ARNs as ``_ABOUT`` describes them. An empty text means that it is
    not given.
    """

    store: str = ""
    inbox_queue: str = ""
    delay_queue: str = ""
    output_queue: str = ""
    schedule_group: str = ""
    schedule_role: str = ""
    schedule_dead_letters: str = ""
    table: str = ""
    bucket: str = ""
    public_url: str = ""
    api_token: str = ""


_ABOUT: dict[str, tuple[str, str]] = {
    "store": (
        "INFINITY_STORE",
        "the database, such as postgresql://role@cluster.dsql.region.on.aws/postgres",
    ),
    "inbox_queue": ("INFINITY_INBOX_QUEUE", "the URL of the FIFO queue that wakes the agent"),
    "delay_queue": ("INFINITY_DELAY_QUEUE", "the URL of the standard queue for short waits"),
    "output_queue": ("INFINITY_OUTPUT_QUEUE", "the URL of the FIFO queue for replies"),
    "schedule_group": ("INFINITY_SCHEDULE_GROUP", "the name of the schedule group"),
    "schedule_role": ("INFINITY_SCHEDULE_ROLE", "the ARN of the role of schedules"),
    "schedule_dead_letters": (
        "INFINITY_SCHEDULE_DEAD_LETTERS",
        "the ARN of the dead-letter queue of schedules",
    ),
    "table": ("INFINITY_TABLE", "the name of the DynamoDB table"),
    "bucket": ("INFINITY_BUCKET", "the name of the S3 bucket for large messages"),
    "public_url": ("INFINITY_PUBLIC_URL", "where tool servers reach the receiver"),
    "api_token": ("INFINITY_API_TOKEN", "the bearer token of the API"),
}

_URLS = {
    "store": ("postgresql://", "postgres://"),
    "inbox_queue": ("https://", "http://"),
    "delay_queue": ("https://", "http://"),
    "output_queue": ("https://", "http://"),
    "public_url": ("https://", "http://"),
}


def read_resources(environment: Mapping[str, str], needed: Collection[str]) -> Resources:
    """Read the places of a deployment from the function's environment.

    Args:
        environment: The variables, with secrets resolved already.
        needed: Names of fields of ``Resources`` that must be there; other words in it are ignored.

    Raises:
        ConfigError: lists everything that is missing or cannot be right, so that one deployment corrects it
            all.
    """
    found = {field: environment.get(name, "").strip() for field, (name, _) in _ABOUT.items()}
    problems = [
        f"{name} is not set: {what}"
        for field, (name, what) in _ABOUT.items()
        if field in needed and not found[field]
    ]
    problems += [
        f"{_ABOUT[field][0]} must begin with {schemes[0]}"
        for field, schemes in _URLS.items()
        if found[field] and not found[field].startswith(schemes)
    ]
    if problems:
        raise ConfigError("the function's environment is not complete:\n" + "\n".join(problems))
    return Resources(**found)


def read_config(environment: Mapping[str, str]) -> Config:
    """Read ``infinity.toml``: the one that ``INFINITY_CONFIG`` names, or the one beside the function's code.

    A missing file beside the code means the defaults; a missing file that was named is an error.

    Raises:
        ConfigError: if the file cannot be read, or has settings that work on a daemon only.
    """
    from infinity.config import reading

    named = environment.get("INFINITY_CONFIG", "")
    path = Path(named or Path(environment.get("LAMBDA_TASK_ROOT", ".")) / "infinity.toml")
    if named and not path.exists():
        raise ConfigError(f"INFINITY_CONFIG names {path}, which is not there; is it in the function's code?")
    # By the same code as the daemon, so that one file means one thing; what only a daemon can do is refused
    # below.
    config = reading.read_config(path, environment)
    problems = [
        f"[toolsets.{name}] starts a command, which only the daemon does; deploy the server and give its url"
        for name, toolset in config.toolsets.items()
        if toolset.command is not None
    ]
    problems += [
        f"[mcp_servers.{name}] is bridged by the daemon only; run 'infinity rap mcp' somewhere and give its url as a toolset"
        for name in config.mcp_servers
    ]
    if problems:
        raise ConfigError(f"{path}:\n" + "\n".join(problems))
    return config


def read_agent(environment: Mapping[str, str]) -> Agent | None:
    """Import the ``infinity.Agent`` that ``INFINITY_AGENT`` names as ``module:name``; ``None`` if it is not
    set.

    Raises:
        ConfigError: if the module cannot be imported, or has no agent of that name.
    """
    named = environment.get("INFINITY_AGENT", "")
    if not named:
        return None
    module_name, _, name = named.partition(":")
    how = "write INFINITY_AGENT as module:name, the module beside the function's handler"
    try:
        found: object = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"INFINITY_AGENT={named}: {error}; {how}") from error
    agent = getattr(found, name, None) if name else None
    if not isinstance(agent, Agent):
        raise ConfigError(f"INFINITY_AGENT={named}: there is no infinity.Agent of that name; {how}")
    return agent
