"""The file that ``cdk deploy --outputs-file`` writes: where everything of a deployment is.

``infinity cloud migrate`` reads it. Of several agents none is chosen by guessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .exits import Failure

__all__ = ["Outputs", "read_outputs", "region_of"]

_ENDS = "InboxQueue"
"""Every agent has this output; what stands before it is the agent's name."""
_REGION = re.compile(r"[./](?P<region>[a-z]{2}(-[a-z]+)+-\d)\.(on\.aws|amazonaws\.com)")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Of one agent. ``roles``: database roles, each with the ARNs of the IAM roles that log in as it;
    ``duties``: what those are for that may not do everything.
    """

    store: str
    roles: Mapping[str, list[str]] = field(default_factory=dict)
    duties: Mapping[str, str] = field(default_factory=dict)
    mappings: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    region: str = ""


def read_outputs(file: Path, agent: str | None) -> Outputs:
    """Read where everything of one agent is.

    Args:
        file: Of ``cdk deploy --outputs-file``.
        agent: Chooses one if several are in it: ``STACK.NAME``, or its name if no other stack has one of
            that name.

    Raises:
        Failure: says what is wrong with the file, or which agents there are to choose from.
    """
    try:
        document: Any = json.loads(file.read_text("utf-8"))
        stacks = {
            stack: {name: str(value) for name, value in values.items()} for stack, values in document.items()
        }
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise Failure(
            f"{file} is not what 'npx aws-cdk deploy --outputs-file {file.name}' writes: {error}"
        ) from error
    agents = [
        (stack, name.removesuffix(_ENDS))
        for stack, values in sorted(stacks.items())
        for name in sorted(values)
        if name.endswith(_ENDS)
    ]
    stack, chosen = _choose(file, agents, agent)
    own = {
        name.removeprefix(chosen): value for name, value in stacks[stack].items() if name.startswith(chosen)
    }
    roles: dict[str, list[str]] = {}
    duties: dict[str, str] = {}
    for pair in own.get("DatabaseRoles", "").split():
        named, _, arn = pair.partition("=")
        role, _, duty = named.partition(":")
        if duty:
            duties[role] = duty
        # A role may have several IAM roles that log in as it, one pair for each.
        roles.setdefault(role, []).extend([arn] if arn else [])
    return Outputs(
        store=own.get("AdminUrl", ""),
        roles=roles,
        duties=duties,
        mappings=own.get("EventSources", "").split(),
        rules=own.get("Rules", "").split(),
        region=region_of(own.get("AdminUrl", "")) or region_of(own[_ENDS]),
    )


def _choose(file: Path, agents: list[tuple[str, str]], agent: str | None) -> tuple[str, str]:
    """Never one of several that nobody has chosen: stacks are as different as a trial and the real thing."""
    listed = ", ".join(f"{stack}.{name}" for stack, name in agents)
    if agent is None:
        found = agents
    else:
        found = [each for each in agents if agent == ".".join(each)] or [
            each for each in agents if agent == each[1]
        ]
        if not found:
            raise Failure(f"{file} has no agent {agent}; it has {listed or 'none'}")
    if len(found) != 1:
        which = f"{len(found)} agents" if agent is None else f"{len(found)} agents {agent}"
        among = ", ".join(f"{stack}.{name}" for stack, name in found)
        raise Failure(f"{file} has {which}{': ' if found else ''}{among}; choose one with --agent STACK.NAME")
    return found[0]


def region_of(url: str) -> str:
    """The AWS region that a service's address names; empty if it names none."""
    found = _REGION.search(url)
    return found["region"] if found else ""
