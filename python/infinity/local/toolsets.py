"""The configured tool servers of one daemon: those with a URL, and those that it starts itself."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from infinity.abc import Delivery, Store, Verdict
from infinity.api.responses import Process, ToolServer
from infinity.api.toolsets import described
from infinity.config.schema import DEFAULT_PORT, ToolsetConfig
from infinity.errors import ConfigError, DamagedStore, InfinityError, StoreError, ToolsetError
from infinity.ports import is_free
from infinity.rap.address import Server, origin, same_origin
from infinity.rap.client import TOTAL_SECONDS, HttpTransport
from infinity.rap.discovery import Loaded, Problem, Toolsets
from infinity.rap.manifest import Toolset

from .health import HealthBook
from .process import Identity
from .servers import Record, StartedServer, free_port

__all__ = ["LocalToolsets", "LocalTransport", "ServerSet"]

logger = logging.getLogger("infinity.servers")

_RECORDS = "tool_servers"
_COPY = "toolset:"


class ServerSet:
    """Every configured server, by name; and by address those that are started here."""

    def __init__(
        self,
        addresses: Mapping[str, Server],
        started: Sequence[StartedServer],
        unusable: Mapping[str, str] | None = None,
    ) -> None:
        """``unusable``: what is wrong with servers that are configured and have no address."""
        self.addresses = dict(addresses)
        self.unusable = dict(unusable or {})
        self.started = {server.name: server for server in started}
        self.health = HealthBook()
        self._by_origin = {origin(server.base_url): server for server in started}

    @classmethod
    async def prepare(
        cls,
        toolsets: Mapping[str, ToolsetConfig],
        store: Store,
        home: Path,
        *,
        first_port: int = DEFAULT_PORT + 1,
        tokens: Mapping[str, str] | None = None,
        problems: Mapping[str, str] | None = None,
    ) -> ServerSet:
        """Give every started server its port, for good: what was recorded for it goes there after a restart too. Starts nothing.

        ``tokens``: of servers that get theirs from the daemon itself. ``problems``: of servers that cannot be started. A server with a problem is
        out, with what is wrong on record; the daemon starts without it (B13).

        Raises:
            ConfigError: for a setting that no daemon can follow.
        """
        records = await _read_records(store)
        lock = asyncio.Lock()

        async def remember(name: str, record: Record) -> None:
            async with lock:
                records[name] = record
                await store.put_meta(_RECORDS, msgspec.json.encode(records))

        addresses: dict[str, Server] = {}
        unusable: dict[str, str] = {}
        started: list[StartedServer] = []
        taken = {record.port for record in records.values()} | {
            each.port for each in toolsets.values() if each.port
        }
        for name, config in toolsets.items():
            token, problem = _token(name, config, tokens or {})
            problem = (problems or {}).get(name) or problem
            if config.url is not None:
                try:
                    addresses[name] = Server(config.url, token, problem=problem)
                except ConfigError as error:
                    unusable[name] = f"[toolsets.{name}] {error}"
                continue
            record = records.get(name)
            port = config.port or (_recorded(record) or free_port(taken, first_port))
            taken.add(port)
            if record is None or record.port != port:
                record = Record(port, record.process if record else None)
                await remember(name, record)
            server = StartedServer(name, config, record, home=home, remember=remember)
            addresses[name] = Server(server.base_url, token, problem=problem)
            started.append(server)
        for name, problem in unusable.items():
            logger.warning("tool server %s is left out: %s", name, problem)
        for name, address in addresses.items():
            if address.problem is not None:
                logger.warning("tool server %s is left out: %s", name, address.problem)
        return cls(addresses, started, unusable)

    def at(self, url: str) -> StartedServer | None:
        """The started server that this URL belongs to."""
        try:
            return self._by_origin.get(origin(url))
        except ValueError:
            return None

    def base_of(self, url: str) -> str | None:
        """The base URL of the configured server that this URL belongs to; of several on one origin that with the longest matching path."""
        bases = [each.base_url for each in self.addresses.values() if url.startswith(f"{each.base_url}/")]
        return max(bases, key=len, default=None)

    def resume(self) -> None:
        """Start again, in the background, what ran before: calls and subscriptions may live in it."""
        for name, server in self.started.items():
            if server.used_before and self.addresses[name].problem is None:
                server.start()

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.started.values()))


class LocalToolsets(Toolsets):
    """Discovery that starts servers first, and keeps the last good definitions in the store (DISC-6)."""

    def __init__(self, servers: ServerSet, store: Store, cached: Sequence[Toolset]) -> None:
        unusable = [Problem(name, text, None, False) for name, text in servers.unusable.items()]
        super().__init__(tuple(servers.addresses.values()), cached=cached, unusable=unusable)
        self._own = servers
        self._store = store
        self._kept = {toolset.base_url: toolset.to_json() for toolset in cached}

    @classmethod
    async def prepare(cls, servers: ServerSet, store: Store) -> LocalToolsets:
        copies = [await _copy(store, server.base_url) for server in servers.addresses.values()]
        return cls(servers, store, [copy for copy in copies if copy is not None])

    async def load(self) -> Loaded:
        started = [
            server for name, server in self._own.started.items() if self._own.addresses[name].problem is None
        ]
        failures = await asyncio.gather(*(server.ready() for server in started), return_exceptions=True)
        loaded = await super().load()
        reasons = {
            server.base_url: str(failure)
            for server, failure in zip(started, failures, strict=True)
            if isinstance(failure, ToolsetError)
        }
        await self._keep(loaded)
        problems = tuple(_because(problem, reasons.get(problem.base_url)) for problem in loaded.problems)
        return Loaded(loaded.toolsets, problems, loaded.fresh)

    async def describe(self) -> list[ToolServer]:
        """For ``GET /v1/toolsets``: every server, how it is, and what it offers."""
        loaded = await self.load()
        offered = {toolset.base_url: toolset for toolset in loaded.toolsets}
        problems = {problem.base_url: problem for problem in loaded.problems}
        return [
            self._describe(name, server.base_url, offered.get(server.base_url), problems.get(server.base_url))
            for name, server in self._own.addresses.items()
        ] + [
            described(name, "", None, Problem(name, text, None, False))
            for name, text in self._own.unusable.items()
        ]

    def _describe(
        self, name: str, base_url: str, toolset: Toolset | None, problem: Problem | None
    ) -> ToolServer:
        found = described(name, base_url, toolset, problem)
        server = self._own.started.get(name)
        if server is not None:
            found.process = Process(server.state, server.pid, server.restarts)
        found.health = self._own.health.of(base_url)
        return found

    async def _keep(self, loaded: Loaded) -> None:
        for toolset in loaded.toolsets:
            copy = toolset.to_json()
            if toolset.base_url in loaded.fresh and self._kept.get(toolset.base_url) != copy:
                try:
                    await self._store.put_meta(_COPY + toolset.base_url, copy)
                except StoreError as error:
                    # A copy for bad days; the fresh one is in hand.
                    logger.warning("the toolset of %s could not be kept: %s", toolset.base_url, error)
                else:
                    self._kept[toolset.base_url] = copy


class LocalTransport(HttpTransport):
    """Delivery that starts the server first where that is ours to do."""

    def __init__(self, servers: ServerSet, *, total: float = TOTAL_SECONDS) -> None:
        super().__init__(servers.addresses.values(), total=total)
        self._own = servers

    async def post(self, url: str, body: bytes, *, key: str, reason: bool = False) -> Delivery:
        began = time.monotonic()
        delivery = await self._tried(url, body, key=key, reason=reason)
        if (base_url := self._own.base_of(url)) is not None:
            self._own.health.note(base_url, delivery, time.monotonic() - began)
        return delivery

    async def _tried(self, url: str, body: bytes, *, key: str, reason: bool) -> Delivery:
        server = self._own.at(url)
        if server is None and not any(
            same_origin(url, each.base_url) for each in self._own.addresses.values()
        ):
            return Delivery(Verdict.REFUSED, "its tool server is not configured any more")
        if server is not None and self._own.addresses[server.name].problem is None:
            try:
                await server.ready()
            except InfinityError as error:
                return Delivery(Verdict.FAILED, str(error), left=False)
            except Exception as error:
                logger.exception("tool server %s cannot be started", server.name)
                return Delivery(
                    Verdict.FAILED,
                    f"tool server {server.name} cannot be started ({type(error).__name__})",
                    left=False,
                )
        return await super().post(url, body, key=key, reason=reason)

    async def notify(self, base_urls: Sequence[str], path: str, body: bytes) -> dict[str, Delivery]:
        """No server is started to be told that something is over."""
        awake = [
            url for url in base_urls if (server := self._own.at(url)) is None or server.state == "running"
        ]
        return await super().notify(awake, path, body)


def _recorded(record: Record | None) -> int | None:
    """Its port, for good once it has run: callers may know it. One that has never run gives way to a program that was quicker."""
    if record is None or (record.process is None and not is_free(record.port)):
        return None
    return record.port


def _because(problem: Problem, reason: str | None) -> Problem:
    """Why the server does not run says more than that it cannot be reached."""
    return problem if reason is None else replace(problem, text=reason, pending=not problem.cached)


def _token(name: str, config: ToolsetConfig, given: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The server's token, and what is wrong with it."""
    if name in given:
        return given[name], None
    if config.auth is not None:
        raise ConfigError(
            f'[toolsets.{name}] auth = "{config.auth}" is for the cloud host: the daemon does not sign requests. Give the server a token and name it in token_env'
        )
    if config.token_env is None:
        return None, None
    token = os.environ.get(config.token_env)
    if not token:
        return None, (
            f"[toolsets.{name}] token_env names {config.token_env}, which is not set in the daemon's environment; "
            "export it and start again"
        )
    return token, None


async def _read_records(store: Store) -> dict[str, Record]:
    found = await store.meta(_RECORDS)
    if found is None:
        return {}
    try:
        rows = msgspec.json.decode(found, type=dict[str, dict[str, Any]])
        return {
            name: Record(int(row["port"]), Identity(*row["process"]) if row["process"] else None)
            for name, row in rows.items()
        }
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise DamagedStore(f"the record {_RECORDS!r} cannot be read; run 'infinity doctor'") from error


async def _copy(store: Store, base_url: str) -> Toolset | None:
    """The kept definitions; a damaged copy is reported and not used (I8)."""
    found = await store.meta(_COPY + base_url)
    if found is None:
        return None
    try:
        return Toolset.from_json(found)
    except Exception as error:  # noqa: BLE001  a copy for bad days: what cannot be read is none
        logger.warning("the kept toolset of %s is not used: %s", urlsplit(base_url).netloc, error)
        return None
