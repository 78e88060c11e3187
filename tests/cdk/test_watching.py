"""Alarms, and the dashboard."""

from __future__ import annotations

import json

from conftest import FUNCTIONS, Template, queues
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
