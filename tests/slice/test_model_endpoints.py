"""What a model endpoint has taught is kept with the threads: known after a restart, and shown by ``infinity doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from infinity import Agent, Runtime
from infinity.api.examination import examine
from infinity.local.database import learned
from infinity.local.home import Home
from infinity.models.lessons import META
from infinity.models.registry import Models
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.script import Reply


def models_at(url: str, **more: Any) -> Models:
    provider = {"kind": "openai", "base_url": url, "api_key": "sk-neutral-0123456789"}
    named = {"m": {"model": "mine/some-model", "context_window": 32_000, "output_limit": 4_000, **more}}
    return Models({"default": "m", "providers": {"mine": provider}, "named": named}, environment={})


async def asked(url: str, path: Path, words: str = "hello") -> tuple[str, dict[str, Any]]:
    """What is said in a new process, as far as the store can tell, and what an examination finds."""
    models = models_at(url)
    async with Runtime.open(Agent(), path, models=models) as runtime:
        said = await runtime.ask(await runtime.create(), words)
        found = msgspec.to_builtins(await examine(runtime, runtime.store, [], []))
    await models.close()
    return said, found


async def test_what_an_endpoint_taught_is_known_after_a_restart_and_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with OpenAIServer(lambda _: Reply().say("Hello."), dialect="no usage") as server:
        for _ in range(2):
            said, found = await asked(server.url, home.database)
            assert said == "Hello." and server.effects.refused == 1
        assert len(found["learned"]) == 1
        assert "learned usage=false" in found["learned"][0] and server.url in found["learned"][0]
        assert learned(home) == found["learned"]


async def test_lessons_that_cannot_be_read_are_learned_again(tmp_path: Path) -> None:
    async with OpenAIServer(lambda _: Reply().say("Hello."), dialect="no usage") as server:
        models = models_at(server.url)
        async with Runtime.open(Agent(), tmp_path / "a.db", models=models) as runtime:
            await runtime.store.put_meta(META, b"[nonsense")
            assert await runtime.ask(await runtime.create(), "hello") == "Hello."
            assert b"usage=false" in (await runtime.store.meta(META) or b"")
        await models.close()
