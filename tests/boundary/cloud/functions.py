"""The functions ``receiver`` and ``api`` behind Function URLs on loopback, with everything that stands behind them; a client like that of the daemon's tests."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from tests.boundary.daemons import SOON, Answer
from tests.cloud.deployment import Deployment

from infinity.abc import Models
from infinity.cloud.function_url import receive, serve
from infinity.cloud.host import Described, Host
from infinity.cloud.toolsets import configured_servers
from infinity.config.schema import Config
from infinity.ids import RandomIds
from infinity.models.registry import Models as Registry
from infinity.testing.clock import VirtualClock

TOKEN = "the-token-of-the-api"


class Functions:
    """``ask`` goes to the function that the path is for. ``host``: what the functions' process has."""

    def __init__(self, directory: Path, config: str = "", models: Models | None = None) -> None:
        directory.mkdir()
        self._file = directory / "infinity.toml"
        self._file.write_text(config)
        self.config = Config.model_validate(tomllib.loads(config))
        self._models = models
        self.clock = VirtualClock()
        self.deployment = Deployment(
            directory, self.clock, self._describe, RandomIds(), public_url="http://127.0.0.1"
        )
        self.aws = self.deployment.aws
        self.host: Host
        self.http: aiohttp.ClientSession

    def _describe(self) -> Described:
        models = self._models or Registry(self.config.models, environment={})
        servers = configured_servers(self.config.toolsets, (), {})
        return Described(self.config.settings(), models, (), servers)

    async def start(self) -> Functions:
        await self.deployment.start()
        self.aws.lambdas.create("receiver", self._receive)
        self.aws.lambdas.create("api", self._serve)
        self.url = (await self.aws.lambdas.url("receiver")).rstrip("/")
        self.api_url = (await self.aws.lambdas.url("api")).rstrip("/")
        self.deployment.places |= {
            "INFINITY_PUBLIC_URL": self.url,
            "INFINITY_API_TOKEN": TOKEN,
            "INFINITY_CONFIG": str(self._file),
        }
        self.host = await self.deployment.host()
        self.http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {TOKEN}"}, timeout=aiohttp.ClientTimeout(total=SOON)
        )
        return self

    async def _receive(self, event: Mapping[str, Any], _: object) -> dict[str, Any]:
        return await receive(self.host, event)

    async def _serve(self, event: Mapping[str, Any], _: object) -> dict[str, Any]:
        return await serve(self.host, event)

    async def stop(self) -> None:
        await self.http.close()
        await self.deployment.close()

    async def restart(self) -> None:
        """Every process ends; the services stay."""
        await self.deployment.crash()
        self.host = await self.deployment.host()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        base = self.url if path.startswith("/callback") else self.api_url
        async with self.http.request(method, base + path, **options) as response:
            data = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(data) if is_json else data.decode(), response.headers)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, json=body, **options)

    async def thread(self, text: str | None = None, id: str | None = None) -> str:
        made = await self.post("/v1/threads", {"id": id})
        thread = str(made.body["id"])
        if text is not None:
            assert (await self.post(f"/v1/threads/{thread}/messages", {"content": text})).status == 200
        return thread

    def queued(self) -> list[str]:
        """Bodies of the messages in the inbox queue, those that a slice has taken included."""
        return [message.body for message in self.aws.sqs.queue(self.deployment.inbox).messages()]

    async def hold(self) -> None:
        """Run no slices from now on: what is accepted stays in the queue."""
        for mapping in self.aws.lambdas.mappings:
            await mapping.disable()

    async def until(self, thread: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event of the thread, from its beginning on, for which the condition holds; found by polling as a client does."""
        cursor = -1
        while True:
            before = self.aws.counts.total()
            answer = await self.get(f"/v1/threads/{thread}/events?after={cursor}")
            # A thread that begins with a message in the queue is not there before that was taken.
            if answer.status != 404:
                for event in answer.body["events"]:
                    if condition(event):
                        return dict(event)
                cursor = answer.body["next"]
            # Behind every commit comes a request to the emulator, the deletion of the message at the latest.
            await self._something_since(before)

    async def _something_since(self, requests: int) -> None:
        await self.aws.until(lambda: self.aws.counts.total() > requests, "request to a service", SOON)

    async def said(self, thread: str, text: str) -> dict[str, Any]:
        return await self.until(
            thread, lambda event: event["kind"] == "entry" and text in str(event["data"].get("assistant"))
        )

    async def settled(self) -> None:
        await self.aws.until(self.deployment.idle, "rest")


@asynccontextmanager
async def running(path: Path, config: str = "", models: Models | None = None) -> AsyncIterator[Functions]:
    made = await Functions(path, config, models).start()
    try:
        yield made
    finally:
        await made.stop()
