"""Tool servers by command: started when needed, watched, restarted, adopted after a crash, never in anybody's way (B1)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from tests.boundary.daemons import SOON, Running, running
from tests.ports import free_port

from infinity.backoff import Backoff
from infinity.config.schema import ToolsetConfig
from infinity.errors import ToolsetError
from infinity.local import servers as servers_module
from infinity.local.process import ServerProcess, identify
from infinity.local.servers import Record, StartedServer

SERVER = """
import json, os, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
print("environment", sorted(os.environ), flush=True)
if len(sys.argv) > 2: sys.exit(int(sys.argv[2]))
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        tools = [{"name": "build", "description": "x", "inputSchema": {"type": "object"}}]
        url = f"http://127.0.0.1:{os.environ['PORT']}/invoke"
        self.answer(json.dumps({"name": "ci", "description": "x", "endpoint": url, "tools": tools}).encode())
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(b"")
        if "operation" not in body: return
        if body["arguments"].get("die"): os._exit(3)
        answer = {"type": "tool_result", "group_id": body["group_id"], "id": body["id"], "text": f"built by {os.getpid()}"}
        request = urllib.request.Request(body["callback_url"], json.dumps(answer).encode(), {"Content-Type": "application/json"})
        threading.Thread(target=urllib.request.urlopen, args=(request,)).start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "BACKOFF", Backoff(0.05, 0.2))


@asynccontextmanager
async def one(tmp_path: Path, script: Path, *arguments: str, **more: object) -> AsyncIterator[StartedServer]:
    records: list[Record] = []

    async def remember(_: str, record: Record) -> None:
        records.append(record)

    options = {
        "command": sys.executable,
        "args": [str(script), "{port}", *arguments],
        "start_timeout": 10,
        **more,
    }
    config = ToolsetConfig.model_validate(options)
    made = StartedServer("ci", config, Record(free_port()), home=tmp_path, remember=remember)
    try:
        yield made
    finally:
        await made.stop()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_server_is_started_once_however_many_need_it(tmp_path: Path, script: Path) -> None:
    async with one(tmp_path, script) as server:
        assert server.state == "resting"
        await asyncio.gather(*(server.ready() for _ in range(20)))
        first = server.pid
        await server.ready()
        assert server.state == "running" and server.pid == first
    assert first is not None
    assert identify(first) is None, "it ends with the daemon"


async def test_a_server_sees_little_of_the_daemon_s_environment(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("CI_TOKEN", "passed on")
    async with one(tmp_path, script, env={"LEVEL": "info"}, env_from=["CI_TOKEN"]) as server:
        await server.ready()
        said = server.output.read_text()
    assert "ANTHROPIC_API_KEY" not in said
    assert all(name in said for name in ("'CI_TOKEN'", "'LEVEL'", "'PORT'", "'PATH'"))
    assert server.output.stat().st_mode & 0o077 == 0


async def test_a_server_that_ends_at_once_says_how_and_where_to_look(tmp_path: Path, script: Path) -> None:
    async with one(tmp_path, script, "7") as server:
        with pytest.raises(ToolsetError, match=r"tool server ci exited with status 7; see .*ci\.log"):
            await server.ready()
        assert server.state == "failed"


@pytest.mark.trap("B1")
async def test_while_it_rests_after_a_failure_nobody_waits_for_it(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers_module, "BACKOFF", Backoff(60.0, 60.0))
    async with one(tmp_path, script, "7") as server:
        with pytest.raises(ToolsetError):
            await server.ready()
        async with asyncio.timeout(30):  # half of the rest
            with pytest.raises(ToolsetError, match="next try in"):
                await server.ready()


@pytest.mark.trap("B1")
async def test_a_server_that_never_answers_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    script = tmp_path / "deaf.py"
    script.write_text("import time\ntime.sleep(1000)\n")
    async with one(tmp_path, script, start_timeout=0.5) as server:
        with pytest.raises(ToolsetError, match=r"did not answer on port \d+ within 0.5 s"):
            await server.ready()
        assert server.pid is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"command": "/no/such/program"}, "/no/such/program"),
        ({"cwd": "/no/such/directory"}, "/no/such/directory"),
    ],
)
async def test_a_command_that_is_not_there_is_named(
    tmp_path: Path, script: Path, options: dict[str, str], expected: str
) -> None:
    async with one(tmp_path, script, **options) as server:
        with pytest.raises(ToolsetError, match=f"{expected} does not exist"):
            await server.ready()


async def test_a_port_that_another_program_has_is_named(tmp_path: Path, script: Path) -> None:
    async with one(tmp_path, script) as first:
        await first.ready()
        port = int(first.base_url.rpartition(":")[2])

        async def remember(_: str, __: Record) -> None:
            return

        config = ToolsetConfig.model_validate({"command": sys.executable, "args": [str(script), "{port}"]})
        second = StartedServer("other", config, Record(port), home=tmp_path, remember=remember)
        with pytest.raises(ToolsetError, match=rf"port {port}.*\[toolsets\.other\] port"):
            await second.ready()


async def test_a_server_that_dies_is_started_again_without_being_asked(tmp_path: Path, script: Path) -> None:
    async with one(tmp_path, script) as server:
        await server.ready()
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: server.state == "running" and server.pid != first)
        assert server.restarts == 1


async def test_its_whole_process_group_ends_with_it(tmp_path: Path, script: Path) -> None:
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, {str(script)!r}, sys.argv[1]])\n"
    )
    async with one(tmp_path, wrapper) as server:
        await server.ready()
        assert server.pid is not None
        group = {int(path.name) for path in Path("/proc").glob("[0-9]*") if _group(path) == server.pid}
        assert len(group) == 2
    await eventually(lambda: all(identify(pid) is None for pid in group))


def _group(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return 0


async def test_a_process_that_outlived_its_daemon_is_found_again(tmp_path: Path) -> None:
    started = await ServerProcess.start(
        [sys.executable, "-c", "import time; time.sleep(1000)"],
        cwd=tmp_path,
        environment={},
        output=tmp_path / "logs" / "x.log",
    )
    adopted = ServerProcess.adopt(started.identity)
    assert adopted is not None and adopted.alive()
    assert ServerProcess.adopt(started.identity._replace(began="0")) is None, "the same pid, another process"
    await adopted.stop()
    assert not started.alive() and adopted.exited.done()


# -- in a daemon


@pytest.fixture
async def daemon(tmp_path: Path, script: Path) -> AsyncIterator[Running]:
    config = f"[toolsets.ci]\ncommand = '{sys.executable}'\nargs = ['{script}', '{{port}}']\n"
    async with running(tmp_path / "home", config) as made:
        yield made


async def state(daemon: Running) -> dict[str, object]:
    [server] = daemon.daemon.servers.started.values()
    return {"state": server.state, "pid": server.pid, "port": int(server.base_url.rpartition(":")[2])}


async def test_a_call_starts_the_server_and_comes_back(daemon: Running) -> None:
    assert (await state(daemon))["state"] == "resting"
    thread = await daemon.thread("/call build {}")
    event = await daemon.said(thread, "built by")
    assert f"built by {(await state(daemon))['pid']}" in str(event.data)


async def test_its_port_stays_and_it_comes_back_with_the_daemon(daemon: Running) -> None:
    await daemon.said(await daemon.thread("/call build {}"), "built by")
    before = await state(daemon)
    await daemon.restart()
    server = daemon.daemon.servers.started["ci"]
    await eventually(lambda: server.state == "running")
    after = await state(daemon)
    assert after["port"] == before["port"] and after["pid"] != before["pid"]


async def test_a_port_that_nobody_was_told_gives_way_to_a_program_that_was_quicker(daemon: Running) -> None:
    """Two homes that are set up at the same time find the same port free; a server starts only when it is needed."""
    before = await state(daemon)
    with socket.socket() as other:
        other.bind(("127.0.0.1", cast(int, before["port"])))
        other.listen()
        await daemon.restart()
        assert (await state(daemon))["port"] != before["port"]
        await daemon.said(await daemon.thread("/call build {}"), "built by")


async def test_a_server_that_dies_over_a_call_serves_the_next_one(daemon: Running) -> None:
    doomed = await daemon.thread('/call build {"die": true}')
    server = daemon.daemon.servers.started["ci"]
    await eventually(lambda: server.restarts == 1 and server.state == "running")
    await daemon.said(await daemon.thread("/call build {}"), "built by")
    reasons = (await daemon.get(f"/v1/threads/{doomed}")).body["explanation"]["reasons"]
    assert [reason["kind"] for reason in reasons if reason["kind"] == "call"] == ["call"]


@pytest.mark.trap("B1")
async def test_a_server_that_does_not_start_holds_up_no_other_thread(tmp_path: Path, script: Path) -> None:
    deaf = tmp_path / "deaf.py"
    deaf.write_text("import time\ntime.sleep(1000)\n")
    config = (
        f"[toolsets.ci]\ncommand = '{sys.executable}'\nargs = ['{script}', '{{port}}']\n"
        f"[toolsets.deaf]\ncommand = '{sys.executable}'\nargs = ['{deaf}']\nstart_timeout = 1.0\n"
    )
    async with running(tmp_path / "home", config) as made:
        await made.said(await made.thread("/call build {}"), "built by")
        found = {server["name"]: server for server in (await made.get("/v1/toolsets")).body["toolsets"]}
        assert found["ci"]["problem"] is None and found["ci"]["process"]["state"] == "running"
        assert "tool server deaf" in found["deaf"]["problem"]


@pytest.mark.trap("G9")
async def test_the_output_of_a_server_that_runs_is_bounded(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity.local.servers.LOOK_AT_OUTPUT", 0.01)
    monkeypatch.setattr("infinity.local.process.LONGEST_OUTPUT", 10_000)
    async with one(tmp_path, script) as server:
        await server.ready()
        for number in range(20):
            with server.output.open("ab") as more:  # as the server itself, which appends
                more.write(b"%04d\n" % number * 1_000)
            await server.ready()
            await eventually(lambda: server.output.stat().st_size <= 10_000)
        older = server.output.with_suffix(".log.1")
        assert older.stat().st_size <= 10_000 and older.read_bytes().endswith(b"0019\n")
        assert older.stat().st_mode & 0o077 == 0
        # A server that is silent is not looked at any more.
        await eventually(lambda: server._looking is None)
