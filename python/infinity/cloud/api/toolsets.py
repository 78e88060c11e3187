"""Toolsets: what is configured, what each server offers, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infinity.api import toolsets
from infinity.api.requests import Nothing
from infinity.api.responses import Answer
from infinity.cloud.function_url import Request

from ..environment import read_config
from .body import path_id, read_json

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["list_toolsets", "reload_tools"]


async def list_toolsets(host: Host, request: Request) -> Answer:
    servers = host.runtime.servers.toolsets
    loaded, catalog = await asyncio.gather(servers.load(), host.runtime.catalogs.current())
    names = _names(host.environment)
    offered = {toolset.base_url: toolset for toolset in loaded.toolsets}
    problems = {problem.base_url: problem for problem in loaded.problems}
    described = [
        toolsets.described(
            names.get(url) or urlsplit(url).netloc.rpartition("@")[2],
            url,
            offered.get(url),
            problems.get(url),
        )
        for url in (server.base_url for server in servers.servers)
    ]
    return toolsets.listing(described, catalog)


async def reload_tools(host: Host, request: Request) -> Answer:
    """Fetch the definitions for a thread's tree again."""
    read_json(host, request, Nothing, optional=True)
    return toolsets.offered(await host.runtime.reload_tools(path_id(request)))


def _names(environment: Mapping[str, str]) -> dict[str, str]:
    """Names in the configuration, by base URL. A server that an ``infinity.Agent`` names has none."""
    configured = read_config(environment).toolsets
    return {config.url.rstrip("/"): name for name, config in configured.items() if config.url is not None}
