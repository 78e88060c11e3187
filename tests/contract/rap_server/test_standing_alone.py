"""The kit as its users run it: in a process of its own, which may be killed at any time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from .conftest import FakeRuntime

PROGRAM = """
import asyncio, sys, threading
from infinity.rap.server import Subscription, Toolset, Webhook, serve

tools = Toolset("killed")

@tools.tool
async def pay() -> str:
    "Pays."
    print("paying", flush=True)
    await asyncio.Event().wait()

@tools.tool
async def block() -> str:
    "Blocks the event loop."
    return sys.stdin.readline().strip()

@tools.tool
def stuck() -> None:
    "Blocks a thread for good."
    print("stuck", flush=True)
    threading.Event().wait()

@tools.tool
async def quick() -> str:
    "Quick."
    return "quick"

@tools.subscription
async def watch(subscription: Subscription) -> str:
    "Watches."
    return "Watching."

@tools.webhook("/hook")
async def hook(request: Webhook) -> None:
    for subscription in await tools.subscriptions(watch):
        await subscription.send("event")

serve(tools, port=int(sys.argv[1]), state_path=sys.argv[2])
"""


def test_the_kit_needs_neither_the_core_nor_the_engine_nor_a_model() -> None:
    probe = "import infinity.rap.server, json, sys; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(ran.stdout))
    foreign = {"infinity._core", "infinity.abc", "infinity.engine", "infinity.models", "anthropic", "boto3"}
    foreign |= {"aiohttp", "httpx", "click", "jsonschema_rs", "infinity.runtime", "infinity.local"}
    assert not foreign & loaded


def test_the_kits_names_are_names_of_the_protocols_package() -> None:
    import infinity.rap
    import infinity.rap.server

    assert infinity.rap.Toolset is infinity.rap.server.Toolset
    assert set(infinity.rap.__all__) == set(infinity.rap.server.__all__)
    assert set(infinity.rap.__all__) <= set(dir(infinity.rap))
    with pytest.raises(AttributeError, match="nothing"):
        _ = infinity.rap.nothing


class Process:
    """The program above on a port."""

    def __init__(self, port: int, state: Path) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def ready(self, runtime: FakeRuntime) -> None:
        """Answering; fails after ten seconds or when the process has ended."""
        assert runtime.session is not None
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self._process.poll() is None
                try:
                    async with runtime.session.get(f"{self.base_url}/.well-known/rap-toolset"):
                        return
                except OSError:
                    await asyncio.sleep(0.02)

    def said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    async def end(self, number: int) -> int:
        os.kill(self._process.pid, number)
        code = await asyncio.to_thread(self._process.wait, 10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code


@pytest.mark.rap("SRV-2", "SRV-4", "SRV-6")
@pytest.mark.trap("L14")
async def test_what_was_acknowledged_survives_sigkill(
    runtime: FakeRuntime, tmp_path: Path, unused_tcp_port: int
) -> None:
    state = tmp_path / "tools.db"
    process = Process(unused_tcp_port, state)
    await process.ready(runtime)
    assert await runtime.invoke(process.base_url, "watch", "call_sub") == 200
    assert (await runtime.called_back())["subscription"] is True
    assert await runtime.invoke(process.base_url, "pay", "call_pay") == 200
    assert await asyncio.to_thread(process.said) == "paying"
    runtime.answers = [503] * 1000
    assert await runtime.invoke(process.base_url, "quick", "call_quick") == 200
    await runtime.called_back(2)
    await process.end(signal.SIGKILL)
    runtime.answers = []
    before = len(runtime.callbacks)

    process = Process(unused_tcp_port, state)
    await process.ready(runtime)
    await runtime.called_back(before + 2)
    answers = {each["id"]: each["text"] for each in runtime.callbacks[before:]}
    assert answers["call_quick"] == "quick"
    assert answers["call_pay"].startswith("Error: the tool server was restarted")
    assert await runtime.invoke(process.base_url, "quick", "call_quick") == 200
    assert await runtime.post(f"{process.base_url}/hook", {}) == 200
    event = await runtime.called_back(before + 3)
    assert (event["type"], event["tool_call_id"]) == ("subscription_event", "call_sub")
    assert await process.end(signal.SIGTERM) == 0
    assert len(runtime.callbacks) == before + 3


@pytest.mark.rap("SRV-1")
async def test_a_call_is_acknowledged_even_if_its_function_blocks_the_event_loop(
    runtime: FakeRuntime, tmp_path: Path, unused_tcp_port: int
) -> None:
    process = Process(unused_tcp_port, tmp_path / "tools.db")
    await process.ready(runtime)
    assert await asyncio.wait_for(runtime.invoke(process.base_url, "block"), PATIENCE) == 200
    process.say("unblocked")
    assert (await runtime.called_back())["text"] == "unblocked"
    assert await process.end(signal.SIGTERM) == 0


@pytest.mark.trap("L17")
async def test_a_function_that_is_stuck_does_not_keep_the_server_from_stopping(
    runtime: FakeRuntime, tmp_path: Path, unused_tcp_port: int
) -> None:
    process = Process(unused_tcp_port, tmp_path / "tools.db")
    await process.ready(runtime)
    assert await runtime.invoke(process.base_url, "stuck") == 200
    assert await asyncio.to_thread(process.said) == "stuck"
    assert await process.end(signal.SIGTERM) == 0
