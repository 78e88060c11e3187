"""The file that ``cdk deploy --outputs-file`` writes: where everything of a deployment is."""

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
    """Of one agent. ``roles``: database roles, each with the ARNs of the IAM roles that log in as it; ``duties``: what those are for that may not do everything."""

    store: str
    roles: Mapping[str, list[str]] = field(default_factory=dict)
    duties: Mapping[str, str] = field(default_factory=dict)
    mappings: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    region: str = ""


def read_outputs(file: Path, agent: str | None) -> Outputs:
    """``Failure`` says what is wrong with the file; ``agent`` chooses one if several are in it."""
    try:
        document: Any = json.loads(file.read_text("utf-8"))
        values = {name: str(value) for stack in document.values() for name, value in stack.items()}
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise Failure(
            f"{file} is not what 'npx aws-cdk deploy --outputs-file {file.name}' writes: {error}"
        ) from error
    found = sorted(name.removesuffix(_ENDS) for name in values if name.endswith(_ENDS))
    if agent is None and len(found) != 1:
        raise Failure(
            f"{file} has {len(found)} agents{': ' if found else ''}{', '.join(found)}; choose one with --agent"
        )
    chosen = agent or found[0]
    if chosen not in found:
        raise Failure(f"{file} has no agent {chosen}; it has {', '.join(found) or 'none'}")
    own = {name.removeprefix(chosen): value for name, value in values.items() if name.startswith(chosen)}
    roles: dict[str, list[str]] = {}
    duties: dict[str, str] = {}
    for pair in own.get("DatabaseRoles", "").split():
        named, _, arn = pair.partition("=")
        role, _, duty = named.partition(":")
        if duty:
            duties[role] = duty
        roles.setdefault(role, []).extend([arn] if arn else [])
    return Outputs(
        store=own.get("AdminUrl", ""),
        roles=roles,
        duties=duties,
        mappings=own.get("EventSources", "").split(),
        rules=own.get("Rules", "").split(),
        region=region_of(own.get("AdminUrl", "")) or region_of(own[_ENDS]),
    )


def region_of(url: str) -> str:
    """Of a service's address; empty if it names none."""
    found = _REGION.search(url)
    return found["region"] if found else ""
