"""An example as its README runs it: its ``infinity.toml`` trusted, a real daemon, its tool servers started by the daemon. All of it may be killed.

``INFINITY_EXAMPLES_MODEL`` names a real model to answer in place of each example's ``offline.py``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from tests.crash.watch import Seen, Watch
from tests.patience import PATIENCE
from tests.ports import free_port

from infinity.local.home import Home
from infinity.local.trust import Trust, find_project_file
from infinity.rap.inspection import TimeLimits
from infinity.stamps import is_stamp

EXAMPLES = Path(__file__).parents[2] / "examples"
OFFLINE = "scripted/default"
REAL = os.environ.get("INFINITY_EXAMPLES_MODEL", "")
LEISURELY = TimeLimits(acknowledge=PATIENCE, patience=PATIENCE)
"""For inspections that have to find nothing, on a machine that has other things to do as well."""


class Stage:
    """``example``: its name, or another folder of that kind. ``folder``: its copy. ``ports``: what stands for each port that its files name."""

    def __init__(self, example: str | Path, directory: Path, **environment: str) -> None:
        source = EXAMPLES / example
        self.folder = directory / source.name
        self.home = Home(directory / "home")
        self.ports: dict[int, int] = {}
        self.daemon: asyncio.subprocess.Process | None = None
        self.http: aiohttp.ClientSession
        self._port = free_port()
        self._environment = environment
        self._watches: list[Watch] = []
        shutil.copytree(source, self.folder)
        config = self.folder / "infinity.toml"
        config.write_text(re.sub(r"(?<=^port = )\d+", self._moved, config.read_text(), flags=re.MULTILINE))
        self.home.prepare()
        file = find_project_file(self.folder, self.home)
        assert file is not None
        Trust(self.home).record(file)

    def _moved(self, found: re.Match[str]) -> str:
        return str(self.ports.setdefault(int(found[0]), free_port()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """No keys, so that nothing but the script answers; and this interpreter as ``python3``."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("INFINITY_", "ANTHROPIC_", "OPENAI_")) or REAL
        }
        return kept | {
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(self.folder), *filter(None, [kept.get("PYTHONPATH")])]),
            "INFINITY_HOME": str(self.home.path),
            "INFINITY_DAEMON_PORT": str(self._port),
            "INFINITY_MODEL": REAL or OFFLINE,
            **self._environment,
        }

    # life

    async def start(self) -> Stage:
        await self.start_daemon()
        token = self.home.token()
        self.http = aiohttp.ClientSession(
            self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE),
        )
        return self

    async def close(self) -> None:
        for watch in self._watches:
            await watch.close()
        await self.http.close()
        if self.daemon is not None and self.daemon.returncode is None:
            self.daemon.terminate()
            assert await asyncio.wait_for(self.daemon.wait(), PATIENCE) == 0, self.log

    async def start_daemon(self) -> None:
        with (self.home.path / "output.log").open("ab") as output:
            self.daemon = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "infinity.cli", "daemon", "run"),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

        async def answers() -> bool:
            assert self.daemon is not None and self.daemon.returncode is None, self.log
            return await status(f"{self.url}/healthz") == 200

        await eventually(answers, "answer of the daemon")

    async def kill_daemon(self) -> None:
        """SIGKILL, and a new one in its place."""
        assert self.daemon is not None
        self.daemon.kill()
        await self.daemon.wait()
        await self.start_daemon()

    async def kill_server(self, name: str) -> None:
        """SIGKILL; the daemon starts it again."""
        before = await self.server_pid(name)
        os.kill(before, signal.SIGKILL)

        async def came_back() -> bool:
            process = await self._process(name)
            return bool(process["state"] == "running" and process["pid"] != before)

        await eventually(came_back, f"new process of {name}")

    async def server_pid(self, name: str) -> int:
        async def runs() -> bool:
            return bool((await self._process(name))["state"] == "running")

        await eventually(runs, f"process of {name}")
        return int((await self._process(name))["pid"])

    async def _process(self, name: str) -> dict[str, Any]:
        found = await self.get("/v1/toolsets")
        return next(dict(each["process"]) for each in found["toolsets"] if each["name"] == name)

    @property
    def log(self) -> str:
        logs = [self.home.path / "output.log", *self.home.path.glob("servers/*.log")]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in logs if path.exists())

    # talking

    async def get(self, path: str, **query: str) -> Any:
        async with self.http.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        async with self.http.post(path, json=body) as response:
            assert response.status in (200, 201), await response.text()
            return await response.json()

    async def thread(self, text: str) -> Watch:
        """A new thread with this text in it, watched."""
        thread = str((await self.post("/v1/threads", {}))["id"])
        await self.say(thread, text)
        return self.watch(thread)

    async def say(self, thread: str, text: str) -> None:
        await self.post(f"/v1/threads/{thread}/messages", {"content": text})

    def watch(self, thread: str) -> Watch:
        made = Watch(self.http, thread)
        self._watches.append(made)
        return made

    async def subscribed(self, watch: Watch) -> str:
        """Wait until the thread has a subscription; its call id."""
        return str((await watch.noted("subscription", active=True)).data["id"])


@asynccontextmanager
async def stage(example: str | Path, directory: Path, **environment: str) -> AsyncIterator[Stage]:
    made = await Stage(example, directory, **environment).start()
    try:
        yield made
    except BaseException as error:
        error.add_note(made.log)
        raise
    finally:
        await made.close()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Until it holds; ``AssertionError`` if it never does."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"no {what} within {PATIENCE:g} s") from None


async def status(url: str) -> int:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        try:
            async with http.get(url) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


def entries(watch: Watch, kind: str) -> list[dict[str, Any]]:
    """What of this kind is in the thread's history."""
    return [seen.data for seen in watch.events if seen.kind == "entry" and seen.data["kind"] == kind]


def event_texts(watch: Watch) -> list[str]:
    """The texts of the thread's events, in order."""
    return [_text(entry["user"]) for entry in entries(watch, "event")]


def spoken(watch: Watch) -> str:
    """All that the agent said."""
    return "\n".join(_text(entry["assistant"]) for entry in entries(watch, "turn"))


def is_event(text: str) -> Callable[[Seen], bool]:
    return lambda seen: (
        seen.kind == "entry" and seen.data["kind"] == "event" and text in _text(seen.data["user"])
    )


def _text(blocks: list[dict[str, Any]]) -> str:
    found = []
    for block in blocks:
        if block["type"] == "text" and not is_stamp(block):
            found.append(block["text"])
        elif block["type"] == "tool_result":
            found += [part.get("text", "") for part in block["content"] if not is_stamp(part)]
    return "\n".join(found)
