"""Every example, run as its README says, while its parts are killed: subscriptions go on, results arrive, nothing comes twice."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import pytest
from aiohttp import web
from tests.crash.watch import Watch
from tests.e2e.stage import EXAMPLES, PATIENCE, REAL, Stage, event_texts, eventually, is_event, spoken, stage
from tests.e2e.user_pytest import run_pytest
from tests.ports import free_port

from infinity.demo.github_events import GitHub, body_of

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/README.md"))
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
    children = (await made.get("/v1/threads", parent=thread, limit="200"))["threads"]
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


PIPELINE = "for n in $(seq 1 40); do echo step $n; sleep 0.1; done; exit 3"


@pytest.mark.trap("L15", "L19")
async def test_a_pipeline_s_output_arrives_complete_and_once_though_everything_is_killed(
    tmp_path: Path,
) -> None:
    async with stage("ci_pipeline", tmp_path, CI_TEST=PIPELINE) as made:
        watch = await made.thread("Run the tests, please.")
        await watch.until(is_event("step 1\n"), "first output")
        await made.kill_server("ci")
        await made.kill_daemon()
        await made.kill_server("ci")
        ended = await watch.until(is_event("has ended"), "end of the pipeline")
        assert "exit status 3" in str(ended.data)
        output = "".join(event_texts(watch)).partition("\nThe pipeline")[0]
        assert output.split("\n")[:40] == [f"step {number}" for number in range(1, 41)]
        assert len(list((made.folder / "runs").iterdir())) == 1, "the command was started once"
        assert await watch.noted("subscription", active=False)


@pytest.mark.trap("L13", "L15", "R6")
async def test_research_that_is_killed_again_and_again_ends_with_one_report(tmp_path: Path) -> None:
    folder = tmp_path / "research"
    shutil.copytree(EXAMPLES / "research", folder)
    for lines in (1, 3, 5):
        said, status = await research(folder, lines=lines)
        assert status == -signal.SIGKILL, said
        await research(folder, seconds=random.uniform(0.1, 0.8))
    said, status = await research(folder)
    assert status == 0, said
    assert said.count("  thread ") == 3, "no child was made twice"
    report = (folder / "report.md").read_text()
    assert [report.count(f"On {subject}: ") for subject in ("journals", "queues", "agents")] == [1, 1, 1]
    again, status = await research(folder)
    assert (again, status) == (said, 0), "what has ended is told again and does not happen again"


async def research(folder: Path, *, lines: int = 0, seconds: float = PATIENCE) -> tuple[str, int]:
    """One run of it, killed after so many lines or seconds; what it said and how it ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "agent.py", *(["--real"] if REAL else [])), cwd=folder, stdout=PIPE, stderr=STDOUT
    )
    assert process.stdout is not None
    timer = asyncio.get_running_loop().call_later(seconds, process.kill)
    said = b""
    async for line in process.stdout:
        said += line
        if lines and said.count(b"\n") == lines:
            process.kill()
    status = await process.wait()
    timer.cancel()
    return said.decode(), status


async def test_a_feed_wakes_the_agent_at_its_thresholds_only_and_once_each(tmp_path: Path) -> None:
    module = load("prices", "feed")
    exchange = module.Exchange(interval=0.02, last=160)
    async with served(exchange.application()) as url, stage("prices", tmp_path, PRICE_FEED=url) as made:
        trading = asyncio.create_task(exchange.trade())
        watch = await made.thread("Watch ACME between 95 and 105.")
        await watch.until(is_event("above"), "first crossing")
        await made.kill_server("prices")
        await made.kill_daemon()
        await watch.until(is_event("below"), "crossing to the other side")
        await made.kill_server("prices")
        await trading
        expected = crossings([module.price(number) for number in range(1, 161)], 95, 105)
        await watch.until(is_event(f"at tick {expected[-1]}"), "last crossing")
        assert [int(text.rpartition(" ")[2]) for text in event_texts(watch)] == expected
        assert watch.turns() <= len(expected) + 2, "160 ticks, and the model was asked for crossings only"


def crossings(prices: list[float], low: float, high: float) -> list[int]:
    """The numbers of the ticks at which the price got above, below or back."""
    places = [0, *((price > high) - (price < low) for price in prices)]
    return [number for number in range(1, len(places)) if places[number] != places[number - 1]]


@pytest.mark.trap("L15", "S1")
async def test_an_approval_comes_by_link_or_command_line_after_restarts_and_counts_once(
    tmp_path: Path,
) -> None:
    port = free_port()
    desk_at = {"APPROVAL_SECRET": "s3cret", "APPROVAL_DESK": f"http://127.0.0.1:{port}"}
    async with stage("approval", tmp_path, **desk_at) as made, program(made, "desk.py", DESK_PORT=str(port)):
        watch = await made.thread("Please deploy 1.4.2.")
        await watch.noted("prompt")
        link = (made.folder / "links.log").read_text().split()[1]
        await eventually(lambda: shows(link, "Deploy 1.4.2 to production?"), "page of the desk")
        await made.kill_daemon()
        await made.kill_server("deployments")
        forged = link[:-4] + ("0000" if not link.endswith("0000") else "1111")
        async with aiohttp.ClientSession() as http, http.post(forged, data={"selected": "0"}) as response:
            assert response.status == 403
        await eventually(
            lambda: shows(link, "Deploy 1.4.2 to production?"), "the same question after restarts"
        )
        await until_decided(watch, "1.4.2 is deployed", lambda: press(link, 0))

        await made.say(watch.thread, "Now deploy 1.5.0.")
        await until_decided(watch, "1.5.0 was not deployed", lambda: choose(made, watch.thread, 1))
        assert (made.folder / "deployments.log").read_text().count("\n") == 1


async def until_decided(watch: Watch, said: str, decide: Callable[[], Awaitable[None]]) -> None:
    """Decide as often as it is asked: a server that was killed between question and answer asks again."""

    async def decided() -> bool:
        if said in spoken(watch):
            return True
        await decide()
        return False

    await eventually(decided, f"{said!r}")


async def shows(link: str, text: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(link) as response:
            return text in await response.text()
    except aiohttp.ClientError:
        return False


async def press(link: str, selected: int) -> None:
    async with aiohttp.ClientSession() as http, http.post(link, data={"selected": str(selected)}) as response:
        assert response.status in (200, 503), await response.text()


async def choose(made: Stage, thread: str, selected: int) -> None:
    command = Path(sys.executable).with_name("infinity")
    process = await asyncio.create_subprocess_exec(
        *(command, "choose", thread, str(selected)), env=made.environment, stdout=DEVNULL, stderr=DEVNULL
    )
    await process.wait()  # it fails while there is no question


class Program:
    """One of the example's own programs."""

    def __init__(self, made: Stage, file: str, **environment: str) -> None:
        self._made = made
        self._file = file
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self._made.home.path / "output.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, self._file),
                cwd=self._made.folder,
                env={**self._made.environment, **self._environment},
                stdout=output,
                stderr=output,
            )

    async def stop(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL, and a new one in its place."""
        await self.stop()
        await self.start()


@asynccontextmanager
async def program(made: Stage, file: str, **environment: str) -> AsyncIterator[Program]:
    run = Program(made, file, **environment)
    await run.start()
    try:
        yield run
    finally:
        await run.stop()


@asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def load(example: str, name: str) -> Any:
    """A module of an example, which is in no package."""
    spec = spec_from_file_location(f"{example}_{name}", EXAMPLES / example / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeSlack:
    """As much of Slack's Web API as the bridge uses. ``messages``: what was posted."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refusals = 0
        """How many posts are kept, and answered with a lost connection."""

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/chat.postMessage", self._post)
        application.router.add_post("/conversations.replies", self._replies)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        self.messages.append(await request.json())
        if self.refusals:
            self.refusals -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"ok": True})

    async def _replies(self, request: web.Request) -> web.Response:
        thread = (await request.json())["ts"]
        found = [message for message in self.messages if message["thread_ts"] == thread]
        return web.json_response({"ok": True, "messages": found})

    def texts(self, thread: str) -> list[str]:
        return [message["text"] for message in self.messages if message["thread_ts"] == thread]


def mention(event_id: str, text: str, *, ts: str, thread: str | None = None) -> bytes:
    event = {"type": "app_mention", "user": "U1", "channel": "C1", "text": text, "ts": ts}
    if thread is not None:
        event["thread_ts"] = thread
    return json.dumps({"type": "event_callback", "event_id": event_id, "event": event}).encode()


async def send_as_slack(url: str, body: bytes, *, age: int = 0, secret: str = SECRET) -> int:
    stamp = str(int(time.time()) - age)
    signature = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={signature}"}
    async with aiohttp.ClientSession() as http:
        try:
            async with http.post(f"{url}/slack/events", data=body, headers=headers) as response:
                return response.status
        except aiohttp.ClientError:
            return 0


@pytest.mark.trap("S8", "R3", "G5")
async def test_slack_threads_go_on_over_crashes_and_every_message_is_answered_once(tmp_path: Path) -> None:
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

        async with program(made, "bridge.py", **settings) as bridge:
            first = mention("Ev1", "one", ts="1.1")
            await eventually(lambda: taken(first), "answer of the bridge")
            assert await send_as_slack(url, first, age=600) == 401
            assert await send_as_slack(url, first, secret="guessed") == 401
            await eventually(lambda: replied(slack, "1.1", "You said: one"), "first reply")
            slack.refusals = 1
            assert await taken(mention("Ev2", "two", ts="1.2", thread="1.1"))
            await eventually(lambda: replied(slack, "1.1", "You said: two"), "reply whose answer was lost")
            await bridge.stop()
        async with program(made, "bridge.py", **settings):
            await made.kill_daemon()
            for body in (
                first,
                mention("Ev3", "three", ts="1.3", thread="1.1"),
                mention("Ev4", "new", ts="2.1"),
            ):
                await eventually(partial(taken, body), "answer of the new bridge")
            await eventually(lambda: replied(slack, "1.1", "You said: three"), "reply after the crash")
            await eventually(lambda: replied(slack, "2.1", "You said: new"), "reply in the other thread")
    assert slack.texts("1.1") == ["You said: one", "You said: two", "You said: three"]
    assert slack.texts("2.1") == ["You said: new"]


async def replied(slack: FakeSlack, thread: str, text: str) -> bool:
    return text in slack.texts(thread)


def test_the_tests_of_the_guide_pass_in_a_pytest_of_their_own(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "testing", tmp_path / "testing")
    ran = run_pytest(tmp_path / "testing")
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_starts_in_few_commands_and_is_short_enough_to_copy(folder: Path) -> None:
    start = (folder / "README.md").read_text().split("```sh\n")[1].split("```")[0]
    # A deployment begins switched off: the database is prepared before it starts.
    assert len(start.splitlines()) == (3 if folder.name == "lambda" else 2)
    for program in folder.glob("*.py"):
        assert len(program.read_text().splitlines()) <= 150, program.name
