"""The inspection against servers that are right, and against each way of being wrong: the right rule, and no other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from infinity.backoff import Backoff
from infinity.rap.address import Server
from infinity.rap.inspection import Outcome, Report, TimeLimits, Trial, inspect_server
from infinity.rap.server import Subscription, Toolset, ToolsetServer

from .broken_server import BrokenServer, good_tool

LIMITS = TimeLimits(acknowledge=10, patience=20, settle=0.15)
IMPATIENT = TimeLimits(acknowledge=10, patience=0.7, settle=0.15)
"""For what never comes."""
HURRIED = TimeLimits(acknowledge=1, patience=20, settle=0.15)
"""For what is never acknowledged."""
ATTENTIVE = TimeLimits(acknowledge=10, patience=20, settle=1.2)
"""For what must not come and does."""
RESERVED = frozenset({"spawn_thread"})


async def inspected(server: BrokenServer, limits: TimeLimits = LIMITS, **options: Any) -> Report:
    return await inspect_server(Server(server.base_url), limits=limits, reserved=RESERVED, **options)


def accusations(report: Report) -> set[tuple[str, str]]:
    """Rule and outcome of everything that is not right."""
    wrong = (*report.of(Outcome.BROKEN), *report.of(Outcome.WARNED))
    return {(finding.rule, finding.outcome.value) for finding in wrong}


def everything(report: Report) -> str:
    return json.dumps(report.to_json(), indent=1)


async def test_a_server_that_keeps_the_protocol_is_not_accused() -> None:
    async with BrokenServer() as server:
        report = await inspected(server)
    assert accusations(report) == set(), everything(report)
    assert report.conforms
    probed = {"DISC-1", "DISC-2", "SRV-1", "SRV-2", "SRV-3", "SRV-5", "SRV-6", "THR-3"}
    assert {finding.rule for finding in report.of(Outcome.PASSED)} == probed
    assert not report.of(Outcome.SKIPPED)


@pytest.mark.rap("SRV-1", "SRV-2", "SRV-3", "SRV-5", "SRV-6", "THR-3")
async def test_the_kit_keeps_the_protocol(tmp_path: Path) -> None:
    tools = Toolset("kit")

    @tools.tool(read_only=True, display_script='"status of " + args.branch')
    async def status(branch: str, limit: int = 3) -> str:
        """The state of a branch."""
        return branch

    @tools.subscription
    async def watch(repo: str, sub: Subscription) -> str:
        """Watches."""
        return "Watching."

    backoff = Backoff(first=0.01, longest=0.05)
    async with ToolsetServer(tools, tmp_path / "kit.db", backoff=backoff, token="secret") as server:
        trial = Trial("status", {"branch": "main"})
        target = Server(server.base_url, "secret")
        report = await inspect_server(target, limits=LIMITS, reserved=RESERVED, trial=trial)
        subscribed = await inspect_server(target, limits=LIMITS, trial=Trial("watch", {"repo": "a"}))
        stranger = await inspect_server(Server(server.base_url), limits=LIMITS)
    assert accusations(report) == set(), everything(report)
    assert not report.of(Outcome.SKIPPED)
    assert "S1" in {finding.rule for finding in report.of(Outcome.PASSED)}
    assert report.answer == {"text": "main", "subscription": False}
    assert subscribed.answer is not None and subscribed.answer["subscription"]
    assert subscribed.answer["text"].startswith("Watching.\n\nThe subscription's tool_call_id is call_")
    assert accusations(stranger) == {("DISC-1", "broken")}


DESCRIPTIONS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no tools", {"tools": []}, "DISC-2", "broken"),
    ("tools are missing", {"tools": None}, "DISC-2", "broken"),
    ("no name", {"name": ""}, "DISC-2", "broken"),
    ("a tool without a description", {"tools": [good_tool(description="")]}, "DISC-2", "broken"),
    ("a tool with spaces", {"tools": [good_tool(name="get pr")]}, "DISC-2", "broken"),
    ("a tool without a schema", {"tools": [good_tool(inputSchema=None)]}, "DISC-2", "broken"),
    ("an invalid schema", {"tools": [good_tool(inputSchema={"type": "objekt"})]}, "DISC-2", "broken"),
    ("an endpoint that is not a URL", {"endpoint": "/invoke"}, "DISC-2", "broken"),
    ("an endpoint elsewhere", {"endpoint": "http://elsewhere.example/invoke"}, "S3", "broken"),
    ("a name twice", {"tools": [good_tool(), good_tool()]}, "DISC-4", "broken"),
    ("a name of ours", {"tools": [good_tool(name="spawn_thread")]}, "DISC-4", "warned"),
    ("names alike", {"tools": [good_tool(name="a_b"), good_tool(name="a-b")]}, "", ""),
    ("an annotation of the wrong type", {"tools": [good_tool(annotations={"readOnly": "yes"})]}, "DISC-9", "broken"),
    ("needsMigration is a text", {"needsMigration": "yes"}, "MIG-1", "broken"),
    ("a script that fails", {"tools": [good_tool(displayScript="args.number +")]}, "DISC-8", "warned"),
    ("a script that is not text", {"tools": [good_tool(displayScript=5)]}, "DISC-8", "broken"),
    (
        "annotations that contradict",
        {"tools": [good_tool(annotations={"readOnly": True, "destructive": True})]},
        "DISC-9",
        "warned",
    ),
    ("a name with dots", {"tools": [good_tool(name="pr.get")]}, "DISC-2", "warned"),
]  # fmt: skip


@pytest.mark.rap("DISC-2", "DISC-3", "DISC-4", "DISC-8", "DISC-9")
@pytest.mark.trap("S10")
@pytest.mark.parametrize(
    ("document", "rule", "outcome"),
    [case[1:] for case in DESCRIPTIONS],
    ids=[case[0] for case in DESCRIPTIONS],
)
async def test_what_is_wrong_with_a_description_is_found(
    document: dict[str, Any], rule: str, outcome: str
) -> None:
    async with BrokenServer(document=document) as server:
        report = await inspected(server, probing=False)
    assert accusations(report) == ({(rule, outcome)} if rule else set()), everything(report)
    assert report.conforms is (outcome != "broken")


@pytest.mark.rap("DISC-4")
async def test_names_that_become_one_for_the_model_are_found() -> None:
    tools = [good_tool(name="a.b"), good_tool(name="a_b")]
    async with BrokenServer(document={"tools": tools}) as server:
        report = await inspected(server, probing=False)
    assert accusations(report) == {("DISC-4", "broken"), ("DISC-2", "warned")}


async def test_all_defects_of_a_description_are_told_at_once() -> None:
    tools = [good_tool(description=""), good_tool(name="b c"), good_tool(inputSchema=[])]
    async with BrokenServer(document={"name": 5, "endpoint": "nonsense", "tools": tools}) as server:
        report = await inspected(server)
    texts = [finding.text for finding in report.of(Outcome.BROKEN)]
    for place in ("$.name", "$.tools[0].description", "$.tools[1].name", "$.tools[2].inputSchema"):
        assert any(place in text for text in texts), texts


FAULTS: list[tuple[str, TimeLimits, set[tuple[str, str]]]] = [
    ("discovery is missing", LIMITS, {("DISC-1", "broken")}),
    ("discovery redirects", LIMITS, {("DISC-1", "broken")}),
    ("discovery fails", LIMITS, {("DISC-1", "broken")}),
    ("discovery hangs", HURRIED, {("DISC-6", "broken")}),
    ("discovery is not JSON", LIMITS, {("DISC-2", "broken")}),
    ("discovery is huge", LIMITS, {("DISC-2", "broken")}),
    ("discovery is HTML by its type", LIMITS, {("DISC-1", "warned")}),
    ("unknown operations get 404", LIMITS, {("SRV-2", "broken")}),
    ("bad arguments get 400", LIMITS, {("SRV-2", "broken")}),
    ("unknown operations get 500", LIMITS, {("SRV-1", "broken")}),
    ("it acknowledges with 202", LIMITS, {("INV-9", "warned")}),
    ("it never acknowledges", HURRIED, {("SRV-1", "broken")}),
    ("it works before it acknowledges", TimeLimits(2, 20, 0.15), {("SRV-1", "broken"), ("SRV-6", "warned")}),
    ("unknown operations are dropped", IMPATIENT, {("SRV-2", "broken")}),
    ("bad arguments are dropped", IMPATIENT, {("SRV-2", "broken")}),
    ("bad arguments are taken", LIMITS, {("RES-5", "warned")}),
    ("malformed bodies crash it", LIMITS, {("SRV-2", "warned")}),
    ("errors are not marked", LIMITS, {("RES-5", "warned")}),
    ("errors are stack traces", LIMITS, {("SRV-2", "warned")}),
    ("errors are subscriptions", LIMITS, {("RES-4", "warned")}),
    ("a view comes instead of a result", LIMITS, {("SRV-2", "broken")}),
    ("the id is another", LIMITS, {("CB-2", "broken")}),
    ("the thread is another", LIMITS, {("CB-2", "broken")}),
    ("call_id is not echoed", LIMITS, {("INV-3", "broken")}),
    ("the type is unknown", LIMITS, {("CB-6", "broken")}),
    ("the callback is not JSON", LIMITS, {("CB-6", "broken")}),
    ("the callback is text by its type", LIMITS, {("CB-6", "broken")}),
    ("the callback is put", LIMITS, {("CB-6", "broken")}),
    ("the callback loses its query", IMPATIENT, {("CB-5", "warned"), ("SRV-2", "broken")}),
    ("the result is empty", LIMITS, {("RES-1", "broken")}),
    ("an image is not base64", LIMITS, {("CB-1", "broken")}),
    ("a question has no choices", LIMITS, {("CHO-2", "broken")}),
    ("a page to log in is not https", LIMITS, {("OAU-1", "broken")}),
    ("duplicates run twice", ATTENTIVE, {("SRV-6", "warned")}),
    ("duplicates get 409", LIMITS, {("SRV-6", "warned")}),
    ("callbacks come once", TimeLimits(10, 2, 0.15), {("SRV-3", "warned")}),
    ("callbacks come after 404", ATTENTIVE, {("SRV-3", "warned")}),
    ("another callback comes again", LIMITS, {("SRV-3", "warned")}),
    ("there is no close_thread", LIMITS, {("THR-3", "broken")}),
    ("odd threads crash it", LIMITS, {("THR-3", "broken")}),
    ("there is no cancel_tool_call", LIMITS, {("SRV-5", "warned")}),
    ("unknown calls get 404", LIMITS, {("SRV-5", "warned")}),
]


@pytest.mark.rap(
    "CB-1", "CB-6", "CHO-2", "DISC-1", "DISC-6", "OAU-1", "RES-1", "SRV-1", "SRV-2", "SRV-3", "SRV-5", "SRV-6", "THR-3"
)  # fmt: skip
@pytest.mark.parametrize(("fault", "limits", "found"), FAULTS, ids=[case[0] for case in FAULTS])
async def test_what_a_server_does_wrong_is_found_and_nothing_else(
    fault: str, limits: TimeLimits, found: set[tuple[str, str]]
) -> None:
    async with BrokenServer(fault) as server:
        report = await inspected(server, limits)
    assert accusations(report) == found, everything(report)
    assert report.conforms is ("broken" not in {outcome for _, outcome in found})


@pytest.mark.trap("S1")
async def test_a_server_that_lets_strangers_in_is_told_so() -> None:
    async with BrokenServer() as open_, BrokenServer("tokens are checked") as guarded:
        loose = await inspect_server(Server(open_.base_url, "secret"), limits=LIMITS)
        tight = await inspect_server(Server(guarded.base_url, "secret"), limits=LIMITS)
    assert (accusations(loose), accusations(tight)) == ({("S1", "warned")}, set())


async def test_a_destructive_tool_is_never_probed() -> None:
    tools = [good_tool(annotations={"destructive": True})]
    async with BrokenServer("bad arguments are taken", {"tools": tools}) as server:
        report = await inspected(server)
    assert accusations(report) == set()
    assert [finding.check for finding in report.of(Outcome.SKIPPED)] == ["bad arguments"]


async def test_a_server_that_is_not_there_is_not_reachable(unused_tcp_port: int) -> None:
    report = await inspect_server(Server(f"http://127.0.0.1:{unused_tcp_port}"), limits=LIMITS)
    assert not report.reachable and not report.conforms
    assert accusations(report) == {("DISC-6", "broken")}


async def test_a_call_that_is_asked_for_is_judged_by_its_result() -> None:
    async with BrokenServer() as server, BrokenServer("bad arguments are dropped") as silent:
        refused = await inspected(server, trial=Trial("get_pr", {"number": 1}))
        dropped, _ = await asyncio.gather(
            inspected(silent, IMPATIENT, trial=Trial("get_pr", {"number": 1}, seconds=0.2)), asyncio.sleep(0)
        )
    assert refused.answer is not None and accusations(refused) == {("RES-5", "warned")}
    assert dropped.answer is None
    assert any(finding.check == "call of get_pr" for finding in dropped.of(Outcome.BROKEN))


def test_the_report_for_scripts_has_stable_names() -> None:
    report = Report("http://x", reachable=True)
    report.failed("SRV-2", "check", "text")
    report.failed("SRV-2", "check", "text")
    assert report.to_json() == {
        "url": "http://x",
        "reachable": True,
        "conforms": False,
        "counts": {"passed": 0, "broken": 1, "warned": 0, "skipped": 0},
        "toolset": None,
        "findings": [
            {"rule": "SRV-2", "level": "must", "outcome": "broken", "check": "check", "text": "text"}
        ],
        "answer": None,
    }
