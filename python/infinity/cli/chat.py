"""``infinity chat``: talk to an agent, see what it does, answer its questions.

``Chat`` puts together the keyboard, the thread's event stream and the transcript, each in a task of its
own. It talks to the daemon over HTTP only. Leaving changes nothing in the thread (L26), and what is typed
goes out under a key, so that a restart of the daemon in between neither loses nor doubles it (I3).
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .connection import check, find_daemon
from .daemon import ensure
from .display import dim, one_line, warn
from .exits import NOT_RUNNING, REFUSED, Failure
from .keyboard import Keyboard, kept_terminal
from .keys import missing
from .options import THREAD, home_option, the_home
from .stream import Event, follow, stream_client
from .transcript import ASLEEP, Transcript

if TYPE_CHECKING:
    import httpx

    from infinity.local.home import Home

__all__ = ["chat"]

TWICE = 3.0
"""Seconds within which a second Ctrl-C leaves."""
RETRIES = 40
EXCHANGES = 3
"""So many of the last ones are shown to who returns to a thread."""
RECALLED = 40
"""At most so many entries of them."""
CANCEL = "/cancel"
_LEAVE = frozenset({"/quit", "/exit"})
"""Lines that are for this program, in a terminal and where they are the whole line."""


class _Line(NamedTuple):
    text: str
    answers: tuple[str, int] | None
    """The question that was shown when the line was entered, and the choice that the line names."""


@click.command(
    epilog="Examples: infinity chat · infinity chat thread_1 · echo 'how are you' | infinity chat --new"
)
@click.argument("thread", type=THREAD, required=False)
@click.option("--new", is_flag=True, help="Begin a new thread (the default without THREAD).")
@click.option("--model", help="Model of the new thread.")
@click.option("--title", default="", help="Title of the new thread.")
@click.option("--user", metavar="ID", help="Who is talking.")
@click.option("--reasoning", is_flag=True, help="Show the model's reasoning.")
@home_option
def chat(
    thread: str | None, new: bool, model: str | None, title: str, user: str | None, reasoning: bool
) -> None:
    """Talk to THREAD, or to a new one. Starts the daemon in the background if none runs.

    Ctrl-C interrupts a running answer. Ctrl-C twice, Ctrl-D or /quit leaves; the thread stays and goes on, its open calls with it.
    /cancel cancels open calls. A question is answered by its number, or y or n where it offers both; everything else is said to the agent.
    A pasted text of several lines is one message.
    """
    if thread is not None and (new or model or title):
        raise click.UsageError("--new, --model and --title are for a new thread")
    home = the_home()
    ensure(home)
    with kept_terminal():
        asyncio.run(Chat(home, user, reasoning).run(thread, {"model": model, "title": title}))


class Chat:
    """One conversation on the screen. Leaving it, in whatever way, changes nothing in the thread (L26).

    Args:
        home: Of the daemon, which is found anew for each request: it may be restarted meanwhile.
        user: Who is talking; ``None`` says nobody.
        reasoning: Whether the model's reasoning is shown.
    """

    def __init__(self, home: Home, user: str | None, reasoning: bool) -> None:
        self._home = home
        self._user = user
        self._transcript = Transcript(self._write, reasoning=reasoning)
        self._lines: asyncio.Queue[_Line | None] = asyncio.Queue()
        self._leaving = asyncio.Event()
        self._signal: int | None = None
        self._interrupted_at = -TWICE
        self._quiet = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, thread: str | None, new: dict[str, Any]) -> None:
        """Talk until the user leaves, the thread is closed, or input ends and everything has settled.

        Args:
            thread: Its id; ``None`` begins a new one.
            new: What a new thread is made with: ``model`` and ``title``.

        Raises:
            Failure: if the daemon refuses or stays away for too long.
        """
        async with stream_client(self._home) as self._http:
            fresh = thread is None
            if thread is None:
                thread = (await self._post("/v1/threads", new, secrets.token_hex(16)))["id"]
            self._thread = self._transcript.thread = thread
            # The stream goes on exactly where this answer stands, so that nothing is shown twice or missing.
            cursor = await self._greet(fresh)
            keyboard = Keyboard(self._arrived, last=_LEAVE)
            if keyboard.interactive:
                self._take_signals()
            jobs = [
                asyncio.create_task(self._listen(cursor)),
                asyncio.create_task(self._talk(keyboard)),
                asyncio.create_task(self._wait_to_leave()),
            ]
            try:
                done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                for job in done:
                    job.result()
            finally:
                for job in (*jobs, *self._tasks):
                    job.cancel()
                await asyncio.gather(*jobs, *self._tasks, return_exceptions=True)
        self._transcript.line(dim(f"(left; it goes on without you: infinity chat {thread})"))
        # As a shell reports a program that was ended by a signal, although this one has left in an orderly
        # way.
        if self._signal is not None:
            sys.exit(128 + self._signal)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        # Only with a terminal: in a pipe Ctrl-C shall end the program as any other.
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            loop.add_signal_handler(ending, self._end, ending)

    def _end(self, ending: int) -> None:
        self._signal = ending
        self._leaving.set()

    async def _greet(self, fresh: bool) -> int:
        """Say which thread this is, what was said last and what is open; where its stream stands."""
        found = await self._get(f"/v1/threads/{self._thread}")
        self._transcript.line(dim(f"{found['id']} · {one_line(found['model'] or 'default model')}"))
        await self._tell_of_missing_keys()
        if not fresh:
            await self._recall(found["position"])
        self._transcript.catch_up(found)
        return int(found["cursor"])

    async def _tell_of_missing_keys(self) -> None:
        try:
            said = missing(await self._get("/v1/models"))
        except Failure:
            return
        if said is not None:
            self._transcript.line(warn(f"! {one_line(said)}"))

    async def _recall(self, position: int) -> None:
        """The exchanges before ``position``, which the stream goes on from."""
        after = max(position - RECALLED - 1, -1)
        path = f"/v1/threads/{self._thread}/entries?after={after}&limit=1000"
        entries = [each for each in (await self._get(path))["entries"] if each["position"] < position]
        # Exchanges are counted by what people said: an entry with the id of a message.
        said = [place for place, each in enumerate(entries) if "message_id" in each["meta"]]
        first = said[-EXCHANGES] if len(said) > EXCHANGES else 0
        self._transcript.recall(entries[first:], more=first > 0 or after >= 0)

    async def _listen(self, cursor: int) -> None:
        async with aclosing(follow(self._home, self._thread, str(cursor))) as events:
            async for event in events:
                self._transcript.show(event)
                if event.kind == "prompt" and event.data.get("prompt_kind") == "oauth":
                    self._begin(self._show_link(event.data["id"]))
                # Wakes ``_settled``, which decides by itself whether calls are still open.
                if not self._transcript.busy:
                    self._quiet.set()
                if self._transcript.closed:
                    return

    async def _show_link(self, prompt_id: str) -> None:
        """The address is nowhere but at the open prompt itself (OAU-1)."""
        for prompt in (await self._get(f"/v1/threads/{self._thread}"))["prompts"]:
            if prompt["id"] == prompt_id:
                self._transcript.show(Event(None, "prompt", {**prompt, "prompt_kind": prompt["kind"]}))

    def _arrived(self, text: str | None) -> None:
        """A line was entered. Whether it answers a question is decided now, by what is on the screen, not
        when its turn comes.
        """
        self._lines.put_nowait(None if text is None else _Line(text, self._transcript.answer(text)))

    async def _talk(self, keyboard: Keyboard) -> None:
        while (line := await self._lines.get()) is not None:
            word = line.text.strip()
            if keyboard.interactive and word in _LEAVE:
                return
            if keyboard.interactive and word == CANCEL:
                self._transcript.line(dim("(cancelling open calls)"))
                await self._interrupt(calls=True)
            elif word:
                await self._said(word, line.answers)
        if not keyboard.interactive:
            await self._settled()

    async def _said(self, text: str, answers: tuple[str, int] | None) -> None:
        try:
            if answers is not None and answers[0] in self._transcript.prompts:
                await self._post(f"/v1/threads/{self._thread}/choices/{answers[0]}", {"selected": answers[1]})
                return
            key = secrets.token_hex(16)
            self._quiet.clear()
            self._transcript.busy = True
            body = {"content": text} if self._user is None else {"content": text, "user_id": self._user}
            # The key makes a second try harmless when the first answer was lost (I3).
            self._transcript.sent.add(f"message.{key}")
            await self._post(f"/v1/threads/{self._thread}/messages", body, key)
        except Failure as failure:
            # What was refused (a limit, an answer that came too late) is told, and the conversation goes on.
            if failure.exit_code != REFUSED:
                raise
            self._transcript.line(f"! {one_line(failure.message)}")

    async def _settled(self) -> None:
        """Input has ended: stay while the agent or its tools work, not while it sleeps."""
        while self._transcript.busy or set(self._transcript.calls.values()) - {ASLEEP}:
            # Cleared first, so that only what comes from now on ends the wait.
            self._quiet.clear()
            await self._quiet.wait()

    async def _wait_to_leave(self) -> None:
        await self._leaving.wait()

    def _interrupted(self) -> None:
        """Ctrl-C: a running completion ends. What is open stays open: only ``/cancel`` gives it up."""
        now = asyncio.get_running_loop().time()
        if now - self._interrupted_at < TWICE:
            self._leaving.set()
            return
        self._interrupted_at = now
        if self._transcript.busy:
            self._transcript.line(dim("(interrupting; open calls go on; Ctrl-C again leaves)"))
            self._begin(self._interrupt(calls=False))
        elif self._transcript.calls:
            waiting = ", ".join(self._transcript.calls.values())
            self._transcript.line(dim(f"(still open: {waiting}; {CANCEL} cancels that; Ctrl-C again leaves)"))
        else:
            self._transcript.line(dim("(Ctrl-C again leaves)"))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _interrupt(self, *, calls: bool) -> None:
        try:
            path = f"/v1/threads/{self._thread}/interrupt"
            await self._post(path, {"calls": calls}, secrets.token_hex(16))
        except Failure as failure:
            self._transcript.line(f"! {one_line(failure.message)}")

    def _write(self, text: str) -> None:
        try:
            click.echo(text, nl=False)
            sys.stdout.flush()
        except OSError:  # the terminal has gone; there is nobody to show anything to
            self._leaving.set()

    # -- requests

    async def _get(self, path: str) -> Any:
        return await self._request("GET", path)

    async def _post(self, path: str, body: Any, key: str | None = None) -> Any:
        return await self._request("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})

    async def _request(self, method: str, path: str, **options: Any) -> Any:
        """Through a restart of the daemon, too: what carries a key can be sent again."""
        import httpx

        for attempt in range(RETRIES):
            try:
                # The address is found anew for each try, because the daemon may have come back on another
                # port.
                return check(await self._sent(method, path, options))
            except httpx.TransportError as error:
                if attempt == RETRIES - 1:
                    raise Failure(
                        f"the daemon does not answer ({type(error).__name__})", NOT_RUNNING
                    ) from None
            except Failure as failure:
                if failure.exit_code != NOT_RUNNING or attempt == RETRIES - 1:
                    raise
            await asyncio.sleep(0.25)
        raise AssertionError("the last try returns or raises")

    async def _sent(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        address = find_daemon(self._home).address
        return await self._http.request(method, address + path, **options)
