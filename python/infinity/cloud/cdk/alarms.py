"""When somebody has to be called: something ended among the dead letters, waits too long, fails or is throttled."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from .functions import AgentFunction
from .options import Options
from .queues import Queues

__all__ = ["Alarms"]

_EVERY = Duration.minutes(5)


class Alarms(Construct):
    """All of them do ``options.alarm_actions``; without any they are only seen in CloudWatch."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        queues: Queues,
        functions: Mapping[str, AgentFunction],
        options: Options,
    ) -> None:
        super().__init__(scope, id)
        self._actions = options.alarm_actions
        waiting = "messages that {} wait in it"
        for name, queue, what in (
            ("DeadLetters", queues.dead, "could not be processed, and that nobody could be told of,"),
            ("LateWakes", queues.late, "should have woken threads; the sweep wakes them instead, and they"),
        ):
            metric = queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_EVERY)
            self._alarm(name, metric, 1, f"{name}: {waiting.format(what)}")
        # Messages move on to the function within seconds: its invocations tell what the queue's depth no longer shows.
        given_up = functions["dead_letters"].function.metric_invocations(statistic="Sum", period=_EVERY)
        self._alarm(
            "GivenUp",
            given_up,
            1,
            "The agent function gave up on messages; they are on record, and people were told",
        )
        age = queues.inbox.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_EVERY)
        self._alarm(
            "Oldest",
            age,
            options.oldest,
            "A thread's message has been waiting for a long time; the agent's log says why",
        )
        dropped = cloudwatch.Metric(
            namespace="AWS/Scheduler",
            metric_name="InvocationDroppedCount",
            dimensions_map={"ScheduleGroup": queues.group.schedule_group_name},
            statistic="Sum",
            period=_EVERY,
        )
        self._alarm(
            "SchedulesDropped",
            dropped,
            1,
            "Schedules could not send their wakes; is the scheduler's role intact?",
        )
        for name, each in functions.items():
            shown = name.title().replace("_", "")
            errors = each.function.metric_errors(statistic="Sum", period=_EVERY)
            self._alarm(f"{shown}Errors", errors, 1, f"The function {name} failed; its log says why")
            throttles = each.function.metric_throttles(statistic="Sum", period=_EVERY)
            self._alarm(
                f"{shown}Throttles",
                throttles,
                1,
                f"The function {name} is throttled; raise the account's concurrency",
            )

    def _alarm(self, id: str, metric: cloudwatch.IMetric, threshold: float, about: str) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=about,
        )
        if self._actions:
            alarm.add_alarm_action(*self._actions)
