"""The examples of docs/protocol.md are what the code reads and writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infinity.rap import wire
from infinity.rap.manifest import parse_manifest

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
EXAMPLES = re.findall(r"^```json (\S+)\n(.*?)^```$", PAGE, re.M | re.S)

WRITTEN: dict[str, type[msgspec.Struct]] = {
    "invocation": wire.Invocation,
    "choice-response": wire.ChoiceResponse,
    "cancel": wire.CancelToolCall,
    "close": wire.CloseThread,
    "migrate": wire.Migrate,
}


def read_toolset(body: bytes) -> None:
    toolset = parse_manifest(body, "https://tool.example")
    assert [tool.name for tool in toolset.tools] == ["get_pr"]


def read_callback(body: bytes) -> None:
    callback = wire.read_callback(body, len(body))
    shown = msgspec.json.decode(body)
    kept = msgspec.json.decode(wire.encode(callback))
    # Everything that the page shows is understood; what stands for its default is left out when it is written again.
    assert kept.items() <= shown.items()
    assert {name for name, value in shown.items() if value} <= kept.keys()


def read_error(body: bytes) -> None:
    error = msgspec.json.decode(body)["error"]
    with pytest.raises(Exception, match=re.escape(error["message"])) as caught:
        wire.read_callback(
            b'{"type":"user_choice","group_id":"t","id":"c","prompt":"?","choices":["Yes","No"],"default":2,"response_url":"http://t.example/"}',
            1000,
        )
    assert getattr(caught.value, "rule", None) == error["rule"]


READERS: dict[str, Callable[[bytes], None]] = {
    "toolset": read_toolset,
    "callback": read_callback,
    "error": read_error,
}


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_an_example_is_what_the_code_reads_or_writes(kind: str, text: str) -> None:
    body = text.encode()
    if kind in READERS:
        READERS[kind](body)
        return
    message: Any = msgspec.json.decode(body, type=WRITTEN[kind])
    assert msgspec.json.decode(wire.encode(message)) == msgspec.json.decode(body)


def test_every_message_of_the_protocol_has_an_example() -> None:
    kinds = {kind for kind, _ in EXAMPLES}
    assert kinds == {*WRITTEN, *READERS}
    types = {msgspec.json.decode(text)["type"] for kind, text in EXAMPLES if kind == "callback"}
    assert types == {"tool_result", "subscription_event", "oauth", "user_choice", "view_update"}


def test_every_field_of_a_callback_is_explained() -> None:
    for struct in (wire.ToolResult, wire.SubscriptionEvent, wire.OAuthRequest, wire.UserChoice, wire.View):
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"[`\"]{field.encode_name}[`\"]", PAGE), (struct.__name__, field.encode_name)


def test_every_rule_on_the_page_is_in_the_ledger() -> None:
    from tests.conformance.requirements import LEDGER

    named = set(re.findall(r"`([A-Z]{1,4}-?\d+)`", PAGE))
    assert named and named <= LEDGER.keys()


def test_the_page_of_rules_is_current() -> None:
    from tests.conformance.rules_page import PAGE as RULES_PAGE
    from tests.conformance.rules_page import page

    assert RULES_PAGE.read_text() == page(), "run: python -m tests.conformance.rules_page"


def test_every_rule_that_the_code_names_is_on_the_page_of_rules() -> None:
    from tests.conformance.requirements import LEDGER
    from tests.conformance.rules_page import page

    source = Path(__file__).parents[2] / "python" / "infinity"
    named = set[str]()
    for file in source.rglob("*.py"):
        text = file.read_text()
        named |= set(re.findall(r"\b((?:DISC|INV|CB|RES|SUB|OAU|CHO|VIEW|THR|CAN|RUN|MIG|SRV)-\d+)\b", text))
        for group in re.findall(r"\(((?:[BGILMRS]\d+)(?:, ?(?:[BGILMRS]\d+))*)\)", text):
            named |= set(re.split(r", ?", group))
    invariants = set(re.findall(r"^\| (I\d+) ", page(), re.M))
    assert sorted(named - LEDGER.keys() - invariants) == []
