"""Functions of the agent's own process on the cloud host: their results are kept, and only the recording is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.world import CloudWorld

from infinity import tool
from infinity.cloud.store import CloudStore
from infinity.errors import StoreError
from infinity.message import Kind
from infinity.testing.replies import call, say, texts

runs: list[int] = []


@tool
async def send_mail() -> str:
    """Send a mail."""
    runs.append(1)
    return b"caf\xe9.txt sent".decode("utf-8", "surrogateescape")


@pytest.fixture
async def mailing(tmp_path: Path) -> AsyncIterator[CloudWorld]:
    runs.clear()
    world = CloudWorld(tmp_path / "infinity.db")
    world.agent = replace(world.agent, tools=[send_mail])
    await world.start()
    world.model.then(call(("send_mail", {})), say("done"))
    yield world
    await world.close()


@pytest.mark.trap("R10")
async def test_a_text_that_cannot_be_written_is_put_right_and_the_function_runs_once(
    mailing: CloudWorld,
) -> None:
    thread = await mailing.thread("go")
    await mailing.said(thread, "done")
    assert "caf\ufffd.txt sent" in texts(mailing.model.requests[1]["messages"][-1])
    assert len(runs) == 1


@pytest.mark.trap("R10")
async def test_a_result_that_cannot_be_queued_for_a_while_is_kept(
    mailing: CloudWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = CloudStore.accept, 0

    async def accept(store: CloudStore, message: Any, *rest: Any) -> Any:
        nonlocal tries
        if message.kind == Kind.RESULT and (tries := tries + 1) <= 3:
            raise StoreError("the database does not answer")
        return await real(store, message, *rest)

    monkeypatch.setattr(CloudStore, "accept", accept)
    thread = await mailing.thread("go")

    def tried() -> bool:
        """No more time passes than the next try waits for: on a busy machine a function's time must not run out."""
        due = mailing.clock.next_due()
        if tries < 4 and due is not None and due - mailing.clock.now() <= 10_000:
            mailing.clock.advance(max(0, due - mailing.clock.now()) / 1000)
        return tries == 4

    await mailing.until(tried)
    await mailing.said(thread, "done")
    assert len(runs) == 1
    assert tries == 4
