"""Something is away while a process starts: its first batch is as quick as it would be in a process that is warm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.crash.scenarios import ROOT

from infinity.aws.client import Aws
from infinity.cloud import handlers, start
from infinity.cloud.host import Host
from infinity.emulator import Emulator
from infinity.emulator.faults import throttled
from infinity.errors import ConfigError, StoreError
from infinity.testing.tool_server import answering

from .host import CloudHost
from .minds import Held
from .runs import ended
from .silence import LONGEST, problems, told

VISIBILITY = 5400.0


@pytest.mark.trap("L10")
@pytest.mark.parametrize(
    ("what", "cold"),
    [("ssm", True), ("database", True), ("database", False)],
    ids=["ssm, cold", "database, cold", "database, warm"],
)
async def test_what_is_away_at_the_start_of_a_process_costs_seconds(
    what: str, cold: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PATIENCE", 0.05)
    async with CloudHost(tmp_path, Held(0), receives=20, visibility=VISIBILITY, conflicts=0) as host:
        host.tools.behaviours["a"] = answering("found")
        host.aws.parameters.create("/infinity/key", "a key")
        host.stage.places["A_KEY"] = "ssm:/infinity/key"
        root = await host.create(ROOT)
        if not cold:
            await host.say(ROOT, "hello, warm up")
            await root.said("all done")
            await host.settled()
        rule = host.aws.faults.add("ssm", "*", throttled()) if what == "ssm" else None
        await host.stage.mapping.disable()
        since = host.stage.clock.now()
        await host.say(ROOT, "begin")
        if rule is None:
            host.stage.database.refusing = True
            host.stage.database.cut()
        host.stage.mapping.enable()
        if cold or what == "database":
            await host.until(
                lambda: host.stage.mapping.failures + host.stage.mapping.partial > 0, "a failure"
            )
        host.stage.database.refusing = False
        if rule is not None and cold:
            rule.remove()
        await host.until(lambda: answers(host) == (1 if cold else 2), "answer")
        assert (told(host)[-1][0] - since) / 1000 < LONGEST
        await ended(host)
        assert host.stage.mapping.failures == 0, "no batch fails as a whole"
        assert set(problems(host, ROOT)) <= {"failing"}


def answers(host: CloudHost) -> int:
    return sum("all done" in str(body["data"]) for _, body in told(host))


async def _opened(*outcomes: Exception | str) -> tuple[str, int]:
    left, slept = list(outcomes), 0

    async def open() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def sleep(seconds: float) -> None:
        nonlocal slept
        slept += 1

    return await start.open_patiently(open, sleep), slept


async def test_a_start_is_tried_again_and_a_wrong_setting_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "PATIENCE", 60.0)
    assert await _opened(StoreError("away"), OSError("refused"), "open") == ("open", 2)
    with pytest.raises(ConfigError):
        await _opened(ConfigError("wrong"), "open")
    monkeypatch.setattr(start, "PATIENCE", 0.0)
    with pytest.raises(StoreError):
        await _opened(StoreError("away"), "open")


@pytest.fixture
async def cloud() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest.mark.trap("L25")
async def test_a_key_that_was_renewed_is_read_again_once_a_provider_has_refused_the_old_one(
    cloud: Emulator,
) -> None:
    cloud.parameters.create("/key", "old")
    aws = Aws(cloud.environment())
    written = {"KEY": "ssm:/key", "OTHER": "plain"}
    probes = SimpleNamespace(keys_refused=False)
    made = SimpleNamespace(
        aws=aws,
        looked_at=-1e9,
        environment={"KEY": "old", "OTHER": "plain"},
        runtime=SimpleNamespace(probes=probes),
    )
    host = cast("Host", made)
    try:
        assert not await start.keys_changed(host, written)
        written["_X_AMZN_TRACE_ID"] = "of this invocation"
        assert cloud.counts["ssm.GetParameter"] == 0, "nobody asks while the keys are good"
        probes.keys_refused = True
        assert not await start.keys_changed(host, written)
        cloud.parameters.operations["PutParameter"]({"Name": "/key", "Value": "new", "Overwrite": True})
        assert not await start.keys_changed(host, written), "asked a moment ago"
        made.looked_at = -1e9
        assert await start.keys_changed(host, written)
        rule = cloud.faults.add("ssm", "*", throttled())
        made.looked_at = -1e9
        assert not await start.keys_changed(host, written)
        rule.remove()
    finally:
        await aws.close()


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def test_the_agent_function_turns_its_batch_away_and_the_others_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the handlers themselves: what calls them is Lambda, and waits for an answer or an error."""
    turned: list[str] = []

    async def open(needed: str) -> Any:
        raise StoreError("the database is away")

    async def turn_away(
        environment: object, event: object, error: Exception, **how: object
    ) -> dict[str, Any]:
        turned.append(str(error))
        return {"batchItemFailures": []}

    monkeypatch.setattr(handlers, "_open", open)
    monkeypatch.setattr(start, "turn_away", turn_away)
    try:
        assert handlers.agent({"Records": []}, _Context()) == {"batchItemFailures": []}
        assert turned == ["the database is away"]
        with pytest.raises(StoreError):
            handlers.api({}, _Context())
    finally:
        loop, handlers._Process.loop = handlers._Process.loop, None
        if loop is not None:
            loop.close()
