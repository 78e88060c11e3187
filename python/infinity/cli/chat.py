"""``infinity chat``: talk to an agent, see what it does, answer its questions."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from .connection import check, find_daemon
from .daemon import begin
from .display import dim
from .exits import NOT_RUNNING, REFUSED, Failure
from .keyboard import Keyboard
from .options import home_option, the_home
from .stream import follow, stream_client
from .transcript import ASLEEP, Transcript

if TYPE_CHECKING:
    import httpx

    from infinity.local.home import Home

__all__ = ["chat"]

TWICE = 3.0
"""Seconds within which a second Ctrl-C leaves."""
RETRIES = 40


@click.command(
    epilog="Examples: infinity chat · infinity chat thread_1 · echo 'how are you' | infinity chat --new"
)
@click.argument("thread", required=False)
@click.option("--new", is_flag=True, help="Begin a new thread (the default without THREAD).")
@click.option("--model", help="Of a new thread.")
@click.option("--title", default="", help="Of a new thread.")
@click.option("--user", metavar="ID", help="Who is talking.")
@click.option("--reasoning", is_flag=True, help="Show the model's reasoning.")
@home_option
def chat(
    thread: str | None, new: bool, model: str | None, title: str, user: str | None, reasoning: bool
) -> None:
    """Talk to THREAD, or to a new one. Ctrl-C interrupts the agent, twice leaves; the thread stays and goes on.

    A line that is only a number answers the question that is open. Starts the daemon in the background if none runs.
    """
    if thread is not None and (new or model or title):
        raise click.UsageError("--new, --model and --title are for a new thread")
    home = the_home()
    try:
        find_daemon(home)
    except Failure as failure:
        if failure.exit_code != NOT_RUNNING or home.holder() is not None:
            raise
        begin(None if not sys.stdin else _here())
    asyncio.run(Chat(home, user, reasoning).run(thread, {"model": model, "title": title}))


def _here() -> Any:
    from pathlib import Path

    return Path.cwd()


class Chat:
    def __init__(self, home: Home, user: str | None, reasoning: bool) -> None:
        self._home = home
        self._user = user
        self._transcript = Transcript(_write, reasoning=reasoning)
        self._leaving = asyncio.Event()
        self._interrupted_at = -TWICE
        self._quiet = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, thread: str | None, new: dict[str, Any]) -> None:
        async with stream_client(self._home) as self._http:
            if thread is None:
                thread = (await self._post("/v1/threads", new, secrets.token_hex(16)))["id"]
            self._thread = thread
            cursor = await self._greet()
            keyboard = Keyboard("")
            if keyboard.interactive:
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupted)
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

    async def _greet(self) -> int:
        """Say which thread this is; where its stream stands."""
        found = await self._get(f"/v1/threads/{self._thread}")
        self._transcript.line(dim(f"{found['id']} · {found['model'] or 'default model'}"))
        self._transcript.catch_up(found)
        return int(found["cursor"])

    async def _listen(self, cursor: int) -> None:
        async with aclosing(follow(self._home, self._thread, str(cursor))) as events:
            async for event in events:
                self._transcript.show(event)
                if not self._transcript.busy:
                    self._quiet.set()
                if self._transcript.closed:
                    return

    async def _talk(self, keyboard: Keyboard) -> None:
        while (line := await keyboard.line()) is not None:
            if line.strip():
                await self._said(line.strip())
        if not keyboard.interactive:
            await self._settled()

    async def _said(self, line: str) -> None:
        questions = [prompt for prompt in self._transcript.prompts.values() if prompt.get("choices")]
        try:
            if questions and line.isascii() and line.isdigit():
                path = f"/v1/threads/{self._thread}/choices/{questions[0]['id']}"
                await self._post(path, {"selected": int(line)})
                return
            key = secrets.token_hex(16)
            self._quiet.clear()
            self._transcript.busy = True
            body = {"content": line} if self._user is None else {"content": line, "user_id": self._user}
            # The key makes a second try harmless when the first answer was lost (I3).
            outcome = await self._post(f"/v1/threads/{self._thread}/messages", body, key)
            self._transcript.sent.add(outcome.get("id", f"message.{key}"))
        except Failure as failure:
            if failure.exit_code != REFUSED:
                raise
            self._transcript.line(f"! {failure.message}")

    async def _settled(self) -> None:
        """Input has ended: stay while the agent or its tools work, not while it sleeps."""
        while self._transcript.busy or set(self._transcript.calls.values()) - {ASLEEP}:
            self._quiet.clear()
            await self._quiet.wait()

    async def _wait_to_leave(self) -> None:
        await self._leaving.wait()

    def _interrupted(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._interrupted_at < TWICE:
            self._leaving.set()
            return
        self._interrupted_at = now
        if self._transcript.busy or self._transcript.calls:
            self._transcript.line(dim("(interrupting; Ctrl-C again leaves)"))
            task = asyncio.create_task(self._interrupt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._transcript.line(dim("(Ctrl-C again leaves)"))

    async def _interrupt(self) -> None:
        try:
            await self._post(f"/v1/threads/{self._thread}/interrupt", None, secrets.token_hex(16))
        except Failure as failure:
            self._transcript.line(f"! {failure.message}")

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


def _write(text: str) -> None:
    click.echo(text, nl=False)
    sys.stdout.flush()
