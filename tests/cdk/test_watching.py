"""Alarms, and the dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from conftest import FUNCTIONS, ROOT, Template, queues
from infinity.cloud.metrics import FAILING, METRICS, NAMESPACE


def test_somebody_is_called_when_something_is_wrong(template: Template) -> None:
    alarms = template.of("AWS::CloudWatch::Alarm").values()
    named = queues(template)
    watched = {(alarm["MetricName"], json.dumps(alarm["Dimensions"])) for alarm in alarms}

    def watches(metric: str, id: str) -> bool:
        return any(name == metric and f'"{id}"' in where for name, where in watched)

    # A letter that is tried again and again is hidden nearly all the time.
    assert watches("ApproximateAgeOfOldestMessage", named["dead"][0])
    assert not watches("ApproximateNumberOfMessagesVisible", named["dead"][0])
    for name in ("receiver", "api"):
        assert watches("Url5xxCount", template.id_of(name))
    (cluster,) = template.of("AWS::DSQL::Cluster")
    assert watches("QueryTimeouts", cluster)
    assert watches("ApproximateNumberOfMessagesVisible", named["late"][0])
    assert watches("ApproximateAgeOfOldestMessage", named["inbox"][0])
    for name in FUNCTIONS:
        assert watches("Errors", template.id_of(name)) and watches("Throttles", template.id_of(name))


def test_slices_that_keep_failing_raise_the_alarm_that_the_crash_tests_play(template: Template) -> None:
    (alarm,) = [
        each
        for each in template.of("AWS::CloudWatch::Alarm").values()
        if each["MetricName"] == FAILING.metric
    ]
    assert alarm["Namespace"] == NAMESPACE and alarm["Statistic"] == "Sum"
    assert (alarm["Threshold"], alarm["Period"]) == (FAILING.least, FAILING.seconds)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (FAILING.periods, FAILING.breaching)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": template.id_of("agent")}}]
    assert template.variables("agent")["INFINITY_METRICS"] == "1"


def test_alarms_do_what_they_are_told_and_write_to_an_address(full: Template, plain: Template) -> None:
    alarms = full.of("AWS::CloudWatch::Alarm").values()
    assert {len(alarm["AlarmActions"]) for alarm in alarms} == {2}
    (mail,) = full.of("AWS::SNS::Subscription").values()
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@agent.example")
    # Without an address there is a topic all the same, which somebody may subscribe to.
    (topic,) = plain.of("AWS::SNS::Topic")
    assert not plain.of("AWS::SNS::Subscription")
    heard = [alarm["AlarmActions"] for alarm in plain.of("AWS::CloudWatch::Alarm").values()]
    assert all(actions == [{"Ref": topic}] for actions in heard)
    assert plain.document["Outputs"]["AgentAlarmTopic"]["Value"] == {"Ref": topic}


def test_a_dashboard_shows_every_figure_of_the_functions(template: Template) -> None:
    shown = json.dumps(template.one("AWS::CloudWatch::Dashboard"))
    assert all(name in shown for name in METRICS)


# -- firing

CALM_AND_BROKEN: dict[str, tuple[list[float | None], list[float | None]]] = {
    # What CloudWatch gets every period, None where nothing: on an ordinary day, and when it is as the alarm's text says.
    "FailedSlices": ([0, 1, None, 0], [None, 3, 3]),
    "DeadLetters": ([0, 4, 130, None], [0, 301, 603, 904]),
    "LateWakes": ([0, 0, None], [0, 1]),
    "GivenUp": ([None, 0, None], [None, 1]),
    "Oldest": ([0, 60, 905, 30], [900, 1800, 2700, 3600]),
    "SchedulesDropped": ([None, 0], [None, 2]),
    "Errors": ([0, None, 0], [0, 1]),
    "Throttles": ([0, None, 0], [0, 7]),
    "5xx": ([0, 1, None, 0, 1, 0, 0], [12, 0, 40]),
    "CopiesFailed": ([None, 0, None], [None, 1]),
    "QueryTimeouts": ([0, 1, 0, 0, None], [2, None, 3]),
}


def fires(alarm: dict[str, Any], values: list[float | None]) -> bool:
    """As CloudWatch judges it after each period: so many of the last ones breach, and what is missing does not."""
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    breaching = [value is not None and value >= alarm["Threshold"] for value in values]
    return any(sum(breaching[max(0, end - periods) : end]) >= needed for end in range(1, len(values) + 1))


def scenario(template: Template, id: str) -> tuple[list[float | None], list[float | None]]:
    (name,) = [each for each in CALM_AND_BROKEN if re.search(rf"Alarms\w*?{each}[0-9A-F]{{8}}$", id)]
    return CALM_AND_BROKEN[name]


@pytest.mark.parametrize("which", ["plain", "full", "network"])
def test_every_alarm_fires_when_it_should_and_is_silent_on_an_ordinary_day(
    request: pytest.FixtureRequest, which: str
) -> None:
    template: Template = request.getfixturevalue(which)
    alarms = template.of("AWS::CloudWatch::Alarm")
    for id, alarm in alarms.items():
        calm, broken = scenario(template, id)
        assert not fires(alarm, calm), f"{id} cries wolf"
        assert fires(alarm, broken), f"{id} cannot fire"
        # What it watches is there: a resource of this stack, by the name that CloudWatch knows it by.
        for dimension in alarm["Dimensions"]:
            value = dimension["Value"]
            if isinstance(value, str):
                assert value == template.one("AWS::Scheduler::ScheduleGroup")["Name"], dimension
                continue
            named = value.get("Ref") or value["Fn::GetAtt"][0]
            assert named in template.resources, (id, dimension)
    assert len({json.dumps([each["MetricName"], each["Dimensions"]]) for each in alarms.values()}) == len(
        alarms
    ), "no two watch the same"


def test_the_guide_knows_how_many_alarms_are_paid_for(template: Template) -> None:
    guide = (ROOT / "docs" / "guides" / "lambda.md").read_text()
    assert f"({len(template.of('AWS::CloudWatch::Alarm'))} alarms, a secret)" in guide


def test_a_copy_that_fails_is_heard_of_where_copies_are_made(
    network: Template, existing: Template, plain: Template
) -> None:
    """Of a bucket that was there before and has no versions there is never one."""
    for template in (network, existing):
        (alarm,) = [
            each
            for each in template.of("AWS::CloudWatch::Alarm").values()
            if each["Namespace"] == "AWS/Backup"
        ]
        assert alarm["MetricName"] == "NumberOfBackupJobsFailed" and alarm["AlarmActions"]
        (vault,) = template.of("AWS::Backup::BackupVault")
        assert alarm["Dimensions"] == [
            {"Name": "BackupVaultName", "Value": {"Fn::GetAtt": [vault, "BackupVaultName"]}}
        ]
    assert not any(each["Namespace"] == "AWS/Backup" for each in plain.of("AWS::CloudWatch::Alarm").values())


@pytest.mark.parametrize("change", [{"Threshold": 10**9}, {"DatapointsToAlarm": 9, "EvaluationPeriods": 9}])
def test_an_alarm_that_cannot_fire_is_found(plain: Template, change: dict[str, int]) -> None:
    for id, alarm in plain.of("AWS::CloudWatch::Alarm").items():
        assert not fires({**alarm, **change}, scenario(plain, id)[1])
