"""MCP servers as tool servers: each configured one becomes a bridge, a process of its own, so that neither the SDK nor a crash gets into the daemon."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import sys
from collections.abc import Mapping

from infinity.config.schema import Config, McpServerConfig, ToolsetConfig
from infinity.errors import ConfigError
from infinity.mcp.specification import ENVIRONMENT, TOKEN, ServerSpecification

__all__ = ["bridge_problems", "bridge_tokens", "specification", "tool_servers"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def tool_servers(config: Config, tokens: Mapping[str, str]) -> dict[str, ToolsetConfig]:
    """The configured tool servers and the bridges to the configured MCP servers, by name; ``tokens`` of these.

    Those that ``bridge_problems`` names cannot be started (B13).
    """
    out = bridge_problems(config)
    bridges = {
        name: _bridge(name, server, tokens[name], startable=name not in out)
        for name, server in config.mcp_servers.items()
    }
    return {**config.toolsets, **bridges}


def bridge_problems(config: Config) -> dict[str, str]:
    """What is wrong with MCP servers that cannot be started, by name."""
    problems = {}
    for name, server in config.mcp_servers.items():
        try:
            specification(name, server)
        except ConfigError as error:
            problems[name] = str(error)
    return problems


def bridge_tokens(config: Config, secret: str) -> dict[str, str]:
    """What each bridge wants to be sent: other users of the machine reach its port, too. The same after a restart, because a bridge outlives
    its daemon. ``secret``: the home's token, from which nobody can tell these, nor it from them."""
    return {
        name: hmac.new(secret.encode(), f"infinity bridge {name}".encode(), hashlib.sha256).hexdigest()
        for name in config.mcp_servers
    }


def specification(
    name: str, config: McpServerConfig, environment: Mapping[str, str] = os.environ
) -> ServerSpecification:
    """With its variables filled in. ``ConfigError`` names one that is not set."""

    def filled(text: str, key: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = environment.get(match[1], match[2])
            if found is None:
                raise ConfigError(
                    f"[mcp_servers.{name}] {key} names {match[1]}, which is not set in the daemon's environment; export it and start again"
                )
            return found

        return _VARIABLE.sub(value, text)

    missing = [each for each in config.env_from if each not in environment]
    if missing:
        raise ConfigError(
            f"[mcp_servers.{name}] env_from names {missing[0]}, which is not set in the daemon's environment; export it and start again"
        )
    passed_on = {each: environment[each] for each in config.env_from}
    return ServerSpecification(
        name=name,
        command=config.command and os.path.expanduser(config.command),
        args=tuple(filled(each, "args") for each in config.args),
        env={**passed_on, **{key: filled(value, "env") for key, value in config.env.items()}},
        cwd=config.cwd and os.path.expanduser(config.cwd),
        url=config.url and filled(config.url, "url"),
        headers={key: filled(value, "headers") for key, value in config.headers.items()},
        prefix=config.prefix,
        resources=config.resources,
        start_timeout=config.start_timeout,
        call_timeout=config.call_timeout,
        redirect_url=config.redirect_url,
    )


def _bridge(name: str, config: McpServerConfig, token: str, *, startable: bool) -> ToolsetConfig:
    """The state is in the daemon's home, where its tool servers run."""
    return ToolsetConfig(
        command=sys.executable,
        args=("-m", "infinity.mcp", "--port", "{port}", "--state", f"servers/{name}.db"),
        env={ENVIRONMENT: specification(name, config).encode() if startable else "", TOKEN: token},
        env_from=PROXIES if config.url is not None else (),
    )
