"""Only configured tool servers are called: one that was taken out of the configuration hears nothing more (S3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.boundary.daemons import running
from tests.ports import free_port

from infinity.abc import Verdict
from infinity.local.toolsets import LocalTransport, ServerSet
from infinity.rap.address import Server
from infinity.testing.tool_server import ToolServer, failing, tool


@pytest.mark.trap("S3")
async def test_a_server_taken_out_of_the_configuration_gets_no_more_calls(tmp_path: Path) -> None:
    server = ToolServer([tool("build")], behaviour=failing(503), port=free_port())
    config = f"[toolsets.ci]\nurl = '{server.base_url}'\n"
    async with server, running(tmp_path / "home", config) as daemon:
        thread = await daemon.thread("/call build {}")
        call_id = (await server.invoked()).id
        await daemon.stop()
        daemon.home.config.write_text(f"[daemon]\nport = {daemon.port}\n")
        heard = len(server.invocations)
        server.behaviours.clear()
        await daemon.start()
        # Its row was on record, to leave once more: it is answered instead, and the model says what it heard.
        await daemon.said(thread, "is not configured any more")
        assert len(server.invocations) == heard
        # A result that the server sends all the same is no repeat of the error that ended its call: refused, and nothing changes.
        entries = (await daemon.get(f"/v1/threads/{thread}/entries")).body
        assert await server.answer(call_id, "built") == 409
        assert (await daemon.get(f"/v1/threads/{thread}/entries")).body == entries
        other = await daemon.thread("/call build {}")
        await daemon.said(other, "no tool")
        assert (await daemon.post(f"/v1/threads/{thread}/close")).status == 200
        await daemon.until(thread, lambda event: event.data.get("status") == "closed")
        await daemon.stop()
        assert (len(server.invocations), server.notices) == (heard, [])
        await daemon.start()


@pytest.mark.trap("S3")
@pytest.mark.parametrize("change", ["port", "host", "scheme", "user"], ids=lambda change: f"another {change}")
async def test_only_the_very_address_of_a_configured_server_is_posted_to(change: str) -> None:
    async with ToolServer() as server, ToolServer() as stranger:
        transport = LocalTransport(ServerSet({"ci": Server(server.base_url)}, []))
        url = {
            "port": f"{stranger.base_url}/invoke",
            "host": f"http://127.0.0.2:{server.port}/invoke",
            "scheme": f"https://127.0.0.1:{server.port}/invoke",
            "user": f"http://127.0.0.1:{server.port}@127.0.0.1:{stranger.port}/invoke",
        }[change]
        delivery = await transport.post(url, b"{}", key="k")
        assert delivery.verdict is Verdict.REFUSED
        assert (server.invocations, stranger.invocations) == ([], [])
        await transport.close()
