"""Clients that come and go, and a daemon at rest with things open: what they hold while they are there, and what is left of them.

Half-open connections send half a request each. Reconnecting clients open an event stream, read its first bytes and hang up, as fast as they can. Then the daemon rests: with
watchers gone, with a question of a child open, and with a cause outside that keeps threads waiting (its probe's lease is not yet over). Nothing may wake it (I9).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infinity.demo.daemon import Daemon
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply
from infinity.testing.model_server import ModelServer
from infinity.testing.tool_server import ToolServer, tool
from processes import resident, rest_of

PATIENCE = 60.0
CLIENTS = 50
LONGEST = 300.0


def answer(request: dict[str, Any]) -> Reply:
    """The root spawns a child, and the child calls a tool that wants consent."""
    prompt = read_prompt(request)
    if "destroy it" in str(request["messages"][-1]):
        return Reply().call("destroy")
    if prompt.results:
        return Reply().say("done")
    if "spawn" in prompt.text:
        return Reply().call("spawn_thread", instructions="destroy it")
    return Reply().say("fine")


def until(condition: Callable[[], Any], what: str) -> Any:
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > limit:
            raise TimeoutError(f"no {what} within {PATIENCE:g} s")
        time.sleep(0.01)
    return found


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def streams(daemon: Daemon) -> int:
    found = re.search(r"^infinity_event_streams (\d+)$", daemon.client().get("/metrics").text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def half_open(daemon: Daemon, count: int) -> None:
    """Hold them until the daemon has closed them all; meanwhile it answers others."""
    before, began = descriptors(daemon.pid), time.monotonic()
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", daemon.port))
        connection.sendall(b"POST /v1/threads HTTP/1.1\r\nHost: 127")
        held.append(connection)
    at_most = descriptors(daemon.pid)
    asked = time.perf_counter()
    daemon.get("/healthz")
    answered = time.perf_counter() - asked
    until(lambda: descriptors(daemon.pid) <= before + 2, "end of the half-open connections")
    print(
        f"half-open: {count:,} connections took the descriptors from {before} to {at_most}; another client was answered in {answered * 1e3:.0f} ms;"
        f" {time.monotonic() - began:.0f} s after the first one {descriptors(daemon.pid)} were left"
    )
    for connection in held:
        connection.close()


async def reconnecting(port: int, token: str, path: str, until_then: float) -> int:
    count = 0
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    while time.monotonic() < until_then:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        count += 1
    return count


def reconnects(daemon: Daemon, thread: str, seconds: float) -> None:
    token = (daemon.home / "token").read_text().strip()
    before, held = descriptors(daemon.pid), resident(daemon.pid)

    async def all_of_them() -> int:
        end, path = time.monotonic() + seconds, f"/v1/threads/{thread}/events"
        return sum(
            await asyncio.gather(*(reconnecting(daemon.port, token, path, end) for _ in range(CLIENTS)))
        )

    count = asyncio.run(all_of_them())
    began = time.monotonic()
    until(lambda: streams(daemon) == 0, "end of the event streams")
    print(
        f"reconnects: {count:,} in {seconds:g} s; the gauge was 0 after {time.monotonic() - began:.2f} s;"
        f" descriptors {before} -> {descriptors(daemon.pid)}, resident {held / 2**20:.0f} -> {resident(daemon.pid) / 2**20:.0f} MiB"
    )


def rest(daemon: Daemon, what: str, seconds: float) -> None:
    """Until nothing has happened for so long: what is left to do after the last request is finite, such as closing the connection to the model, which is kept for a minute."""
    began = since = time.monotonic()
    first = last = rest_of(daemon.pid)
    while (now := time.monotonic()) - since < seconds:
        if now - began > LONGEST:
            raise TimeoutError(f"{what}: the daemon does not come to rest")
        time.sleep(0.5)
        found = rest_of(daemon.pid)
        if found.switches != last.switches:
            last, since = found, time.monotonic()
    quiet = rest_of(daemon.pid).since(last)
    print(
        f"at rest, {what}: {quiet.switches} context switches, {quiet.cpu_ns / 1e6:.1f} ms CPU in {seconds:g} s;"
        f" before that {last.since(first).switches}, the last one {since - began:.1f} s after the last request",
        flush=True,
    )


def ask(daemon: Daemon, text: str, ready: Callable[[dict[str, Any]], bool]) -> str:
    thread = str(daemon.post("/v1/threads", {})["id"])
    daemon.post(f"/v1/threads/{thread}/messages", {"content": text})
    until(lambda: ready(daemon.get(f"/v1/threads/{thread}")), f"answer to {text!r}")
    daemon.client().close()
    daemon._http = (
        None  # The bench's own connection would be closed, and wake the daemon, while it is measured.
    )
    return thread


async def serve(chosen: argparse.Namespace) -> None:
    model = ModelServer(answer, api_key="right")
    tools = ToolServer([tool("destroy", annotations={"destructive": True})])
    await model.start()
    await tools.start()
    with tempfile.TemporaryDirectory(prefix="infinity-bench-") as folder:
        for key in ("right", "expired"):
            config = (
                f'[models]\ndefault = "anthropic/claude-sonnet-5"\n[models.providers.anthropic]\nbase_url = "{model.url}"\n'
                f'api_key = "{key}"\n[toolsets.tests]\nurl = "{tools.base_url}"\n'
            )
            await asyncio.to_thread(measure, chosen, Path(folder) / key, config, key)
    await tools.close()
    await model.stop()


def measure(chosen: argparse.Namespace, home: Path, config: str, key: str) -> None:
    with Daemon(home, config) as daemon:
        if key == "expired":
            ask(
                daemon,
                "hello",
                lambda row: "timer" in [each["kind"] for each in row["explanation"]["reasons"]],
            )
            rest(daemon, "the model refuses the key and is probed by itself", min(chosen.rest, 30.0))
            return
        thread = ask(daemon, "hello", lambda row: row["status"] == "idle" and row["version"] > 1)
        half_open(daemon, chosen.connections)
        reconnects(daemon, thread, chosen.seconds)
        ask(daemon, "hello", lambda row: row["status"] == "idle" and row["version"] > 1)
        rest(daemon, "watchers gone", chosen.rest)
        ask(daemon, "spawn", lambda row: bool(row["prompts"]))
        rest(daemon, "a child's question is open", chosen.rest)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--connections", type=int, default=1_024)
    options.add_argument("--seconds", type=float, default=20.0, help="of reconnecting")
    options.add_argument("--rest", type=float, default=60.0)
    asyncio.run(serve(options.parse_args()))


if __name__ == "__main__":
    main()
