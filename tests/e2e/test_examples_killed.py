"""The examples while their servers and the daemon are killed at random moments; then what happened is counted where it happened. So with MCP.

``INFINITY_SEED``: another run, the seed of which is printed. ``make sweep`` kills many times (``INFINITY_KILLS``), other runs a few.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from uuid import UUID

import aiohttp
import psutil
import pytest
from tests.contract.mcp.conftest import SCRIPT
from tests.crash.watch import Watch
from tests.e2e.stage import Stage, entries, event_texts, eventually, is_event, spoken, stage
from tests.e2e.test_examples import (
    SECRET,
    FakeSlack,
    crossings,
    deliver,
    load,
    mention,
    press,
    program,
    rested,
    send_as_slack,
    served,
)
from tests.ports import free_port

from infinity.stamps import is_stamp

FULL = os.environ.get("INFINITY_SWEEP") == "full"
KILLS = max(2, int(os.environ.get("INFINITY_KILLS", "200")) // 5) if FULL else 2
"""For each example."""
BETWEEN = (0.0, 0.6)
"""Seconds from the end of one restart to the next kill."""
SEED = int(os.environ.get("INFINITY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture
def dice() -> random.Random:
    print(f"INFINITY_SEED={SEED}")
    return random.Random(SEED)


@asynccontextmanager
async def killing(
    dice: random.Random, *kills: Callable[[], Awaitable[None]]
) -> AsyncIterator[asyncio.Task[None]]:
    """One of ``kills`` at a time, at random moments, ``KILLS`` of them; yields the task that does it."""

    async def go_on() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(*BETWEEN))
            await dice.choice(kills)()

    task = asyncio.create_task(go_on())
    try:
        yield task
        await task
    finally:
        task.cancel()
        await asyncio.wait((task,))


def both(made: Stage, server: str) -> tuple[Callable[[], Awaitable[None]], ...]:
    """The daemon, the tool server, or one right after the other."""

    async def one_after_the_other() -> None:
        await made.kill_server(server)
        await made.kill_daemon()

    return made.kill_daemon, partial(made.kill_server, server), one_after_the_other


async def tell(made: Stage, thread: str, text: str, key: str) -> None:
    """As a client that minds crashes does: the same key, until it is accepted."""

    async def accepted() -> bool:
        try:
            headers = {"Idempotency-Key": key}
            path = f"/v1/threads/{thread}/messages"
            async with made.http.post(path, json={"content": text}, headers=headers) as response:
                return response.status in (200, 201)
        except (aiohttp.ClientError, OSError):
            return False

    await eventually(accepted, f"acceptance of {text!r}")


@pytest.mark.trap("R3", "R6", "L15")
async def test_github_s_events_are_told_once_each(tmp_path: Path, dice: random.Random) -> None:
    async with stage("github", tmp_path, GITHUB_WEBHOOK_SECRET=SECRET) as made:
        watch = await made.thread("Please watch Codertocat/Hello-World for pull requests and pushes.")
        await made.subscribed(watch)
        url = f"http://127.0.0.1:{made.ports[8811]}/webhook"
        deliveries: list[tuple[str, str]] = []
        async with killing(dice, *both(made, "github")) as kills:
            while not kills.done():
                name = dice.choice(("pull_request.opened", "push", "pull_request.closed"))
                deliveries.append((name, str(UUID(int=dice.getrandbits(128)))))
                await deliver(made, url, *deliveries[-1])
                await deliver(made, url, *dice.choice(deliveries))
                await asyncio.sleep(dice.uniform(0.0, 0.3))
        await eventually(partial(rested, made, watch.thread, len(deliveries)), "end of the events' threads")
        told = Counter(name for name, _ in deliveries)
        worth_telling = {"opened": told["pull_request.opened"], "closed": told["pull_request.closed"]}

        async def all_told() -> bool:
            return len(event_texts(watch)) >= sum(worth_telling.values())

        await eventually(all_told, f"{worth_telling} events")
        words = Counter(
            word for text in event_texts(watch) for word in worth_telling if f" {word} by" in text
        )
        assert words == +Counter(worth_telling)
        assert await made.subscribed(watch)


@pytest.mark.trap("L15", "L19")
async def test_a_pipeline_s_output_is_complete_and_comes_once(tmp_path: Path, dice: random.Random) -> None:
    steps = 25 * KILLS
    pipeline = f"for n in $(seq 1 {steps}); do echo step $n; sleep 0.05; done; exit 3"
    async with stage("ci_pipeline", tmp_path, CI_TEST=pipeline) as made:
        watch = await made.thread("Run the tests, please.")
        await watch.until(is_event("step 1\n"), "first output")
        async with killing(dice, *both(made, "ci")):
            pass
        ended = await watch.until(is_event("has ended"), "end of the pipeline")
        assert "exit status 3" in str(ended.data)
        output = "".join(event_texts(watch)).partition("\nThe pipeline")[0]
        assert output.split("\n")[:steps] == [f"step {number}" for number in range(1, steps + 1)]
        assert len(list((made.folder / "runs").iterdir())) == 1, "the command was started once"


async def test_a_feed_s_crossings_are_told_once_each(tmp_path: Path, dice: random.Random) -> None:
    module, last = load("prices", "feed"), 60 * KILLS
    exchange = module.Exchange(interval=0.02, last=last)
    async with served(exchange.application()) as url, stage("prices", tmp_path, PRICE_FEED=url) as made:
        watch = await made.thread("Watch ACME between 95 and 105.")
        await made.subscribed(watch)
        trading = asyncio.create_task(exchange.trade())
        async with killing(dice, *both(made, "prices")):
            pass
        await trading
        expected = crossings([module.price(number) for number in range(1, last + 1)], 95, 105)
        await watch.until(is_event(f"at tick {expected[-1]}"), "last crossing")
        assert [int(text.rpartition(" ")[2]) for text in event_texts(watch)] == expected


@pytest.mark.trap("L15")
async def test_what_is_approved_is_deployed_once(tmp_path: Path, dice: random.Random) -> None:
    port = free_port()
    desk_at = {"APPROVAL_SECRET": "s3cret", "APPROVAL_DESK": f"http://127.0.0.1:{port}"}
    async with stage("approval", tmp_path, **desk_at) as made, program(made, "desk.py", DESK_PORT=str(port)):
        thread = str((await made.post("/v1/threads", {}))["id"])
        watch, links, approved = made.watch(thread), made.folder / "links.log", []
        async with killing(dice, *both(made, "deployments")) as kills:
            for number in count(1):
                version = f"1.{number}.0"
                yes = dice.random() < 0.7
                approved += [version] if yes else []
                await tell(made, thread, f"Please deploy {version}.", version)
                said = f"{version} is deployed" if yes else f"{version} was not deployed"
                await eventually(partial(decided, watch, links, version, said, yes), f"{said!r}")
                if kills.done():
                    break
        # Nobody has to have said yes: then there is no such file.
        log = made.folder / "deployments.log"
        deployed = [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
        assert deployed == approved
        assert len(entries(watch, "turn")) == watch.turns()


async def decided(watch: Watch, links: Path, version: str, said: str, yes: bool) -> bool:
    """Pressed as often as the question is there; a server that was killed between question and answer asks again."""
    if said in spoken(watch):
        return True
    lines = links.read_text().splitlines() if links.exists() else []
    found = [line.split()[1] for line in lines if line.startswith(f"{version} ")]
    try:
        for link in found:
            await press(link, 0 if yes else 1)
    except aiohttp.ClientError:
        pass
    return False


@pytest.mark.trap("R3", "G5")
async def test_slack_s_messages_are_answered_once_each(tmp_path: Path, dice: random.Random) -> None:
    slack = FakeSlack()
    url = f"http://127.0.0.1:{(port := free_port())}"
    async with served(slack.application()) as api, stage("slack", tmp_path) as made:
        settings = {
            "SLACK_SIGNING_SECRET": SECRET,
            "SLACK_BOT_TOKEN": "x",
            "SLACK_API": api,
            "PORT": str(port),
        }

        async def taken(body: bytes) -> bool:
            return await send_as_slack(url, body) == 200

        expected: dict[str, list[str]] = {"1.1": [], "2.1": []}
        async with program(made, "bridge.py", **settings) as bridge:
            async with killing(dice, made.kill_daemon, bridge.kill) as kills:
                for number in count(1):
                    thread = dice.choice(list(expected))
                    body = mention(f"Ev{number}", f"word {number}", ts=f"{thread}{number}", thread=thread)
                    await eventually(partial(taken, body), "answer of the bridge")
                    expected[thread].append(f"You said: word {number}")
                    if dice.random() < 0.3:
                        await eventually(partial(taken, body), "answer to the retry")
                    await asyncio.sleep(dice.uniform(0.0, 0.4))
                    if kills.done():
                        break

            async def answered() -> bool:
                return all(len(slack.texts(thread)) >= len(said) for thread, said in expected.items())

            await eventually(answered, f"replies {expected}")
    assert {thread: slack.texts(thread) for thread in expected} == expected


@pytest.mark.trap("L15")
async def test_an_mcp_server_s_tool_is_called_once_and_every_call_answered(
    tmp_path: Path, dice: random.Random
) -> None:
    journal, folder = tmp_path / "journal", tmp_path / "project" / "counting"
    folder.mkdir(parents=True)
    arguments = json.dumps([SCRIPT, "stdio", "journal", str(journal)])
    text = f"[mcp_servers.counter]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"
    (folder / "infinity.toml").write_text(text)
    async with stage(folder, tmp_path) as made:
        thread = str((await made.post("/v1/threads", {}))["id"])
        watch, keys = made.watch(thread), []

        async def kill_mcp_server() -> None:
            """Below the bridge, which starts it again when it is needed."""
            bridge = psutil.Process(await made.server_pid("counter"))
            for process in bridge.children():
                process.kill()

        async with killing(dice, *both(made, "counter"), kill_mcp_server) as kills:
            for number in count(1):
                keys.append(f"k{number}")
                await tell(made, thread, f'/call count {{"key": "k{number}"}}', keys[-1])
                await eventually(partial(ended, watch, number), f"answer to call {number}")
                if kills.done():
                    break
        # However many of them were cut off, this one is not.
        keys.append("calm")
        await tell(made, thread, '/call count {"key": "calm"}', keys[-1])
        await eventually(partial(ended, watch, len(keys)), "answer to the last call")
        answers = results(watch)
        assert len(answers) == len(keys), "each call has one answer"
        noted = Counter(journal.read_text().split("\n"))
        assert [key for key in keys if noted[f"count {key}"] > 1] == [], "and none was made twice"
        for key, answer in zip(keys, answers, strict=True):
            if answer == f"counted {key}":
                assert noted[f"count {key}"] == 1
            else:
                assert answer.startswith("Error: "), answer
        assert answers[-1] == "counted calm"


async def ended(watch: Watch, number: int) -> bool:
    return len(results(watch)) >= number


def results(watch: Watch) -> list[str]:
    """Of the calls, in order."""
    found = []
    for entry in entries(watch, "result"):
        for block in entry["user"]:
            found.append("".join(part["text"] for part in block["content"] if not is_stamp(part)))
    return found
