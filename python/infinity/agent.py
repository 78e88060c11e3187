"""An agent as its author describes it: what it is for, its model, its tools, its bounds.

``Agent`` is a plain value. Making one opens no file and no connection; a host
(``infinity.local.embedded``, the daemon) is given it and runs its threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from infinity.settings import Limits, Policy, Retention, Retries, Settings, Timeouts
from infinity.stamps import check_zone
from infinity.tools.functions import ToolLike, as_tools


@dataclass(frozen=True, slots=True)
class Agent:
    """What one kind of thread is to be: instructions, model, tools and bounds. Frozen; safe to share
    between hosts.

    Args:
        instructions: what the agent is for; part of the system prompt of every thread.
        model: a configured name such as ``anthropic/claude-sonnet-4-5``; empty takes the default (the
            scripted model where no key is set).
        tools: made with ``@tool``, or functions with a docstring, which become tools.
        toolsets: base URLs of tool servers that speak RAP (docs/protocol.md).
        limits: counts and sizes that nothing may exceed; see ``Limits``.
        timeouts: how long things may take, in seconds.
        retries: how often a failing model or tool server is tried again.
        policy: which tools may run, ask the user first, or are denied.
        retention: how long closed conversations are kept.
        timezone: an IANA name; the zone in which the agent is told the time. Empty: it is told no time.

    Raises:
        ConfigError: one of the tools cannot be a tool, two have the same name, or the zone is unknown.
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
        # The class is frozen for its users; this is its last write, and makes tools of plain functions.
        object.__setattr__(self, "tools", as_tools(self.tools))

    @property
    def settings(self) -> Settings:
        """The same values in the form that the runtime takes; ``tools`` and ``toolsets`` reach it
        separately.
        """
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
