"""One server's schema, manifest or token is that server's problem alone; conversations begin and go on without its tools (B13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from tests.patience import PATIENCE
from tests.slice.scenes import World

from infinity.errors import ToolsetError
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport
from infinity.rap.discovery import Toolsets
from infinity.testing import kit
from infinity.testing.replies import call, say
from infinity.testing.tool_server import ToolServer, answering, tool
from infinity.tools.catalog import Definitions, ToolDefinition, TreeCatalog, TreeCatalogs

EITHER = {
    "type": "object",
    "properties": {"the a": {"type": "string"}, "b": {"type": "string"}},
    "anyOf": [{"required": ["the a"]}, {"required": ["b"]}],
    "additionalProperties": False,
}

Open = Callable[..., World]


async def opened(open_world: Open, monkeypatch: pytest.MonkeyPatch, addresses: Sequence[Server]) -> World:
    """A world whose tool servers have these addresses and tokens."""
    monkeypatch.setattr(kit, "HttpTransport", lambda _: HttpTransport(addresses))
    monkeypatch.setattr(kit, "Toolsets", lambda _: Toolsets(addresses))
    return await open_world().start()


@pytest.mark.trap("B13")
@pytest.mark.parametrize("token", ["secret\n", " secret", "\tsecret\r\n"])
async def test_white_space_around_a_token_is_not_part_of_it(
    open_world: Open, server: ToolServer, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    server.behaviour = answering("done by a")
    world = await opened(open_world, monkeypatch, [Server(server.base_url, token)])
    world.model.then(call(("a", {})), say("done"))
    thread = await world.thread("go")
    await world.said(thread, "done")
    assert [each.authorization for each in server.invocations] == ["Bearer secret"]
    await world.close()


@pytest.mark.trap("B13")
@pytest.mark.parametrize("token", ["sec\nret", "geheimnis-ü", "", "\n", "日本", "x\x00y"])
async def test_a_token_that_no_header_takes_costs_its_server_alone(
    open_world: Open, server: ToolServer, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    async with ToolServer([tool("other")], name="others", behaviour=answering("done")) as healthy:
        addresses = [Server(server.base_url, token), Server(healthy.base_url, "good")]
        world = await opened(open_world, monkeypatch, addresses)
        world.model.then(call(("other", {})), say("done"))
        thread = await world.thread("go")
        await world.said(thread, "done")
        problem = await world.noted(thread, "problem", code="toolset")
        assert "token" in problem["text"] and server.base_url in problem["text"]
        if token.strip():
            assert token.strip() not in problem["text"]
        assert server.discoveries == 0 and world.runtime.failing(thread) is None
        await world.close()


@pytest.mark.trap("B13")
async def test_a_call_that_cannot_be_sent_ends_with_an_error(
    open_world: Open, server: ToolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token went bad between discovery and the call."""
    good, bad = Server(server.base_url, "good"), Server(server.base_url, "b\nad")
    monkeypatch.setattr(kit, "HttpTransport", lambda _: HttpTransport([bad]))
    monkeypatch.setattr(kit, "Toolsets", lambda _: Toolsets([good]))
    world = await open_world().start()
    world.model.then(call(("a", {})), say("I see"))
    thread = await world.thread("go")
    await world.said(thread, "I see")
    assert "cannot be called" in str(world.model.requests[1]["messages"][-1])
    assert server.invocations == []
    await world.close()


@pytest.mark.trap("B13")
@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RecursionError(), ExceptionGroup("x", [OSError()])]
)
async def test_an_exception_of_any_class_is_the_problem_of_one_server(
    open_world: Open, server: ToolServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import infinity.rap.discovery as discovery

    fetch = discovery.fetch

    async def fails(base_url: str, *rest: Any, **more: Any) -> Any:
        if base_url == server.base_url:
            raise error
        return await fetch(base_url, *rest, **more)

    monkeypatch.setattr(discovery, "fetch", fails)
    async with ToolServer([tool("other")], name="others") as healthy:
        world = await opened(open_world, monkeypatch, [Server(server.base_url), Server(healthy.base_url)])
        world.model.then(say("hello"), say("repaired"))
        first = await world.thread("go")
        await world.said(first, "hello")
        names = [each["name"] for each in world.model.requests[0]["tools"]]
        assert "other" in names and "a" not in names
        assert server.base_url in (await world.noted(first, "problem", code="toolset"))["text"]
        monkeypatch.setattr(discovery, "fetch", fetch)
        second = await world.thread("and now")
        await world.said(second, "repaired")
        assert "a" in [each["name"] for each in world.model.requests[1]["tools"]]
        await world.close()


@pytest.mark.trap("B13")
@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"not JSON",
        b"[" * 100_000,
        b'{"name": "\xff"}',
        b'{"name":"' + b"x" * (1 << 20) + b'"}',
        b'{"name":"x","endpoint":"http://127.0.0.1:1/","tools":[]}',
        b'{"name":"x\\ud83d","endpoint":"y","tools":[1]}',
        b"null",
    ],
)
async def test_a_manifest_that_is_none_costs_its_server_alone(open_world: Open, manifest: bytes) -> None:
    async with ToolServer(manifest=manifest) as broken, ToolServer([tool("fine")]) as healthy:
        world = await open_world(servers=[broken, healthy]).start()
        world.model.then(say("hello"))
        thread = await world.thread("go")
        await world.said(thread, "hello")
        assert "fine" in [each["name"] for each in world.model.requests[0]["tools"]]
        await world.noted(thread, "problem", code="toolset")
        await world.close()


@pytest.mark.trap("B13")
async def test_a_schema_with_alternatives_at_its_root_is_offered_and_checked_as_it_is(
    open_world: Open,
) -> None:
    async with ToolServer([tool("either", schema=EITHER)], behaviour=answering("done")) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(
            call(("either", {})),
            call(("either", {"the_a": "x"})),
            call(("either", {"the a": "y"})),
            say("ok"),
        )
        thread = await world.thread("go")
        await world.said(thread, "ok")
        (offered,) = [each for each in world.model.requests[0]["tools"] if each["name"] == "either"]
        assert [*offered["input_schema"]["properties"]] == ["the_a", "b"]
        assert "anyOf" not in offered["input_schema"]
        assert "anyOf" in str(world.model.requests[1]["messages"][-1])
        assert [each.arguments for each in server.invocations] == [{"the a": "x"}, {"the a": "y"}]
        tools = {msgspec.json.encode(each["tools"]) for each in world.model.requests}
        assert len(tools) == 1, "the prompt cache needs the same bytes"
        await world.close()


@pytest.mark.trap("B13")
async def test_a_schema_that_no_model_can_be_told_costs_one_tool(open_world: Open) -> None:
    nothing = {"type": "object", "allOf": [{"type": "string"}]}
    async with ToolServer([tool("fine"), tool("never", schema=nothing)]) as server:
        world = await open_world(servers=[server]).start()
        world.model.then(say("hello"))
        thread = await world.thread("go")
        await world.said(thread, "hello")
        names = [each["name"] for each in world.model.requests[0]["tools"]]
        assert "fine" in names and "never" not in names
        assert "never" in (await world.noted(thread, "problem", code="toolset"))["text"]
        await world.close()


def definition(name: str = "run", **more: Any) -> ToolDefinition:
    fields: dict[str, Any] = {
        "description": "d",
        "input_schema": {"type": "object"},
        "annotations": {},
        "display_script": None,
        "toolset": "s",
        "endpoint": "http://x",
    }
    return ToolDefinition(name, **{**fields, **more})


@pytest.mark.trap("B13")
@pytest.mark.parametrize(
    "bad",
    [
        definition("bad", input_schema={"type": "strin"}),
        definition("bad", input_schema=5),
        definition("bad", input_schema=None),
        definition("bad", input_schema={"properties": {"a": object()}}),
        definition("bad", description="half \ud83d"),
        definition("bad", input_schema={"$ref": "#/nowhere"}),
    ],
)
def test_what_cannot_be_made_a_tool_costs_one_tool(bad: ToolDefinition) -> None:
    catalog = TreeCatalog(Definitions([bad, definition("good")], []))
    assert catalog.find("good") is not None and catalog.find("bad") is None
    assert len(catalog.problems) == 1 and "bad" in catalog.problems[0]
    msgspec.json.decode(catalog.tools)


@pytest.mark.trap("B13")
@pytest.mark.parametrize("name", ["a b", "x" * 500, "ü", "日本", "a.b/c", ""])
def test_every_name_is_one_that_the_model_api_takes(name: str) -> None:
    from infinity.testing.messages_rules import check

    catalog = TreeCatalog(Definitions([definition(name)], []))
    request = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    assert check({**request, "tools": msgspec.json.decode(catalog.tools)}) == []


class Sources:
    """One that fails, then one that works."""

    def __init__(self, error: BaseException | None, *tools: ToolDefinition) -> None:
        self.error = error
        self.tools = [*tools]

    async def definitions(self) -> Definitions:
        if self.error is not None:
            raise self.error
        return Definitions(self.tools, [])


@pytest.mark.trap("B13")
@pytest.mark.parametrize("error", [ValueError("x"), ToolsetError("x"), TimeoutError()])
async def test_a_source_that_fails_costs_its_own_tools(world: World, error: Exception) -> None:
    fails, works = Sources(error), Sources(None, definition("good"), definition("bad", description="\ud83d"))
    catalogs = TreeCatalogs(world.store, [fails, works])
    async with asyncio.timeout(PATIENCE):
        catalog = await catalogs.of("thread_x")
        assert catalog.find("good") is not None
        assert len(catalog.problems) == 2
        fails.error = None
        assert (await catalogs.of("thread_y")).find("good") is not None


@pytest.mark.trap("B13")
def test_a_display_script_of_any_kind_fails_no_slice() -> None:
    for script in ("", "(", "loop {}", "fn f() { f() } f()", "\x00", "x" * 10_000, '"\ud83d"'):
        catalog = TreeCatalog(Definitions([definition(display_script=script)], []))
        offer = catalog.find("run")
        assert offer is None or offer.display(b"{}")
