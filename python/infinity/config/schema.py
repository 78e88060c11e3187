"""What ``infinity.toml`` may say. Secrets are never in it: it names the environment variables that hold them.

Times are seconds and sizes bytes, as in ``infinity.settings``, whose values ``[limits]``, ``[timeouts]``, ``[retries]`` and ``[retention]`` set by name.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from infinity.errors import ConfigError
from infinity.ids import USER_RULE, is_user
from infinity.rap.address import url_problem
from infinity.settings import Limits, Policy, Retention, Retries, Settings, Timeouts
from infinity.stamps import check_zone

__all__ = [
    "DEFAULT_PORT",
    "Config",
    "ConsoleConfig",
    "DaemonConfig",
    "LogConfig",
    "McpServerConfig",
    "ToolsetConfig",
]

DEFAULT_PORT = 7345
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Port = Annotated[int, Field(ge=0, le=65535, examples=[DEFAULT_PORT])]
Verdict = Literal["allow", "ask", "deny"]
Annotation = Literal["readOnly", "destructive", "idempotent", "longRunning", "requiresAuth"]
"""Those that the protocol knows: a word that is none of them would silently allow (DISC-9)."""


class Section(BaseModel):
    # Strict, and nothing unknown: a misspelt key that was ignored would look like a setting that has no
    # effect.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_EXAMPLES = {"tree_tokens": 2_000_000, "tree_dollars": 5.0, "requests_per_minute": 50, "closed_days": 90.0}
"""For limits that are off by default."""
_MAY_BE_OFF = frozenset({"prompt"})
"""On by default; 0 turns them off."""


def _of(name: str, values: type[Any]) -> type[Section]:
    """A section with the names, types and defaults of a class of settings. Numbers are positive; 0 where it means no limit."""
    hints = get_type_hints(values)
    members: dict[str, Any] = {}
    for item in fields(values):
        assert item.default is not MISSING
        bound = (
            Field(gt=0, examples=[item.default])
            if item.default and item.name not in _MAY_BE_OFF
            else Field(ge=0, examples=[item.default or _EXAMPLES[item.name]])
        )
        members[item.name] = (Annotated[hints[item.name], bound], item.default)
    return create_model(name, __base__=Section, **members)


LimitsConfig = _of("LimitsConfig", Limits)
TimeoutsConfig = _of("TimeoutsConfig", Timeouts)
RetriesConfig = _of("RetriesConfig", Retries)
RetentionConfig = _of("RetentionConfig", Retention)


class DaemonConfig(Section):
    """Where the daemon listens, and where tool servers reach it."""

    host: str = Field(default="127.0.0.1", min_length=1, examples=["127.0.0.1"])
    """The address to listen on. An address other than loopback is reachable from the network."""
    port: Port = DEFAULT_PORT
    """The port to listen on. It is fixed, so that callback URLs stay valid across restarts (L19); 0 takes any free port, for tests."""
    public_url: str | None = Field(default=None, examples=["https://agent.example"])
    """What tool servers call back to, if not ``http://host:port``."""
    hosts: tuple[str, ...] = Field(default=(), strict=False, examples=[["agent.lan"]])
    """Further names that a ``Host`` header may carry (S4)."""
    store: str | None = Field(default=None, examples=["postgresql://infinity@db.example/infinity"])
    """A PostgreSQL database that keeps everything, in place of the home's. Make its tables with ``infinity daemon migrate``."""

    events_kept: float = Field(default=7.0, gt=0, allow_inf_nan=False, examples=[30.0])
    """Days for which the order of all events is kept. For so long a client that follows all conversations (``GET /v1/events``) may be away and go on where it was."""

    @field_validator("store")
    @classmethod
    def _store(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "postgresql:")
        if parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("must be a URL like postgresql://user@host/database")
        if parts.password:
            raise ValueError("must not contain the password: set PGPASSWORD, or name a PGPASSFILE")
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        problem = url_problem(value) if value is not None else None
        if problem:
            raise ValueError(problem)
        return value


class AgentConfig(Section):
    """The agent of every thread."""

    instructions: str = Field(default="", examples=["You look after the repository infinity/infinity."])
    """What the agent is for; part of the system prompt of every thread."""
    timezone: str = Field(default="UTC", examples=["Europe/Berlin"])
    """The zone in which the agent is told the time. Empty: it is told nothing."""

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        try:
            return check_zone(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class ToolsetConfig(Section):
    """One tool server: reached by ``url``, or started by ``command`` on demand."""

    url: str | None = Field(default=None, examples=["https://tools.example"])
    """The base URL of a server that runs already."""
    command: str | None = Field(default=None, min_length=1, examples=["python3"])
    """The program of a server that the daemon starts."""
    args: tuple[str, ...] = Field(default=(), strict=False, examples=[["server.py", "--port", "{port}"]])
    """Arguments of the command. ``{port}`` stands for the port that the server is to listen on; it is in the environment as ``PORT`` too."""
    env: dict[str, str] = Field(default={}, examples=[{"LOG_LEVEL": "info"}])
    """Environment variables of the command."""
    env_from: tuple[str, ...] = Field(default=(), strict=False, examples=[["GITHUB_TOKEN"]])
    """Names of variables that are passed on from the daemon's environment. Besides these the command sees PATH, HOME and the like only."""
    cwd: str | None = Field(default=None, examples=["/srv/tools"])
    """The working directory of the command."""
    port: Port | None = None
    """The port of a started server; without it one is chosen once and kept."""
    token_env: str | None = Field(default=None, examples=["TOOLS_TOKEN"])
    """The environment variable with the bearer token that this server wants."""
    auth: Literal["aws_iam"] | None = Field(default=None, examples=["aws_iam"])
    """``aws_iam`` for the URL of a Lambda function that only IAM may call: the cloud host signs its requests. The daemon cannot sign."""
    start_timeout: Annotated[float, Field(gt=0, examples=[10])] = 10.0
    """How long a started server may take until it answers."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        problem = url_problem(value) if value is not None else None
        if problem:
            raise ValueError(problem)
        return value

    @field_validator("token_env", "env_from")
    @classmethod
    def _variables(cls, value: Any) -> Any:
        for name in (value,) if isinstance(value, str) else value or ():
            # Somebody who writes the secret itself here is told so, and the text does not repeat it (S9).
            if not _VARIABLE.fullmatch(name):
                raise ValueError("must be the name of an environment variable, not a secret itself")
        return value

    @model_validator(mode="after")
    def _one_of(self) -> ToolsetConfig:
        if (self.url is None) == (self.command is None):
            raise ValueError(
                "needs exactly one of 'url' (a running server) and 'command' (a server to start)"
            )
        started = [
            name for name in ("args", "env", "env_from", "cwd", "port") if name in self.model_fields_set
        ]
        if self.url is not None and started:
            raise ValueError(
                f"'{started[0]}' is for servers that are started by 'command'; this one has a 'url'"
            )
        if self.auth is not None and (self.url is None or self.token_env is not None):
            other = "command" if self.url is None else "token_env"
            raise ValueError(f"'auth' does not go with '{other}': it is for the URL of a Lambda function")
        return self


class McpServerConfig(Section):
    """One MCP server, bridged: started by ``command`` (stdio) or reached by ``url`` (streamable HTTP).

    ``${NAME}`` in ``args``, ``env``, ``url`` and ``headers`` stands for a variable of the daemon's environment.
    """

    type: Literal["stdio", "http", "streamable-http"] | None = None
    """The transport, as other programs name it. It follows from ``command`` or ``url`` and may be left out."""
    command: str | None = Field(default=None, min_length=1, examples=["uvx"])
    """The program of a server that speaks over stdin and stdout."""
    args: tuple[str, ...] = Field(default=(), strict=False, examples=[["mcp-server-time"]])
    """Arguments of the command."""
    env: dict[str, str] = Field(default={}, examples=[{"API_KEY": "${API_KEY}"}])
    """Environment variables of the command."""
    env_from: tuple[str, ...] = Field(default=(), strict=False, examples=[["API_KEY"]])
    """Names of variables that are passed on from the daemon's environment."""
    cwd: str | None = Field(default=None, examples=["/srv/project"])
    """The working directory of the command."""
    url: str | None = Field(default=None, examples=["https://mcp.example/mcp"])
    """The URL of a server that runs already."""
    headers: dict[str, str] = Field(default={}, examples=[{"Authorization": "Bearer ${TOKEN}"}])
    """Headers of every request to ``url``."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$", examples=["time_"])
    """Put before the names of its tools, where they clash with others."""
    resources: bool = True
    """Whether the model gets a tool that lists and reads the server's resources."""
    start_timeout: Annotated[float, Field(gt=0, examples=[30])] = 30.0
    """How long the server may take until a session is open."""
    call_timeout: Annotated[float, Field(gt=0, examples=[600])] = 600.0
    """How long one call may take."""
    redirect_url: str | None = Field(default=None, examples=["https://agent.example/oauth/callback"])
    """Where the user's browser returns after signing in, if not to the bridge itself."""

    @model_validator(mode="after")
    def _one_of(self) -> McpServerConfig:
        if (self.url is None) == (self.command is None):
            raise ValueError(
                "needs exactly one of 'command' (a server to start) and 'url' (a running server)"
            )
        foreign = ("args", "env", "env_from", "cwd") if self.url else ("headers", "redirect_url")
        for name in foreign:
            if name in self.model_fields_set:
                raise ValueError(f"'{name}' does not go with '{'url' if self.url else 'command'}'")
        if self.type is not None and (self.type == "stdio") != (self.command is not None):
            raise ValueError(f"type \"{self.type}\" does not go with '{'url' if self.url else 'command'}'")
        return self


class PolicyConfig(Section):
    """Consent: ``tools.NAME`` wins over a tool's ``annotations`` (the strictest of them), which win over ``default``."""

    tools: dict[str, Verdict] = Field(default={}, examples=[{"delete_branch": "ask"}])
    """By the name of a tool: ``allow``, ``ask`` or ``deny``."""
    annotations: dict[Annotation, Verdict] = Field(default={}, examples=[{"readOnly": "allow"}])
    """By annotation: ``readOnly``, ``idempotent``, ``longRunning``, ``requiresAuth``, ``destructive``."""
    destructive: Verdict = Field(default="ask", examples=["ask"])
    """The same as ``annotations.destructive``, which wins."""
    default: Verdict = Field(default="allow", examples=["allow"])
    """For every other tool."""
    edit: dict[str, bool] = Field(default={}, examples=[{"default": True, "pay": False}])
    """Whether a person who is asked may change the arguments of the call, by the name of a tool; ``default`` for every other tool, which may unless it is false."""


class ConsoleConfig(Section):
    """The web console."""

    enabled: bool = True
    """Whether the daemon serves it."""
    user: str | None = Field(default=None, examples=["ada"])
    """Whose doing is what its pages do: the ``user_id`` of messages and answers. Without it the login name of the daemon's account."""

    @field_validator("user")
    @classmethod
    def _user(cls, value: str | None) -> str | None:
        if value is not None and not is_user(value):
            raise ValueError(f"must be {USER_RULE}")
        return value


class LogConfig(Section):
    """What the daemon logs."""

    level: Literal["error", "warning", "info", "debug"] = Field(default="info", examples=["info"])
    """The least important messages that are logged."""
    format: Literal["text", "json"] = Field(default="text", examples=["json"])
    """Lines of text, or one JSON object for each line."""


class Config(Section):
    """The whole file. ``models`` is read by ``infinity.models``."""

    daemon: DaemonConfig = DaemonConfig()
    agent: AgentConfig = AgentConfig()
    models: dict[str, Any] = {}
    toolsets: dict[str, ToolsetConfig] = {}
    mcp_servers: dict[str, McpServerConfig] = {}
    limits: LimitsConfig = LimitsConfig()  # type: ignore[valid-type]
    timeouts: TimeoutsConfig = TimeoutsConfig()  # type: ignore[valid-type]
    retries: RetriesConfig = RetriesConfig()  # type: ignore[valid-type]
    retention: RetentionConfig = RetentionConfig()  # type: ignore[valid-type]
    policy: PolicyConfig = PolicyConfig()
    console: ConsoleConfig = ConsoleConfig()
    log: LogConfig = LogConfig()

    @field_validator("toolsets", "mcp_servers")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a name for a toolset; use 1 to 64 letters, digits, '-' and '_'"
                )
        return value

    @model_validator(mode="after")
    def _named_once(self) -> Config:
        for name in self.toolsets.keys() & self.mcp_servers.keys():
            raise ValueError(f"[mcp_servers.{name}] has the name of [toolsets.{name}]; rename one of them")
        return self

    def settings(self) -> Settings:
        """What the engine needs of it."""
        return Settings(
            limits=Limits(**_values(self.limits)),
            timeouts=Timeouts(**_values(self.timeouts)),
            retries=Retries(**_values(self.retries)),
            retention=Retention(**_values(self.retention)),
            policy=Policy(**self.policy.model_dump()),
            instructions=self.agent.instructions,
            default_model=str(self.models.get("default", "")),
            timezone=self.agent.timezone,
        )


def _values(section: Section) -> dict[str, Any]:
    return section.model_dump()
