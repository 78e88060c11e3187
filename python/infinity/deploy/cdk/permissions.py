"""Who may do what: single actions on named resources, for one role each.

``agent`` calls these functions for each of its own. Tests evaluate the synthesised statements while the
functions run (``tests/cloud/crash/permissions.json``), so that an action that is not needed any more is
seen, and one that is missing fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

if TYPE_CHECKING:
    from .queues import Queues
    from .stores import Stores

__all__ = [
    "be_in_network",
    "call_function",
    "connect",
    "delete_claims",
    "keep_claims",
    "keep_items",
    "schedule",
    "send",
    "use_key",
    "use_topic_key",
]

_ITEMS = {
    "agent": ("GetItem", "PutItem", "DeleteItem", "Query", "BatchWriteItem"),
    # What people say is counted, up to a limit, in one step.
    "api": ("GetItem", "PutItem", "UpdateItem", "Query", "BatchWriteItem"),
    # Of views it asks how many there are.
    "receiver": ("GetItem", "PutItem", "Query"),
    "dead_letters": ("GetItem", "BatchWriteItem"),
}
_READ = {
    "agent": ("claims", "records"),
    "api": ("claims", "records"),
    "receiver": ("records",),
    "dead_letters": ("claims", "records"),
}
"""Bodies that were too large for a queue or an item (``claims``), and for a column (``records``), by
function."""
_WRITTEN = {
    "agent": ("claims", "records"),
    "api": ("claims", "records"),
    "receiver": ("claims", "records"),
    "dead_letters": ("records",),
}


def connect(role: iam.Role, stores: Stores) -> None:
    """Allow a role to log in to the cluster as the database role that it has been given; never as its admin."""
    _allow(role, ["dsql:DbConnect"], [stores.cluster_arn])


def send(role: iam.Role, *queues: Any) -> None:
    """Allow a role to send to these queues."""
    _allow(role, ["sqs:SendMessage"], [queue.queue_arn for queue in queues])


def keep_items(role: iam.Role, stores: Stores, function: str) -> None:
    """Allow a function what it does with items of the table. The sweep does nothing with them.

    Args:
        role: The function's.
        stores: Where the table is.
        function: Its name, which decides the actions.
    """
    if function in _ITEMS:
        # The table only: no index, and no action on the table itself.
        _allow(role, [f"dynamodb:{action}" for action in _ITEMS[function]], [stores.table.table_arn])


def keep_claims(role: iam.Role, stores: Stores, function: str) -> None:
    """Allow a function what it does with large bodies in the bucket. The sweep does nothing with them.

    Args:
        role: The function's.
        stores: Where the bucket is.
        function: Its name, which decides the folders.
    """
    if function not in _READ:
        return
    _allow(role, ["s3:GetObject"], _bodies(stores, _READ[function]))
    _allow(role, ["s3:PutObject"], _bodies(stores, _WRITTEN[function]))
    # Without it S3 says "access denied" of an object that is not there, which looks like an outage.
    _allow(role, ["s3:ListBucket"], [stores.bucket.bucket_arn])


def delete_claims(role: iam.Role, stores: Stores) -> None:
    """Of conversations that are deleted."""
    _allow(role, ["s3:DeleteObject"], _bodies(stores, ("claims", "records")))


def _bodies(stores: Stores, folders: Sequence[str]) -> list[str]:
    return [stores.bucket.arn_for_objects(f"{folder}/*") for folder in folders]


def schedule(role: iam.Role, queues: Queues) -> None:
    """Make and delete schedules of the group, and hand them the role that they send with."""
    arn = Stack.of(role).format_arn(
        service="scheduler", resource="schedule", resource_name=f"{queues.group.schedule_group_name}/*"
    )
    actions = ("CreateSchedule", "DeleteSchedule")
    _allow(role, [f"scheduler:{action}" for action in actions], [arn])
    to_scheduler = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    _allow(role, ["iam:PassRole"], [queues.role.role_arn], to_scheduler)


def call_function(role: iam.Role, function_arn: str) -> None:
    """Allow a role to call a function through its URL: since October 2025 that takes two permissions.

    Args:
        role: The caller's.
        function_arn: Of the function that is called.
    """
    by_iam = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
    _allow(role, ["lambda:InvokeFunctionUrl"], [function_arn], by_iam)
    by_url = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    _allow(role, ["lambda:InvokeFunction"], [function_arn], by_url)


def use_key(role: iam.Role, key: Any) -> None:
    """Allow a role to use the key that data is kept with; nothing to do where the services have their own."""
    if key is not None:
        _allow(role, ["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn])


def be_in_network(role: iam.Role) -> None:
    """Lambda makes and deletes the function's network interfaces with its role; these actions know no
    narrower resources.
    """
    actions = (
        "CreateNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "DeleteNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
    )
    _allow(role, [f"ec2:{action}" for action in actions], ["*"])


def use_topic_key(key: Any) -> None:
    """Alarms that write to a topic need its key."""
    if key is not None:
        key.grant_encrypt_decrypt(iam.ServicePrincipal("cloudwatch.amazonaws.com"))


def _allow(role: iam.Role, actions: Sequence[str], resources: Sequence[str], conditions: Any = None) -> None:
    role.add_to_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )
