"""Conversations that arrive: complete and in order, or not at all (I1, MIG-2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.slice.scenes import Streaming, World

from infinity.abc import INCOMPLETE, Status
from infinity.local.moving.arrivals import Arrivals
from infinity.stamps import is_stamp
from infinity.testing.replies import say
from infinity.testing.tool_server import ToolServer


async def _nobody(_: str) -> None:
    return


async def exported(path: Path) -> tuple[str, Path]:
    """A conversation with a queued message, in a file."""
    old = await World(path / "old.db").start()
    streaming = Streaming("thinking", say("never"))
    old.model.then(streaming)
    thread = await old.thread("FIRST")
    await streaming.started.wait()
    await old.runtime.retire(thread, "exported")
    await old.store.export_tree(thread, str(path / "tree.db"))
    await old.close()
    return thread, path / "tree.db"


@pytest.mark.rap("MIG-2", "THR-1")
async def test_what_is_queued_in_a_file_goes_before_what_is_said_while_it_is_imported(
    tmp_path: Path, server: ToolServer
) -> None:
    thread, file = await exported(tmp_path)
    new = await World(tmp_path / "new.db", servers=[server]).start()
    new.model.then(say("one"), say("two"))
    arrivals = Arrivals(new.runtime, _nobody)
    real, fetching, go_on = new.runtime.reload_tools, asyncio.Event(), asyncio.Event()

    async def slow(root: str) -> Any:
        fetching.set()
        await go_on.wait()
        return await real(root)

    new.runtime.reload_tools = slow  # type: ignore[method-assign]
    taking = asyncio.create_task(arrivals.take_in(file))
    await fetching.wait()
    assert arrivals.resting(thread)
    assert (await new.runtime.send(thread, "SECOND", key="second")).status is Status.MOVED
    go_on.set()
    await taking
    assert (await new.runtime.send(thread, "SECOND", key="second")).status is Status.ACCEPTED
    await new.said(thread, "one")
    await new.settled(thread)
    users = [entry["user"] for entry in await new.history(thread) if entry["kind"] == "user"][1:]
    said = [block["text"] for user in users for block in user if not is_stamp(block)]
    assert said == ["FIRST", "SECOND"] and not arrivals.resting(thread)
    await new.close()


@pytest.mark.rap("MIG-2")
@pytest.mark.parametrize("record", ["imported", "arriving"])
async def test_what_came_only_in_part_before_a_crash_is_removed_at_the_next_start(
    tmp_path: Path, record: str
) -> None:
    thread, file = await exported(tmp_path)
    new = await World(tmp_path / "new.db").start()
    await new.store.import_tree(str(file), resting=INCOMPLETE)
    await new.store.put_meta(f"moving.{record}", msgspec.json.encode([thread]))
    arrivals = Arrivals(new.runtime, _nobody)
    await arrivals.recover()
    assert await new.store.thread(thread) is None and not arrivals.resting(thread)
    await new.close()


@pytest.mark.rap("MIG-2")
async def test_a_tree_that_rests_for_another_reason_is_left_alone_at_a_start(tmp_path: Path) -> None:
    thread, file = await exported(tmp_path)
    new = await World(tmp_path / "new.db").start()
    await new.store.import_tree(str(file), resting="it was exported to a file")
    await new.store.put_meta("moving.imported", msgspec.json.encode([thread]))
    await Arrivals(new.runtime, _nobody).recover()
    assert await new.store.retired(thread) == "it was exported to a file"
    await new.close()
