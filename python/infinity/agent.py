"""An agent as its author describes it: what it is for, its model, its tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infinity.settings import Limits, Policy, Retries, Settings, Timeouts
from infinity.tools.functions import Tool


@dataclass(frozen=True, slots=True)
class Agent:
    """``model``: a configured name such as ``anthropic/claude-sonnet-4-5``; empty takes the default (the scripted model where no key is set).

    ``toolsets``: base URLs of tool servers that speak RAP.
    """

    instructions: str = ""
    model: str = ""
    tools: Sequence[Tool[..., Any]] = ()
    toolsets: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    policy: Policy = field(default_factory=Policy)

    @property
    def settings(self) -> Settings:
        return Settings(
            limits=self.limits,
            timeouts=self.timeouts,
            retries=self.retries,
            policy=self.policy,
            instructions=self.instructions,
            default_model=self.model,
        )
