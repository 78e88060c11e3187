"""What the functions may do on the stage: the policies of a deployment, as the CDK synthesises them (``permissions.json``, which ``make cdk`` compares)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infinity.emulator import Emulator

__all__ = ["policies"]

POLICIES = Path(__file__).with_name("permissions.json")
_SECRETS = {"Action": ["ssm:GetParameter", "secretsmanager:GetSecretValue"], "Resource": ["*"]}
"""A deployment names each secret; the stage gives all functions the same variables."""


def policies(aws: Emulator, places: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Statements by function, with the places of this stage in them."""
    text = POLICIES.read_text()
    names = {
        "inbox": aws.sqs.queue(places["INFINITY_INBOX_QUEUE"]).arn,
        "delay": aws.sqs.queue(places["INFINITY_DELAY_QUEUE"]).arn,
        "output": aws.sqs.queue(places["INFINITY_OUTPUT_QUEUE"]).arn,
        "dead": aws.sqs.queue("dead.fifo").arn,
        "table": f"arn:aws:dynamodb:{aws.region}:{aws.account}:table/{places['INFINITY_TABLE']}",
        "bucket": f"arn:aws:s3:::{places['INFINITY_BUCKET']}",
        "group": places["INFINITY_SCHEDULE_GROUP"],
        "scheduler role": places["INFINITY_SCHEDULE_ROLE"],
        "region": aws.region,
        "account": aws.account,
    }
    for name, value in names.items():
        text = text.replace(f"<{name}>", value)
    found: dict[str, list[dict[str, Any]]] = json.loads(text)
    return {name: [*statements, _SECRETS] for name, statements in found.items()}
