"""What is there already, and is used instead of something new.

An earlier deployment has left it, or it was put back from a copy. ``Stores.existing`` makes it, ``queues``
and ``stores`` look it up. It is neither changed nor deleted by the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infinity.errors import ConfigError

__all__ = ["Existing"]

_CLUSTER = re.compile(r"[a-z0-9]{26}")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,75}(\.fifo)?")


@dataclass(frozen=True)
class Existing:
    """See ``Stores.existing``. What is ``None`` is made anew. Nothing of it belongs to the stack: it is
    neither changed nor deleted.
    """

    cluster: Any = None
    table: Any = None
    bucket: Any = None
    inbox: Any = None
    dead_letters: Any = None
    delay: Any = None
    output: Any = None

    def __post_init__(self) -> None:
        if self.inbox is not None and self.dead_letters is None:
            raise ConfigError(
                "an existing inbox queue sends its dead letters to an existing queue: give dead_letters too, the one that its redrive policy names"
            )
        if isinstance(self.cluster, str) and not _CLUSTER.fullmatch(self.cluster):
            raise ConfigError(
                f"{self.cluster!r} is not an identifier of a cluster of Aurora DSQL: it has 26 small letters and digits (the output …Cluster)"
            )

    def refuse_restored(self, name: str) -> None:
        """Refuse what would be ahead of a database that was put back.

        ``restored`` makes the table and the output queue anew; what is given is used as it is.

        Args:
            name: ``Options.restored``; empty if the database was never put back.

        Raises:
            ConfigError: if the table or the output queue is given although it is set.
        """
        given = [each for each in ("table", "output") if getattr(self, each) is not None]
        if name and given:
            raise ConfigError(
                f"restored={name!r} makes the table and the output queue anew, but Stores.existing({'=…, '.join(given)}=…) keeps what is ahead of the database; leave {' and '.join(given)} out"
            )

    def cluster_id(self) -> str:
        """``str``: the identifier itself; else a ``CfnCluster``."""
        return str(self.cluster if isinstance(self.cluster, str) else self.cluster.attr_identifier)

    def found_table(self, scope: Construct) -> Any:
        if not isinstance(self.table, str):
            return self.table
        return dynamodb.Table.from_table_name(scope, "Table", self.table)

    def found_bucket(self, scope: Construct) -> Any:
        if not isinstance(self.bucket, str):
            return self.bucket
        return s3.Bucket.from_bucket_name(scope, "Claims", self.bucket)

    def found_queue(self, scope: Construct, id: str, given: Any, *, fifo: bool) -> Any:
        """Find a queue that is there already.

        Args:
            scope: Where the reference to it is made.
            id: Of the reference.
            given: An ``IQueue``, or the ARN, the URL or the name of one in this account and region.
            fifo: Whether it must be a FIFO queue.

        Raises:
            ConfigError: for another kind of queue, or what is not a name of one.
        """
        if not isinstance(given, str):
            return given
        name = re.split(r"[:/]", given)[-1]
        if not _QUEUE.fullmatch(name):
            raise ConfigError(f"{given!r} is neither the name nor the URL nor the ARN of a queue")
        if name.endswith(".fifo") != fifo:
            raise ConfigError(
                f"{given!r} is {'not a FIFO queue' if fifo else 'a FIFO queue'}, but this one must {'' if fifo else 'not '}be one"
            )
        arn = given if given.startswith("arn:") else Stack.of(scope).format_arn(service="sqs", resource=name)
        return sqs.Queue.from_queue_attributes(scope, id, queue_arn=arn, fifo=fifo or None)
