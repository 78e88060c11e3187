"""An agent as its author describes it: what it is for, its model, its tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from infinity.settings import Limits, Policy, Retention, Retries, Settings, Timeouts
from infinity.stamps import check_zone
from infinity.tools.functions import ToolLike, as_tools


@dataclass(frozen=True, slots=True)
class Agent:
    """``model``: a configured name such as ``anthropic/claude-sonnet-4-5``; empty takes the default (the scripted model where no key is set).

    ``timezone``: an IANA name; the zone in which the agent is told the time (empty: it is told nothing).

    ``tools``: made with ``@tool``, or functions with a docstring, which become tools. ``toolsets``: base URLs of tool servers that speak RAP.

    Raises:
        ConfigError: one of the tools cannot be a tool, or two have the same name.
    """

    instructions: str = ""
    model: str = ""
    tools: Sequence[ToolLike] = ()
    toolsets: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    policy: Policy = field(default_factory=Policy)
    retention: Retention = field(default_factory=Retention)
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        check_zone(self.timezone)
        object.__setattr__(self, "tools", as_tools(self.tools))

    @property
    def settings(self) -> Settings:
        return Settings(
            limits=self.limits,
            timeouts=self.timeouts,
            retries=self.retries,
            policy=self.policy,
            retention=self.retention,
            instructions=self.instructions,
            default_model=self.model,
            timezone=self.timezone,
        )
