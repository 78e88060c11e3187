"""The queues: the inbox, where every message waits; short and long waits; what people hear; what could not be
delivered.

``agent`` makes them. Their settings are part of the host's guarantees: FIFO by thread (I1), a deduplication
id that comes from the cause (I3), and visibility that outlasts the function.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .existing import Existing
from .options import Options
from .permissions import use_key

__all__ = ["RELAY_TIMEOUT", "SIX", "Queues"]

SIX = 6
"""Visibility time-outs are so many times the function's: AWS's advice, so that a throttled batch is not
delivered twice."""
RELAY_TIMEOUT = 30
_RETENTION = Duration.days(14)


class Queues(Construct):
    """The queues of a deployment.

    ``inbox`` and ``dead`` are FIFO by thread; ``delay`` is standard, for waits up to 15 minutes; ``late``
    takes wakes that could not be sent; ``output`` is FIFO.

    Raises:
        ConfigError: for an existing queue of the wrong kind, or one that would be ahead of a database that
            was put back.
    """

    def __init__(self, scope: Construct, id: str, options: Options, existing: Existing) -> None:
        super().__init__(scope, id)
        existing.refuse_restored(options.restored)
        self._key = options.key
        self._existing = existing
        self.dead = self._found("DeadLetters", existing.dead_letters) or self._fifo(
            "DeadLetters", visibility=SIX * RELAY_TIMEOUT, kept=options.keep
        )
        self.inbox = self._found("Inbox", existing.inbox) or self._fifo(
            "Inbox",
            visibility=SIX * options.timeout,
            dead=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=options.receives),
            kept=options.keep,
        )
        self.late = self._standard("LateWakes", visibility=SIX * RELAY_TIMEOUT)
        # Forwarding is retried for hours: a wake that is dropped is found by the sweep only.
        self.delay = self._found("Delay", existing.delay, fifo=False) or self._standard(
            "Delay",
            visibility=SIX * RELAY_TIMEOUT,
            dead=sqs.DeadLetterQueue(queue=self.late, max_receive_count=100),
        )
        # A new name with each ``restored``: what the old queue was sent is not in the database any more.
        self.output = self._found("Output", existing.output) or self._fifo(
            f"Output{options.restored}", visibility=30
        )
        self.group = scheduler.ScheduleGroup(self, "Schedules", removal_policy=RemovalPolicy.DESTROY)
        self.role = self._scheduler_role()

    def _found(self, id: str, given: Any, *, fifo: bool = True) -> Any:
        return None if given is None else self._existing.found_queue(self, id, given, fifo=fifo)

    def _fifo(
        self, id: str, visibility: int, dead: sqs.DeadLetterQueue | None = None, *, kept: bool = False
    ) -> sqs.Queue:
        """High throughput: limits count per group. Deduplication ids come from the cause, never from the
        content.
        """
        return sqs.Queue(
            self,
            id,
            fifo=True,
            content_based_deduplication=False,
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
            visibility_timeout=Duration.seconds(visibility),
            retention_period=_RETENTION,
            dead_letter_queue=dead,
            enforce_ssl=True,
            encryption=self._encryption,
            encryption_master_key=self._key,
            # What was said and is not in the database yet is nowhere else.
            removal_policy=RemovalPolicy.RETAIN if kept else RemovalPolicy.DESTROY,
        )

    def _standard(self, id: str, visibility: int, dead: sqs.DeadLetterQueue | None = None) -> sqs.Queue:
        return sqs.Queue(
            self,
            id,
            visibility_timeout=Duration.seconds(visibility),
            retention_period=_RETENTION,
            dead_letter_queue=dead,
            enforce_ssl=True,
            encryption=self._encryption,
            encryption_master_key=self._key,
        )

    @property
    def _encryption(self) -> sqs.QueueEncryption:
        return sqs.QueueEncryption.KMS if self._key else sqs.QueueEncryption.SQS_MANAGED

    def _scheduler_role(self) -> iam.Role:
        """With which a schedule sends its wake. Of this group only: nobody else's schedule may use it."""
        conditions = {
            "StringEquals": {
                "aws:SourceAccount": Stack.of(self).account,
                "aws:SourceArn": self.group.schedule_group_arn,
            }
        }
        role = iam.Role(
            self,
            "SchedulerRole",
            assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com", conditions=conditions),
            description="Schedules of Infinity send wakes to the inbox queue",
        )
        places = [self.inbox.queue_arn, self.late.queue_arn]
        role.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=places))
        use_key(role, self._key)
        return role
