"""A client that a generator makes from ``/openapi.json``, used against a daemon: the description is complete enough to program by."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.boundary.daemons import Running

from infinity.api.backend import Part
from infinity.api.openapi import describe
from infinity.api.routes import routes_of

GENERATE = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]


def generated(directory: Path, part: Part) -> str:
    """The package that was generated, importable; its name. Whatever the generator cannot use fails the test."""
    name = f"generated_{part.name}".lower()
    document = directory / f"{name}.json"
    document.write_text(json.dumps(describe(routes_of(part), "1")))
    # Formatting is none of its business, and takes most of the time.
    config = directory / "config.json"
    config.write_text('{"post_hooks": []}')
    command = [*GENERATE, "--path", document, "--output-path", directory / name, "--config", config]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return name


@pytest.fixture
def operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The generated module of an operation id."""
    name = generated(tmp_path, Part.DAEMON)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda id: importlib.import_module(f"{name}.api.default.{id}")


async def test_a_generated_client_can_create_talk_to_and_read_a_thread(
    daemon: Running, operation: Callable[[str], Any]
) -> None:
    client_module = importlib.import_module("generated_daemon.client")
    models = importlib.import_module("generated_daemon.models")
    async with client_module.AuthenticatedClient(daemon.url, token=daemon.home.token()) as client:

        async def call(id: str, *arguments: str, **options: Any) -> Any:
            return await operation(id).asyncio(*arguments, client=client, **options)

        made = await call("create_thread", body=models.NewThread(title="Generated"))
        assert isinstance(made, models.Thread) and made.title == "Generated"
        taken = await call(
            "send_message", made.id, body=models.NewMessage(content="hello"), idempotency_key="k"
        )
        assert (taken.status, bool(taken.id)) == ("accepted", True)
        await daemon.said(made.id, "hello")
        found = await call("get_thread", made.id)
        assert isinstance(found, models.DescribedThread) and found.usage.input_ > 0
        listed = await call("list_threads", limit=10)
        assert [(row.id, row.prompts) for row in listed.threads] == [(made.id, 0)]
        history = await call("list_entries", made.id)
        assert [entry.kind for entry in history.entries] == ["user", "user", "turn"]
        assert history.entries[2].assistant[0].additional_properties["type"] == "text"
        assert (await call("get_health")).status == "ok"
        missing = await call("get_thread", "nobody")
        assert isinstance(missing, models.Error) and missing.error.code == "not_found"
        assert (await call("delete_thread", made.id)).id == made.id


def test_a_client_of_the_functions_can_be_generated(tmp_path: Path) -> None:
    name = generated(tmp_path, Part.API)
    assert (tmp_path / name / "api" / "default" / "list_events.py").exists()
