"""The demo's story, step by step.

Everything in it is real but the model: the daemon, the crash, the tools, GitHub's webhook bodies.
``infinity demo`` calls ``run``, which ends with counts from outside: what the senders had accepted against
what history holds.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infinity.demo.daemon import Daemon
from infinity.demo.github_events import GitHub
from infinity.demo.rest import Rest
from infinity.demo.script import ASK, CHAT
from infinity.demo.tally import Tally
from infinity.demo.timeline import Timeline
from infinity.demo.tool_process import ToolProcess
from infinity.demo.watcher import Entry, Watcher, texts
from infinity.demo.wire import Delivery, Wire
from infinity.errors import InfinityError
from infinity.ports import free_port

SCRIPTED = "scripted/demo"
SETTLE, SETTLE_TRIES = 0.3, 10
SIGNING_IN = 60.0
"""Seconds that the story waits for a page of the console; the code in its address is good for as long."""
MEASURE = 2.0

CONFIG = """\
[agent]
instructions = "You look after a small software project. Be brief."

[models]
default = "{model}"

[models.providers.scripted]
script = "infinity.demo.script:script"
pace = 0.01

[toolsets.tests]
url = "{tests}"

[toolsets.repository]
url = "{repository}"
"""


def run(
    *,
    home: Path | None = None,
    model: str = SCRIPTED,
    port: int | None = None,
    show: Callable[[str], None] | None = None,
) -> int:
    """Tell the whole story.

    Args:
        home: Where everything is kept; ``None`` is a temporary directory.
        model: ``provider/model``; scripted by default.
        port: Of the daemon; ``None`` takes a free one.
        show: Opens an address of the console, before the story begins. Everything is kept then, and the daemon
            runs on, until Ctrl-C.

    Returns:
        0 if everything that was accepted is in the history exactly once, else 1.
    """
    timeline = Timeline()
    with ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="infinity-demo-")))
        timeline.heading("An agent that is killed in the middle of its work, and loses nothing.")
        try:
            story = Story.set_up(stack, timeline, home, model, port)
            if show is not None:
                story.show(show)
            story.tell()
            tally = story.tally()
        except (TimeoutError, InfinityError, httpx.HTTPError) as error:
            # Everything that can go wrong in a step; anything else is a mistake in the demo itself, and shows
            # its traceback.
            timeline.verdict(f"The demo stopped: {error}", good=False)
            log = home / "daemon" / "output.log"
            if log.exists():
                timeline.plain(f"The daemon's last words ({log}):\n{log.read_text(errors='replace')[-2000:]}")
            return 1
        # The duplicates must have happened, or the count would prove nothing.
        good = tally.lost == 0 and tally.repeated == 0 and tally.duplicates >= 2
        timeline.plain()
        timeline.verdict(tally.line(), good=good)
        if show is not None:
            _linger(timeline, story.daemon)
    return 0 if good else 1


def _linger(timeline: Timeline, daemon: Daemon) -> None:
    """Keep everything as it is until Ctrl-C."""
    timeline.plain(
        f"The console stays open at {daemon.address}; talk to the agent there. Ctrl-C ends everything."
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        timeline.plain()


@dataclass(slots=True)
class Story:
    """What takes part in one run. ``said`` collects the ids and texts of messages that the daemon accepted."""

    timeline: Timeline
    daemon: Daemon
    wire: Wire
    tests: ToolProcess
    repository: ToolProcess
    github: GitHub
    thread: str
    watcher: Watcher
    patience: float
    said: list[tuple[str, str]] = field(default_factory=list)

    @staticmethod
    def set_up(stack: ExitStack, timeline: Timeline, home: Path, model: str, port: int | None) -> Story:
        """Start everything that the story needs.

        Args:
            stack: Ends it all again, in the opposite order.
            timeline: Where the story is told.
            home: A directory for the daemon and the tool servers.
            model: ``provider/model``.
            port: Of the daemon; ``None`` takes a free one.
        """
        secret, port = secrets.token_hex(16), port or free_port()
        tests = ToolProcess("tests", "infinity.demo.tests_server", home / "tests", timeline)
        repository = ToolProcess(
            "repo",
            "infinity.demo.repository_server",
            home / "repository",
            timeline,
            GITHUB_WEBHOOK_SECRET=secret,
        )
        stack.enter_context(tests)
        stack.enter_context(repository)
        wire = stack.enter_context(
            Wire(f"http://127.0.0.1:{port}", lambda delivery: _show(timeline, delivery))
        )
        config = CONFIG.format(model=model, tests=tests.url, repository=repository.url)
        daemon = stack.enter_context(Daemon(home / "daemon", config, port=port, public_url=wire.url))
        timeline.plain(f"home {home} · daemon {daemon.address} · model {model}\n")
        thread = daemon.post("/v1/threads", {"title": "demo"})["id"]
        watcher = Watcher(daemon, thread, timeline)
        stack.callback(watcher.close)
        github = GitHub(f"{repository.url}/webhook", secret.encode())
        # A real model takes its time, and may think before each answer.
        patience = 20.0 if model == SCRIPTED else 180.0
        return Story(timeline, daemon, wire, tests, repository, github, thread, watcher, patience)

    def show(self, opened: Callable[[str], None]) -> None:
        """Open the conversation in the console, and wait until a page has it.

        Args:
            opened: Opens an address, or says it.
        """
        before = self._streams()
        code = self.daemon.post("/v1/console/codes", {})["code"]
        opened(f"{self.daemon.address}/t/{self.thread}#code={code}")
        end = time.monotonic() + SIGNING_IN
        # The page listens to all conversations and to this one.
        while self._streams() < before + 2:
            if time.monotonic() > end:
                self.timeline.plain("No page of the console was opened; the story begins without one.")
                return
            time.sleep(SETTLE)

    def _streams(self) -> int:
        lines = self.daemon.client().get("/metrics").text.splitlines()
        return int(
            float(next(line for line in lines if line.startswith("infinity_event_streams ")).split()[-1])
        )

    def tell(self) -> None:
        """Everything in order. Each step waits for what it has caused, and for no moment."""
        self.ask()
        self.rest()
        self.chat()
        self.crash()
        self.recover()
        self.webhook()

    def ask(self) -> None:
        self.timeline.begin()
        self.say(ASK)
        self.wire.repeat = self.tests.until("invoked", self.patience)["id"]
        self.repository.until("invoked", self.patience)

    def rest(self) -> None:
        """A call is open and a test suite is running. Meanwhile the daemon does nothing, as the kernel sees
        it (I9).
        """
        before = self._settled()
        time.sleep(MEASURE)
        after = Rest.of(self.daemon.pid)
        if before is None or after is None:
            self.timeline.line("rest", "this system does not tell what a process does while it rests")
            return
        rest = after.since(before)
        self.timeline.line(
            "rest",
            f"the daemon over the last {MEASURE:g} s: {rest.cpu_ns / 1e6:.1f} ms of CPU, "
            f"{rest.switches} context switches in {rest.threads} threads",
        )

    def _settled(self) -> Rest | None:
        """Once the daemon has nothing to do any more: acknowledgements and the last commit have their time,
        however slow the machine.
        """
        before = Rest.of(self.daemon.pid)
        for _ in range(SETTLE_TRIES):
            time.sleep(SETTLE)
            now = Rest.of(self.daemon.pid)
            if now == before:
                break
            before = now
        return before

    def chat(self) -> None:
        """Talking while a tool runs: the agent answers, the tool goes on (L4). Sent twice, it counts once
        (I3).
        """
        turns = _turns(self.watcher.entries)
        key = self.say(CHAT)
        self.until(lambda entries: _turns(entries) > turns, "the agent's answer")
        # The daemon has answered already, so that this one can only be a repeat.
        self.say(CHAT, key=key)

    def crash(self) -> None:
        pid = self.daemon.pid
        self.daemon.kill()
        self.timeline.line(
            "kill -9", f"the daemon (pid {pid}) is gone; the tests run on, nobody waits for them"
        )
        # The tests end while nobody listens: their result meets a daemon that is away, and must not be lost
        # (L3).
        self.wire.until(
            lambda seen: any(each.status == 0 or each.again for each in seen),
            self.patience,
            "the end of the tests",
        )

    def recover(self) -> None:
        seconds = self.daemon.start()
        self.timeline.line("daemon", f"started again (pid {self.daemon.pid}), ready after {seconds:.1f} s")
        self.wire.until(
            lambda seen: any(each.again for each in seen), self.patience, "the delivery of the result"
        )
        self.until(lambda entries: _answered(entries, "run_tests"), "the agent's word on the tests")

    def webhook(self) -> None:
        delivery = str(uuid.uuid4())
        self.timeline.line("github", f"delivers pull_request.opened to the webhook, delivery {delivery}")
        self.github.deliver("pull_request.opened", delivery)
        self.until(lambda entries: _answered(entries, "watch_repo"), "the agent's word on the pull request")

    # what the steps do

    def say(self, text: str, *, key: str | None = None) -> str:
        """As the user, under an Idempotency-Key; with one that was used before, the same message once more."""
        if key is None:
            self.timeline.line("you", text)
        else:
            self.timeline.line("again", "the same message is sent once more, under the same Idempotency-Key")
        key = key or secrets.token_hex(8)
        self.daemon.post(f"/v1/threads/{self.thread}/messages", {"content": text}, key=key)
        self.said.append((key, text))
        return key

    def until(self, enough: Callable[[list[Entry]], bool], what: str) -> None:
        """Wait until the history satisfies a condition. ``what`` is for the error if it does not in time."""
        self.watcher.until(enough, self.patience, what)

    def tally(self) -> Tally:
        entries = self.daemon.get(f"/v1/threads/{self.thread}/entries", limit=1000)["entries"]
        events = self.wire.accepted("subscription_event")
        return Tally(self.said, self.wire.accepted("tool_result"), events, entries)


def _show(timeline: Timeline, delivery: Delivery) -> None:
    what = "a result" if delivery.type == "tool_result" else "an event"
    if delivery.status == 0:
        timeline.line("wire", f"{what} arrives and the daemon is down; its sender keeps it and tries again")
    elif delivery.again:
        timeline.line("again", f"the same result is posted once more; the daemon answers {delivery.status}")
    else:
        timeline.line("wire", f"{what} arrives; the daemon answers {delivery.status}")


def _turns(entries: list[Entry]) -> int:
    return sum(entry["kind"] == "turn" for entry in entries)


def _answered(entries: list[Entry], tool: str) -> bool:
    """The agent has spoken, and called nothing, after the last news from this tool."""
    news = [number for number, entry in enumerate(entries) if _is_news(entry, tool)]
    if not news or entries[-1]["kind"] != "turn":
        return False
    last = entries[-1]["assistant"]
    silent = not any(block["type"] == "tool_use" for block in last)
    return len(entries) - 1 > news[-1] and silent and bool(texts(last))


def _is_news(entry: Entry, tool: str) -> bool:
    """An event about a call of this tool, or its result if the conversation had not gone on without it."""
    if entry["kind"] == "event":
        return any(
            block["input"].get("original_tool_name") == tool
            for block in entry["assistant"]
            if block["type"] == "tool_use"
        )
    return entry["kind"] == "result" and tool == "run_tests" and entry["meta"].get("tool") == tool
