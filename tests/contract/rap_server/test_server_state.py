"""The kit for tool servers: its state file, an address that is taken, parameters that have no schema."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from infinity.errors import ConfigError
from infinity.rap.server import Limits, Toolset, ToolsetServer
from infinity.rap.server.store import VERSION

from .conftest import FakeRuntime
from .test_functions import one_tool, served

OLD = """
CREATE TABLE invocations (thread TEXT NOT NULL, id TEXT NOT NULL, operation TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
  events INTEGER NOT NULL DEFAULT 0, accepted_at REAL NOT NULL, PRIMARY KEY (thread, id)) WITHOUT ROWID;
CREATE TABLE callbacks (place INTEGER PRIMARY KEY AUTOINCREMENT, thread TEXT NOT NULL, id TEXT NOT NULL, url TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE event_ids (place INTEGER PRIMARY KEY AUTOINCREMENT, thread TEXT NOT NULL, id TEXT NOT NULL, event_id TEXT NOT NULL,
  UNIQUE (thread, id, event_id));
PRAGMA user_version = 1;
"""


async def test_state_of_the_first_version_is_still_read(runtime: FakeRuntime, state: Path) -> None:
    database = sqlite3.connect(state)
    database.executescript(OLD)
    message = {"type": "tool_result", "group_id": "t", "id": "call_old", "text": "kept"}
    row = ("t", "call_old", runtime.callback_url, json.dumps(message).encode())
    database.execute("INSERT INTO callbacks (thread, id, url, body) VALUES (?, ?, ?, ?)", row)
    database.commit()
    database.close()
    async with served(one_tool(lambda: "done"), state):
        assert (await runtime.called_back())["text"] == "kept"
    database = sqlite3.connect(state)
    assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
    database.close()


async def test_a_server_that_cannot_listen_lets_go_of_its_state(
    runtime: FakeRuntime, state: Path, tmp_path: Path
) -> None:
    tools = one_tool(lambda: "done")
    async with served(tools, tmp_path / "other.db") as first:
        port = int(first.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await ToolsetServer(tools, state, port=port).start()
    async with served(tools, state) as server:
        assert await runtime.invoke(server.base_url, "do") == 200
        assert (await runtime.called_back())["text"] == "done"


# what is wrong with a toolset is told when it is written


def test_parameters_without_a_json_schema_are_refused_by_name() -> None:
    class Thing: ...

    def take(thing: Thing) -> None:
        """Takes."""

    take.__annotations__["thing"] = Thing
    with pytest.raises(ConfigError, match=r"take.*no JSON schema"):
        Toolset("t").tool(take)
    with pytest.raises(ConfigError, match="timeout"):
        Toolset("t").tool(timeout=0)(take)
    with pytest.raises(ConfigError, match="above zero"):
        Limits(concurrent=0)
    with pytest.raises(ConfigError, match="token"):
        ToolsetServer(Toolset("t"), "x.db", token=" ")
    with pytest.raises(ConfigError, match="public URL"):
        ToolsetServer(Toolset("t"), "x.db", public_url="tools.example")


async def test_parameters_may_have_any_name(runtime: FakeRuntime, state: Path) -> None:
    def take(schema: str, copy: int, model_id: str) -> str:
        """Takes."""
        return f"{schema} {copy} {model_id}"

    async with served(one_tool(take), state) as server:
        arguments = {"schema": "a", "copy": 1, "model_id": "m"}
        await runtime.invoke(server.base_url, "do", arguments=arguments)
        assert (await runtime.called_back())["text"] == "a 1 m"
