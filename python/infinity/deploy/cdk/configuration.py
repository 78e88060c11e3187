"""What the agent's ``infinity.toml`` asks of the deployment: the variables that hold the tokens of its tool
servers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from infinity.errors import ConfigError

__all__ = ["token_variables"]


def token_variables(code: Path, given: Collection[str]) -> set[str]:
    """The variables that the tool servers of an ``infinity.toml`` take their tokens from.

    Args:
        code: The folder of the file; without a file there are none.
        given: Names of variables that the deployment sets.

    Returns:
        Their names.

    Raises:
        ConfigError: for one that is not given, or a file that is not TOML. The functions check the rest of
            it.
    """
    file = code / "infinity.toml"
    try:
        table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    toolsets = table.get("toolsets", {})
    servers = toolsets if isinstance(toolsets, dict) else {}
    named = {
        server["token_env"]: name
        for name, server in servers.items()
        if isinstance(server, dict) and isinstance(server.get("token_env"), str)
    }
    missing = [
        f"[toolsets.{named[variable]}] names {variable}" for variable in sorted(set(named) - set(given))
    ]
    if missing:
        raise ConfigError(f"{file}: {', '.join(missing)}; give it in Options(secrets={{…}})")
    return set(named)
