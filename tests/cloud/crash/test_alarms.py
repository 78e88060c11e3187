"""Half an hour without a database: nothing is lost, no function ends with an error, and somebody is called all the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenarios import ROOT

from infinity.cloud import metrics, start
from infinity.cloud.metrics import FAILING, METRICS, Threshold

from .host import CloudHost
from .minds import Held
from .runs import ended
from .silence import problems

HALF_AN_HOUR = 1800


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the agent function's processes have written into their logs for CloudWatch."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics, "_print", lambda line: lines.append(json.loads(line)))
    return lines


def fires(threshold: Threshold, lines: list[dict[str, Any]]) -> bool:
    """Whether CloudWatch would have raised the alarm: missing periods do not breach it."""
    sums: Counter[int] = Counter()
    for line in lines:
        sums[line["_aws"]["Timestamp"] // 1000 // threshold.seconds] += line[threshold.metric]
    breaching = {period for period, total in sums.items() if total >= threshold.least}
    return any(
        sum(period - back in breaching for back in range(threshold.periods)) >= threshold.breaching
        for period in breaching
    )


@pytest.mark.trap("L10", "L18")
async def test_half_an_hour_without_a_database_raises_an_alarm(
    tmp_path: Path, written: list[dict[str, Any]]
) -> None:
    async with CloudHost(tmp_path, Held(0), receives=20, visibility=5400.0, conflicts=0) as host:
        host.stage.places["INFINITY_METRICS"] = "1"
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        await host.settled()
        assert not fires(FAILING, written)
        assert await host.tools.send(host.tools.invocation(call).callback_url, b"{}") == 400, (
            "a warm receiver"
        )
        host.stage.database.refusing = True
        host.stage.database.cut()
        await _half_an_hour(host, written)
        assert await host.tools.answer(call, "found") == 503, (
            "which CloudWatch counts as Url5xxCount of the receiver"
        )
        host.stage.database.refusing = False
        await root.said("and then the rest")
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        await root.said("all done")
        await ended(host)
        assert problems(host, ROOT).count("failing") == 1


@pytest.mark.trap("L10", "L18")
async def test_half_an_hour_in_which_no_process_can_start_raises_an_alarm(
    tmp_path: Path, written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PATIENCE", 0.0)
    async with CloudHost(tmp_path, Held(0), receives=20, visibility=5400.0, conflicts=0) as host:
        host.stage.places["INFINITY_METRICS"] = "1"
        root = await host.create(ROOT)
        host.stage.database.refusing = True
        host.stage.database.cut()
        await _half_an_hour(host, written)
        host.stage.database.refusing = False
        await host.tools.invoked()
        await root.said("and then the rest")


async def _half_an_hour(host: CloudHost, written: list[dict[str, Any]]) -> None:
    """Somebody speaks by the queue, which is all that still works; after at most half an hour the alarm has fired."""
    body = {"content": {"type": "text", "text": "are you there?"}, "group_id": ROOT}
    request = {"QueueUrl": host.stage.inbox, "MessageBody": json.dumps(body), "MessageGroupId": ROOT}
    began = host.stage.clock.now()
    host.aws.sqs.send_message({**request, "MessageDeduplicationId": "x"})
    await host.until(
        lambda: fires(FAILING, written) or host.stage.clock.now() - began > HALF_AN_HOUR * 1000,
        "half an hour",
    )
    assert fires(FAILING, written)
    assert host.stage.mapping.failures == 0, (
        "no function ended with an error, so that no count of errors says it"
    )


async def test_a_failure_that_the_next_try_mends_calls_nobody(
    tmp_path: Path, written: list[dict[str, Any]]
) -> None:
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        host.stage.places["INFINITY_METRICS"] = "1"
        root = await host.create(ROOT)
        host.stage.database.refusing = True
        host.stage.database.cut()
        body = {"content": {"type": "text", "text": "are you there?"}, "group_id": ROOT}
        request = {"QueueUrl": host.stage.inbox, "MessageBody": json.dumps(body), "MessageGroupId": ROOT}
        host.aws.sqs.send_message({**request, "MessageDeduplicationId": "x"})
        await host.until(lambda: host.stage.mapping.partial > 0, "failure")
        host.stage.database.refusing = False
        call = (await host.tools.invoked()).id
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        await root.said("all done")
        await ended(host)
        assert sum(line["FailedSlices"] for line in written) > 0
        assert not fires(FAILING, written)


async def test_every_batch_writes_what_it_did_and_what_that_cost(
    tmp_path: Path, written: list[dict[str, Any]]
) -> None:
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        host.stage.places["INFINITY_METRICS"] = "1"
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        assert await host.tell(lambda: host.tools.answer(call, "found")) == 200
        await root.said("all done")
        await ended(host)
        spent = (await host.request("GET", f"/v1/threads/{ROOT}"))["spent"]
        assert sum(line["Completions"] for line in written) == 2
        assert sum(line["Tokens"] for line in written) == spent["tokens"]
        assert sum(line["Dollars"] for line in written) == pytest.approx(spent["dollars"])
        assert sum(line["FailedSlices"] for line in written) == 0
        assert all(len(line["CommitToDone"]) == len(line["Receives"]) == 1 for line in written)
        for line in written:
            (about,) = line["_aws"]["CloudWatchMetrics"]
            names = {metric["Name"]: metric["Unit"] for metric in about["Metrics"]}
            assert names == METRICS and about["Dimensions"] == [["FunctionName"]]
            assert names.keys() <= line.keys()


def test_nothing_is_written_where_nobody_reads_it(written: list[dict[str, Any]]) -> None:
    metrics.write({}, metrics.Figures(), 0)
    assert written == []
    metrics.write({"INFINITY_METRICS": "1"}, metrics.Figures(), 0)
    assert [line["FailedSlices"] for line in written] == [0]
