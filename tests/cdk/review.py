"""Judges a synthesised template as somebody would who reads it before it is deployed: what is missing, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["review"]

Resources = Mapping[str, dict[str, Any]]


def review(template: Mapping[str, Any]) -> list[str]:
    resources: Resources = template["Resources"]
    judges = (bodies, doors, mappings, alarms, bucket)
    return [finding for judge in judges for finding in judge(resources)]


def of(resources: Resources, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == f"AWS::{kind}"
    }


def bodies(resources: Resources) -> Iterator[str]:
    """The code writes both folders (``infinity/cloud/blobs.py``)."""
    for name, policy in of(resources, "IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            where = json.dumps(statement["Resource"])
            if "s3:PutObject" in statement["Action"] and "/records/*" not in where:
                yield f"{name}: may write claims/* only; large columns go to records/*"


def doors(resources: Resources) -> Iterator[str]:
    for url in of(resources, "Lambda::Url").values():
        function = url["TargetFunctionArn"]["Fn::GetAtt"][0]
        known = resources[function]["Properties"]
        if url["AuthType"] == "NONE" and "ReservedConcurrentExecutions" not in known:
            yield f"{function}: anybody may call it, and it may take the account's whole concurrency"


def mappings(resources: Resources) -> Iterator[str]:
    """Without a maximum the poller reads more than can run, and what is throttled comes back after the visibility time-out."""
    for name, mapping in of(resources, "Lambda::EventSourceMapping").items():
        if "ScalingConfig" not in mapping:
            yield f"{name}: no maximum concurrency"


def alarms(resources: Resources) -> Iterator[str]:
    found = of(resources, "CloudWatch::Alarm")
    silent = [name for name, alarm in found.items() if not alarm.get("AlarmActions")]
    yield from (f"{name}: an alarm that nobody hears" for name in silent)
    watched = {(alarm["Namespace"], alarm["MetricName"]) for alarm in found.values()}
    if ("AWS/Lambda", "Url5xxCount") not in watched:
        yield "no alarm on a door that answers 503: it is not an error of the function"
    if of(resources, "DSQL::Cluster") and not any(space == "AWS/AuroraDSQL" for space, _ in watched):
        yield "no alarm on the database"


def bucket(resources: Resources) -> Iterator[str]:
    emptied = [each for each in resources.values() if each["Type"] == "Custom::S3AutoDeleteObjects"]
    for name, each in resources.items():
        if each["Type"] == "AWS::S3::Bucket" and each.get("DeletionPolicy") == "Delete" and not emptied:
            yield f"{name}: deleted with the stack, but not emptied: 'cdk destroy' ends in DELETE_FAILED"
