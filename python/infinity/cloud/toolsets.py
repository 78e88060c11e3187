"""The configured tool servers of a deployment, and discovery that keeps the last good definitions for every
process.

``host`` makes both. Definitions are fetched when a conversation begins; their copy lies in DynamoDB, where
a process that has just started finds it when a server is away (DISC-6). A copy never replaces definitions
that could be fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infinity.errors import ConfigError, StoreError
from infinity.rap.address import Server
from infinity.rap.discovery import Loaded, Toolsets
from infinity.rap.manifest import Toolset

from .hints import HintTable

if TYPE_CHECKING:
    from infinity.aws.client import Aws
    from infinity.config.schema import ToolsetConfig

__all__ = ["CloudToolsets", "check_tokens", "configured_servers"]

log = logging.getLogger("infinity.cloud")


def configured_servers(
    toolsets: Mapping[str, ToolsetConfig],
    urls: Sequence[str],
    environment: Mapping[str, str],
    *,
    calls_tools: bool = True,
) -> list[Server]:
    """The tool servers of a deployment.

    A server whose token is missing is one with a problem, if tools are to be called: its tools are out, and
    the function works without them (B13).

    Args:
        toolsets: ``[toolsets.*]`` of the configuration, by name; those without a URL are left out.
        urls: Of servers that an ``infinity.Agent`` names.
        environment: Where tokens are found.
        calls_tools: Whether this function speaks to tool servers; others may not have the tokens.
    """
    named = [
        Server(
            config.url,
            environment.get(config.token_env or "") or None,
            auth=config.auth,
            problem=_missing(name, config, environment) if calls_tools else None,
        )
        for name, config in toolsets.items()
        if config.url is not None
    ]
    return [*named, *map(Server, urls)]


def check_tokens(toolsets: Mapping[str, ToolsetConfig], environment: Mapping[str, str]) -> None:
    """Check the tokens of all servers, before a deployment.

    Raises:
        ConfigError: lists every token that is missing or unusable.
    """
    problems = [
        f"[toolsets.{name}] {server.problem}" if not server.problem.startswith("[") else server.problem
        for name, config in toolsets.items()
        for server in configured_servers({name: config}, (), environment)
        if server.problem is not None
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _missing(name: str, config: ToolsetConfig, environment: Mapping[str, str]) -> str | None:
    if config.token_env is None or environment.get(config.token_env):
        return None
    return f"[toolsets.{name}] token_env names {config.token_env}, which is not set in the function's environment"


class CloudToolsets(Toolsets):
    """Discovery with copies that outlive the process.

    A copy is read when a server cannot be reached, and written when what it offers is new (DISC-6).

    Args:
        servers: As configured.
        hints: Where copies are kept.
        aws: Signs requests to servers behind IAM.
    """

    def __init__(self, servers: Sequence[Server], hints: HintTable, aws: Aws) -> None:
        super().__init__(servers, signer=aws)
        self._hints = hints
        self._kept: dict[str, bytes] = {}

    async def load(self) -> Loaded:
        loaded = await super().load()
        unreachable = [problem.base_url for problem in loaded.problems if not problem.cached]
        if unreachable and await self._recall(unreachable):
            loaded = await super().load()
        await self._keep(loaded)
        return loaded

    async def _recall(self, base_urls: Sequence[str]) -> bool:
        """Put the copies of earlier processes in hand; whether there is one."""
        found = False
        for base_url in base_urls:
            try:
                copy = await self._hints.toolset(base_url)
                if copy is not None:
                    self._copies[base_url] = Toolset.from_json(copy)
                    found = True
            except Exception as error:  # noqa: BLE001
                # The problem that led here is reported; a copy that cannot be read is none.
                log.warning("the kept toolset of %s is not used: %s", base_url, error)
        return found

    async def _keep(self, loaded: Loaded) -> None:
        for toolset in loaded.toolsets:
            copy = toolset.to_json()
            # Only what is new is written, once in a process, and not once for every conversation that begins.
            if toolset.base_url in loaded.fresh and self._kept.get(toolset.base_url) != copy:
                try:
                    await self._hints.put_toolset(toolset.base_url, copy)
                except StoreError as error:
                    # A copy for bad days; the fresh one is in hand.
                    log.warning("the toolset of %s could not be kept: %s", toolset.base_url, error)
                else:
                    self._kept[toolset.base_url] = copy
