"""When somebody has to be called, and what they look at then.

Slices that fail, letters that lie dead, URLs that answer with errors; and a dashboard. ``agent`` makes
both. An alarm is for what goes on, not for what a retry repairs within minutes, and its text says where to
look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infinity.cloud.metrics import FAILING, METRICS, NAMESPACE

from .backup import Backup
from .functions import AgentFunction
from .options import Options
from .permissions import use_topic_key
from .queues import Queues
from .stores import Stores

__all__ = ["Alarms", "Dashboard"]

_EVERY = Duration.minutes(5)
_LONG_DEAD = 900
"""Seconds after which a letter that the function could not even put on record is one for people: it tries
that for as long."""


class Alarms(Construct):
    """All alarms of a deployment.

    They do ``options.alarm_actions``, and write to ``topic``, which ``options.alarm_email`` hears; others
    may subscribe to it at any time. The text of each says what to look at.

    Args:
        scope: The agent.
        id: Of the construct.
        queues: Whose age and depth are watched.
        functions: By name; all of them are watched.
        stores: The cluster, if it is the deployment's own.
        options: Who is called, and when a message counts as old.
        backup: The daily copies, if there are any.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        queues: Queues,
        functions: Mapping[str, AgentFunction],
        stores: Stores,
        options: Options,
        backup: Backup | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.topic = self._topic(options)
        self._actions = [*options.alarm_actions, actions.SnsAction(self.topic)]
        self._on_slices(functions["agent"])
        self._on_queues(queues, functions, options)
        self._on_functions(functions)
        self._on_database(stores)
        if backup is not None:
            self._on_copies(backup)

    def _topic(self, options: Options) -> sns.Topic:
        topic = sns.Topic(self, "Topic", enforce_ssl=True, master_key=options.key)
        use_topic_key(options.key)
        if options.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(options.alarm_email))
        return topic

    # -- what is watched

    def _on_slices(self, agent: AgentFunction) -> None:
        """Nothing of it is an error of the function, which goes on with the others."""
        failed = own_metric(agent, FAILING.metric, period=Duration.seconds(FAILING.seconds))
        self._alarm(
            "FailedSlices",
            failed,
            FAILING.least,
            "Slices fail, and keep failing: the agent's log and GET /v1/threads/ID say why (the database, a model, a service that is away)",
            periods=FAILING.periods,
            breaching=FAILING.breaching,
        )

    def _on_queues(self, queues: Queues, functions: Mapping[str, AgentFunction], options: Options) -> None:
        # Not how many are visible: a letter that is tried again and again is hidden nearly all the time.
        dead = queues.dead.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_EVERY)
        self._alarm(
            "DeadLetters",
            dead,
            _LONG_DEAD,
            "DeadLetters: messages that could not be put on record wait in it",
        )
        late = queues.late.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_EVERY)
        self._alarm(
            "LateWakes",
            late,
            1,
            "LateWakes: wakes that could not be sent; the sweep wakes their threads instead",
        )
        # Messages move on to the function within seconds: its invocations tell what the queue's depth no
        # longer shows.
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
        group = {"ScheduleGroup": queues.group.schedule_group_name}
        dropped = _metric("AWS/Scheduler", "InvocationDroppedCount", group)
        self._alarm(
            "SchedulesDropped",
            dropped,
            1,
            "Schedules could not send their wakes; is the scheduler's role intact?",
        )

    def _on_functions(self, functions: Mapping[str, AgentFunction]) -> None:
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
        for name in ("receiver", "api"):
            # An answer of 503 is not an error of the function.
            answers = functions[name].function.metric("Url5xxCount", statistic="Sum", period=_EVERY)
            self._alarm(
                f"{name.title()}5xx",
                answers,
                1,
                f"The URL of the function {name} answers with errors, again and again; its log says why",
                periods=3,
                breaching=2,
            )

    def _on_database(self, stores: Stores) -> None:
        if not stores.cluster_id:
            return  # A database of somebody else's is watched by them.
        timeouts = database_metric(stores, "QueryTimeouts")
        self._alarm(
            "QueryTimeouts",
            timeouts,
            1,
            "Queries of the database take longer than it allows, again and again",
            periods=3,
            breaching=2,
        )

    def _on_copies(self, backup: Backup) -> None:
        """A bucket without versions, for one, is never copied, and the deployment does not know how an
        existing one is set.
        """
        vault = {"BackupVaultName": backup.vault.backup_vault_name}
        failed = _metric("AWS/Backup", "NumberOfBackupJobsFailed", vault)
        self._alarm(
            "CopiesFailed",
            failed,
            1,
            "A daily copy failed: the jobs of AWS Backup say of what and why; a bucket needs versioning",
        )

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        about: str,
        *,
        periods: int = 1,
        breaching: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            datapoints_to_alarm=breaching,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            # Metrics of queues and functions that have nothing to do are missing, and that is well.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=about,
        )
        alarm.add_alarm_action(*self._actions)


class Dashboard(Construct):
    """What the functions do and what it costs, on one page of CloudWatch."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        queues: Queues,
        functions: Mapping[str, AgentFunction],
        stores: Stores,
    ) -> None:
        super().__init__(scope, id)
        agent = functions["agent"]
        own = {name: own_metric(agent, name) for name in METRICS}
        slow = [own_metric(agent, "CommitToDone", statistic=each) for each in ("p50", "p99")]
        board = cloudwatch.Dashboard(self, "Dashboard")
        for row in (
            (
                ("Completions and failed slices", [own["Completions"], own["FailedSlices"]]),
                ("Tokens", [own["Tokens"]]),
                ("Dollars", [own["Dollars"]]),
            ),
            (
                ("From a commit until everything has left, ms", slow),
                ("Receives of a message", [own_metric(agent, "Receives", statistic="Maximum")]),
                (
                    "Age of the oldest message, s",
                    [
                        queue.metric_approximate_age_of_oldest_message(statistic="Maximum")
                        for queue in (queues.inbox, queues.dead)
                    ],
                ),
            ),
            (
                ("Errors", [each.function.metric_errors(statistic="Sum") for each in functions.values()]),
                (
                    "Answers with 5xx",
                    [
                        functions[name].function.metric("Url5xxCount", statistic="Sum")
                        for name in ("receiver", "api")
                    ],
                ),
                (
                    "Database",
                    [
                        database_metric(stores, name)
                        for name in ("TotalTransactions", "OccConflicts", "QueryTimeouts")
                        if stores.cluster_id
                    ],
                ),
            ),
        ):
            board.add_widgets(*(_graph(title, metrics) for title, metrics in row if metrics))


def _graph(title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6, period=_EVERY)


def own_metric(
    agent: AgentFunction, name: str, *, statistic: str = "Sum", period: Duration = _EVERY
) -> cloudwatch.Metric:
    """A metric that the agent function writes into its log (``cloud/metrics.py``).

    Args:
        agent: The agent function.
        name: One of ``METRICS``.
        statistic: As CloudWatch names it.
        period: Over which it is taken.
    """
    function = {"FunctionName": agent.function.function_name}
    return _metric(NAMESPACE, name, function, statistic, period)


def database_metric(stores: Stores, name: str) -> cloudwatch.Metric:
    """A metric of the cluster of Aurora DSQL, summed up."""
    return _metric("AWS/AuroraDSQL", name, {"ClusterId": stores.cluster_id})


def _metric(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    statistic: str = "Sum",
    period: Duration = _EVERY,
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period,
    )
