"""Every example, run as its README says, while its parts are killed: subscriptions go on, results arrive, nothing comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.e2e.stage import Stage, event_texts, eventually, is_event, stage

from infinity.demo.github_events import GitHub, body_of

SECRET = "a secret between GitHub and us"


@pytest.mark.trap("S8", "R3", "R6")
async def test_github_events_are_told_once_though_everything_is_killed_and_redelivered(
    tmp_path: Path,
) -> None:
    async with stage("github", tmp_path, GITHUB_WEBHOOK_SECRET=SECRET) as made:
        watch = await made.thread("Please watch Codertocat/Hello-World for pull requests and pushes.")
        await made.subscribed(watch)
        url = f"http://127.0.0.1:{made.ports[8811]}/webhook"
        assert await asyncio.to_thread(deliver_unsigned, url) == [401, 401]

        delivered = {}
        for name in ("pull_request.opened", "push", "pull_request.closed"):
            delivered[name] = str(uuid4())
            await deliver(made, url, name, delivered[name])
            await made.kill_server("github") if name == "push" else await made.kill_daemon()
        for name, delivery in delivered.items():
            await deliver(made, url, name, delivery)

        await watch.until(is_event("opened"), "report of the opened pull request")
        await watch.until(is_event("closed by"), "report of the closed pull request")
        await watch.said("closed by")
        await eventually(lambda: rested(made, watch.thread, 3), "end of the three events' threads")
        assert len(event_texts(watch)) == 2, "a push is not worth telling, and nothing is told twice"


async def rested(made: Stage, thread: str, count: int) -> bool:
    """So many events have had a thread each, never more, and all are through."""
    children = (await made.get("/v1/threads", parent=thread))["threads"]
    assert len(children) <= count, "an event had two threads"
    return [child["status"] in ("closed", "idle") for child in children] == [True] * count


async def deliver(made: Stage, url: str, name: str, delivery: str) -> None:
    """As GitHub does: again, under the same id, until it is accepted."""

    async def accepted() -> bool:
        try:
            return await asyncio.to_thread(GitHub(url, SECRET.encode()).deliver, name, delivery) == 200
        except httpx.TransportError:
            return False

    await eventually(accepted, f"answer to the delivery of {name}")


def deliver_unsigned(url: str) -> list[int]:
    headers = {"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "forged"}
    body = body_of("pull_request.opened")
    wrong = {**headers, "X-Hub-Signature-256": "sha256=" + "0" * 64}
    return [httpx.post(url, content=body, headers=each, timeout=20).status_code for each in (headers, wrong)]
