"""Every field of every callback, from the wire models: missing, null, of every wrong type, over-long; unknown fields; ids of others; replays; wrong keys."""

from __future__ import annotations

import base64
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT, Raw

from infinity.rap import wire
from infinity.rap.capability import Capabilities, generate_key
from infinity.testing.tool_server import Invocation, ToolServer

from .conftest import Agent
from .test_callbacks_wire import another, ended, send

MESSAGES: dict[str, type[msgspec.Struct]] = {
    str(struct.__struct_config__.tag): struct for struct in typing.get_args(wire.Callback)
}
VALUES: list[Any] = [
    None,
    True,
    7,
    -1,
    1.5,
    2**80,
    "words",
    "",
    [],
    [None],
    [7],
    ["x", {}],
    [[]],
    {},
    {"type": "text"},
]
"""One or more of every JSON type; what a field's own type takes is not sent here."""
LONG = "x" * 20_000
OUT_OF_RANGE: dict[str, list[Any]] = {
    "group_id": [""],
    "id": [""],
    "tool_call_id": [""],
    "event_id": [""],
    "view_type": [""],
    "prompt": [""],
    "seq": [-1, 2**63, 2**80],
    "default": [-1, 2, 2**80],
    "choices": [[], [""], [LONG], ["x"] * 101],
    "auth_url": [
        "",
        "login.example",
        "http://login.example/",
        "javascript:alert(1)",
        "https://",
        "https:///x",
    ],
    "response_url": ["", "/choice", "file:///etc/passwd", "ftp://a/", "http://", "http://a b/"],
    "content": [
        [{"type": "audio"}],
        [{"text": "x"}],
        [{"type": "text"}],
        [{"type": "text", "text": 5}],
        [{"type": "image", "data": "eA=="}],
        [{"type": "image", "data": "no base64!", "mediaType": "image/png"}],
        [{"type": "image", "data": "", "mediaType": "image/png"}],
        [{"type": "image", "data": "eA==", "mediaType": "text/html"}],
        [{"type": "text", "text": "x"}] * 1001,
    ],
    "display_as": [
        [{"content": "x"}],
        [{"type": "", "content": "x"}],
        [{"type": "text"}],
        [{"type": "text", "content": {}}],
        [{"type": "diff", "content": {"path": "a"}}],
        [{"type": "image", "content": {"data": "eA=="}}],
        [{"type": "x" * 129, "content": 1}],
    ],
}
"""Of the right type, and still wrong."""
UNBOUNDED = {("tool_result", "text"), ("subscription_event", "text")}
"""Only the size of the whole body bounds these."""

ASIDE = ("subscription_event", "view_update")
"""What the call does not wait for: a refused one is a problem on record, and the call goes on (CB-7). Any other one ends its call."""

pytestmark = pytest.mark.rap("CB-1")


@pytest.fixture
async def call(agent: Agent, server: ToolServer) -> Invocation:
    """A call that is pending."""
    await agent.begin("/call echo {}")
    return await server.invoked()


def good(kind: str, call: Invocation, server: ToolServer) -> dict[str, Any]:
    """Every field of the message, with a value that is taken."""
    ids = {"type": kind, "group_id": call.group_id}
    own = {"id": call.id, "call_id": "mine", "event_id": "e1"}
    match kind:
        case "tool_result":
            content = [{"type": "text", "text": "the answer"}]
            display = [{"type": "text", "content": "shown"}]
            more = {"text": "t", "content": content, "display_as": display, "subscription": False}
            return {**ids, "id": call.id, "call_id": "mine", **more}
        case "subscription_event":
            more = {"text": "it happened", "associative": True, "final": False, "event_id": "e1", "seq": 1}
            return {**ids, "tool_call_id": call.id, **more}
        case "oauth":
            return {**ids, **own, "auth_url": "https://login.example/"}
        case "user_choice":
            url = f"{server.base_url}/choice"
            return {**ids, **own, "prompt": "Go?", "choices": ["a", "b"], "default": 1, "response_url": url}
        case "view_update":
            return {**ids, "view_type": "diff", "content": {"a": 1}}
    raise AssertionError(f"a new message {kind!r} needs a good example here")


def takes(hint: Any, value: Any) -> bool:
    """Whether a field of this type takes the value."""
    if hint is Raw or hint is Any:
        return True
    if isinstance(hint, types.UnionType):
        return any(takes(each, value) for each in typing.get_args(hint))
    if hint is type(None) or hint is None:
        return value is None
    if hint is bool:
        return isinstance(value, bool) or value is None  # null is false
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        inner = dict if typing.get_origin(item) is dict else item
        return isinstance(value, list) and all(isinstance(each, inner) for each in value)
    raise AssertionError(f"a field of a new type {hint} needs a rule here")


def wrong(kind: str, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each message that differs from the good one in one field, which is wrong; and what is wrong."""
    struct = MESSAGES[kind]
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        if field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield f"{field.name} missing", {name: value for name, value in body.items() if name != field.name}
        for value in VALUES:
            if not takes(hints[field.name], value):
                yield f"{field.name} {value!r}", {**body, field.name: value}
        for value in OUT_OF_RANGE.get(field.name, ()) if hints[field.name] is not Raw else ():
            yield f"{field.name} {str(value)[:40]}", {**body, field.name: value}
        of_text = takes(hints[field.name], "words") and hints[field.name] is not Raw
        if of_text and (kind, field.name) not in UNBOUNDED:
            yield f"{field.name} over-long", {**body, field.name: LONG}
    for value in (*VALUES, LONG):
        yield f"type {str(value)[:20]!r}", {**body, "type": value}


async def as_it_was(agent: Agent, server: ToolServer, call: Invocation) -> None:
    """Nothing of what was refused left a trace, and the call is still good for its result."""
    thread = await agent.thread(call.group_id)
    assert (thread["prompts"], [each["kind"] for each in await agent.entries(call.group_id)][-1]) == (
        [],
        "turn",
    )
    assert await server.answer(call.id, "the real result") == 200
    await agent.until_said(call.group_id, "the real result")


async def is_over(agent: Agent, call: Invocation) -> None:
    """Of all that was refused there is one error in the conversation, and no question."""
    await ended(agent, call)
    assert (await agent.thread(call.group_id))["prompts"] == []


@pytest.mark.rap("CB-1", "CB-6", "CB-7", "RES-1", "CHO-2", "OAU-1", "VIEW-1")
@pytest.mark.parametrize("kind", MESSAGES)
async def test_each_wrong_field_is_refused_by_name_and_at_most_ends_its_call(
    agent: Agent, server: ToolServer, call: Invocation, kind: str
) -> None:
    body = good(kind, call, server)
    assert set(body) - {"type"} == {field.name for field in msgspec.structs.fields(MESSAGES[kind])}
    rows = list(wrong(kind, body))
    assert len(rows) > 8 * len(body), "the table has lost its rows"
    for what, changed in rows:
        if changed.get("type") == kind:
            await refused_by_name(call, what, changed)
    await (as_it_was(agent, server, call) if kind in ASIDE else is_over(agent, call))
    # What is of no known type counts as a result.
    call = await another(agent, server)
    for what, changed in wrong(kind, good(kind, call, server)):
        if changed.get("type") != kind:
            await refused_by_name(call, what, changed)
    await is_over(agent, call)


async def refused_by_name(call: Invocation, what: str, changed: dict[str, Any]) -> None:
    status, answer = await send(call.callback_url, json.dumps(changed).encode())
    assert status == 400, f"{what}: {status} {answer}"
    error = answer["error"]
    assert error["rule"] and error["message"] and error["code"], what
    assert f"$.{what.split()[0]}" in error["message"], (what, error)


@pytest.mark.rap("RES-1", "CB-7")
async def test_a_result_of_neither_text_nor_content_is_none(agent: Agent, server: ToolServer) -> None:
    for neither in ({"text": None, "content": None}, {}):
        call = await another(agent, server)
        body = good("tool_result", call, server)
        changed = {key: value for key, value in body.items() if key not in ("text", "content")} | neither
        status, answer = await send(call.callback_url, json.dumps(changed).encode())
        assert (status, answer["error"]["rule"]) == (400, "RES-1")
        await is_over(agent, call)


@pytest.mark.rap("CB-1")
@pytest.mark.parametrize("kind", MESSAGES)
async def test_optional_fields_may_be_missing_or_null_and_unknown_ones_are_ignored(
    agent: Agent, server: ToolServer, kind: str
) -> None:
    struct = MESSAGES[kind]
    optional = [field.name for field in msgspec.structs.fields(struct) if field.default is not NODEFAULT]
    if kind == "tool_result":
        optional.remove("text")
    for number, blank in enumerate(({}, dict.fromkeys(optional), {"x-new": {"deep": [1]}, "": 0})):
        await agent.begin("/call echo {}")
        call = await server.invoked(number + 1)
        if kind == "subscription_event":
            assert await server.answer(call.id, "ok", subscription=True) == 200
            await agent.until_said(call.group_id, "ok")
        body = {
            name: value for name, value in good(kind, call, server).items() if name not in optional
        } | blank
        status, answer = await send(call.callback_url, json.dumps(body).encode())
        assert status == 200, f"{kind} {blank}: {answer}"


@pytest.mark.rap("CB-2", "CB-7")
@pytest.mark.trap("S6")
@pytest.mark.parametrize("kind", MESSAGES)
async def test_ids_of_another_thread_or_call_are_refused(
    agent: Agent, server: ToolServer, call: Invocation, kind: str
) -> None:
    await agent.begin("/call echo {}")
    other = await server.invoked(2)
    body = good(kind, call, server)
    named = "tool_call_id" if kind == "subscription_event" else "id"
    swapped = [{"group_id": other.group_id}, {"group_id": "thread_nowhere"}, {"group_id": call.id}]
    if named in body:
        swapped += [{named: other.id}, {named: "call_nowhere"}, {named: other.id, "group_id": other.group_id}]
    for change in swapped:
        status, answer = await send(call.callback_url, json.dumps({**body, **change}).encode())
        assert (status, answer["error"]["rule"]) == (400, "CB-2"), change
    await (as_it_was(agent, server, call) if kind in ASIDE else is_over(agent, call))
    await as_it_was(agent, server, other)


@pytest.mark.rap("CB-2", "CB-4", "SUB-1")
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("tool_result", 200),  # the same id is the same message again
        ("subscription_event", 409),
        ("oauth", 409),
        ("user_choice", 409),
        ("view_update", 200),  # belongs to the thread, not to the call
    ],
)
async def test_a_message_after_its_call_was_completed_changes_no_history(
    agent: Agent, server: ToolServer, call: Invocation, kind: str, status: int
) -> None:
    body = json.dumps(good(kind, call, server)).encode()
    assert await server.answer(call.id, "complete") == 200
    await agent.until_said(call.group_id, "complete")
    before = await agent.entries(call.group_id)
    for _ in range(2):
        answered, answer = await send(call.callback_url, body)
        assert answered == status, answer
    assert await agent.entries(call.group_id) == before
    assert (await agent.thread(call.group_id))["prompts"] == []


@pytest.mark.rap("CB-5")
@pytest.mark.trap("S1", "L19")
@pytest.mark.parametrize("kind", MESSAGES)
async def test_an_address_signed_with_another_or_a_retired_key_is_refused(
    agent: Agent, server: ToolServer, call: Invocation, kind: str
) -> None:
    body = json.dumps(good(kind, call, server)).encode()
    forged = Capabilities([generate_key()], agent.address).url(call.group_id, call.id)
    status, answer = await send(forged, body)
    assert (status, answer["error"]["rule"]) == (403, "CB-5")

    store = agent.daemon.runtime.store
    kept = json.loads(await store.meta("capability_keys") or b"[]")
    fresh = {"key": base64.b64encode(generate_key()).decode(), "made_at": kept[0]["made_at"]}
    await store.put_meta("capability_keys", json.dumps([fresh]).encode())
    await agent.restart()
    status, answer = await send(call.callback_url, body)
    assert (status, answer["error"]["rule"]) == (403, "CB-5")

    # A key that only stopped signing is still accepted: the address outlives it.
    await agent.daemon.runtime.store.put_meta("capability_keys", json.dumps([fresh, *kept]).encode())
    await agent.restart()
    await as_it_was(agent, server, call)
