"""Queues, schedules and the sweep."""

from __future__ import annotations

import json

from conftest import Template, listed, queues


def test_fifo_queues_count_per_thread_and_never_look_at_the_content(template: Template) -> None:
    for name in ("inbox", "dead", "output"):
        _, queue = queues(template)[name]
        assert queue["FifoQueue"] is True
        assert queue["DeduplicationScope"] == "messageGroup"
        assert queue["FifoThroughputLimit"] == "perMessageGroupId"
        assert queue["ContentBasedDeduplication"] is False


def test_every_queue_that_a_function_takes_from_has_a_dead_letter_queue_and_time(template: Template) -> None:
    functions = template.of("AWS::Lambda::Function")
    mappings = template.of("AWS::Lambda::EventSourceMapping").values()
    taken = {}
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == 10
        target = json.dumps(mapping["FunctionName"])
        named = template.of("AWS::Lambda::Alias").items()
        target += "".join(json.dumps(alias["FunctionName"]) for name, alias in named if name in target)
        timeout = next(each["Timeout"] for id, each in functions.items() if f'"{id}"' in target)
        taken[mapping["EventSourceArn"]["Fn::GetAtt"][0]] = timeout
    named = queues(template)
    assert set(taken) == {named[name][0] for name in ("inbox", "delay", "dead")}
    for id, queue in named.values():
        if id in taken:
            assert queue["VisibilityTimeout"] >= 6 * taken[id]
    assert named["inbox"][1]["RedrivePolicy"]["maxReceiveCount"] >= 5
    assert named["delay"][1]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] == named["late"][0]
    assert named["dead"][1].get("FifoQueue") and not named["late"][1].get("FifoQueue")


def test_a_schedule_may_send_wakes_and_nothing_else(template: Template) -> None:
    role = template.variables("agent")["INFINITY_SCHEDULE_ROLE"]
    statements = template.statements(role)
    assert {action for each in statements for action in listed(each["Action"])} <= {
        "sqs:SendMessage",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
    trust = template.of("AWS::IAM::Role")[role["Fn::GetAtt"][0]]["AssumeRolePolicyDocument"]["Statement"]
    assert all("aws:SourceArn" in json.dumps(each["Condition"]) for each in trust)


def test_the_sweep_runs_every_quarter_of_an_hour(template: Template) -> None:
    rule = template.one("AWS::Events::Rule")
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    assert template.id_of("sweep") in json.dumps(rule["Targets"])


def test_nothing_is_called_before_it_is_started(template: Template, network: Template) -> None:
    for each, on in ((template, False), (network, True)):
        mappings = each.of("AWS::Lambda::EventSourceMapping")
        assert {mapping.get("Enabled", True) for mapping in mappings.values()} == {on}
        (rule,) = each.of("AWS::Events::Rule")
        assert each.of("AWS::Events::Rule")[rule]["State"] == ("ENABLED" if on else "DISABLED")
        outputs = each.document["Outputs"]
        named = outputs["AgentEventSources"]["Value"]["Fn::Join"][1]
        assert [part["Ref"] for part in named if isinstance(part, dict)] == list(mappings)
        assert outputs["AgentRules"]["Value"] == {"Ref": rule}


def test_each_function_that_needs_the_database_may_log_in_as_a_role(template: Template) -> None:
    parts = template.document["Outputs"]["AgentDatabaseRoles"]["Value"]["Fn::Join"][1]
    roles = [part["Fn::GetAtt"][0] for part in parts if isinstance(part, dict)]
    functions = template.functions()
    wanted = {functions[name]["Role"]["Fn::GetAtt"][0] for name in set(functions) - {"relay"}}
    assert set(roles) == wanted and len(roles) == len(wanted)
    assert {part.strip() for part in parts if isinstance(part, str)} == {
        "infinity=",
        "infinity_receiver:receiver=",
        "infinity_sweep:sweep=",
    }
