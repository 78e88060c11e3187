"""``InfinityAgent``: functions, queues, stores, permissions and alarms of one agent.

A stack of the user's makes it; everything else in this package is made by it. It synthesises a template and
calls no AWS. Tables and database roles are not its business, and what brings work is deployed switched off:
``infinity cloud migrate`` makes the former and starts the latter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, Duration, Fn
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct

from . import permissions, shares
from .alarms import Alarms, Dashboard
from .backup import Backup
from .configuration import token_variables
from .environment import grant_secret, reference
from .existing import Existing
from .functions import AgentFunction, Deployment, Duty
from .options import Options
from .queues import RELAY_TIMEOUT, Queues
from .stores import RESTRICTED, Stores
from .toolsets import Toolset

__all__ = ["InfinityAgent"]

_BATCH = 10
_SHORT = 30
"""Seconds that the functions may take which run no slices."""
_SWEEP = Duration.minutes(15)


class InfinityAgent(Construct):
    """One agent on AWS.

    ``inbox_url``, ``output_url``, ``receiver_url``, ``api_url`` and ``store_url`` are outputs of the stack
    too; ``deployment`` has the layer, the runtime and the architecture for functions of your own. The
    tables are made by ``infinity cloud migrate`` and not by the deployment: it is the only step that needs
    the cluster's admin, and it can fail and be run again without rolling anything back.

    Args:
        scope: The stack.
        id: Of the construct; outputs begin with its letters and digits.
        code: A folder with ``infinity.toml`` and functions of its own.
        layer: The zip of ``infinity layer build``.
        options: What is chosen; everything has a default.
        stores: What is there already (``Stores.existing``).

    Raises:
        ConfigError: for a folder, a layer or a setting that cannot be deployed; nothing is synthesised
            then.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | Path,
        layer: str | Path,
        options: Options | None = None,
        stores: Existing | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.options = options or Options()
        existing = stores or Existing()
        self.queues = Queues(self, "Queues", self.options, existing)
        self.stores = Stores(self, "Stores", self.options, existing)
        self.deployment = Deployment(self, code, layer, self.options)
        self.functions = {duty.name: self._function(duty) for duty in _duties(self.options)}
        self._event_sources: list[str] = []
        self.receiver_url, self.api_url = self._doors()
        # Roles, triggers and secrets in this order: each needs the functions and the addresses before it.
        self._allow()
        self._trigger()
        self._give_secrets(Path(code))
        copies = Backup(self, "Backup", self.stores, self.options) if self.options.backup else None
        self.alarms = Alarms(self, "Alarms", self.queues, self.functions, self.stores, self.options, copies)
        Dashboard(self, "Board", self.queues, self.functions, self.stores)
        self.inbox_url = self.queues.inbox.queue_url
        self.output_url = self.queues.output.queue_url
        self.store_url = self.stores.url
        prefix = re.sub(r"[^A-Za-z0-9]", "", id)
        if self.options.reserve is None:
            shares.by_parameter(self, prefix, self.functions, _open_doors(self.options))
        self._outputs(prefix)

    def add_toolset(
        self, name: str, *, url: str = "", function: lambda_.Function | None = None, token_secret: Any = None
    ) -> None:
        """Give the agent the tools of a server, at exactly one of two places.

        Args:
            name: As in ``[toolsets.name]``.
            url: Of a server elsewhere; https.
            function: A Lambda function; calls to it are signed with IAM (S7).
            token_secret: The bearer token of a server elsewhere, in any form that ``Options.secrets``
                takes.

        Raises:
            ConfigError: for a bad name, or places that exclude each other.
        """
        calling = [self.functions[each] for each in ("agent", "api")]
        others = [self.functions[each] for each in ("receiver", "dead_letters", "sweep")]
        Toolset(self, name, calling, others, (function, url), token_secret)

    def grant_api(self, grantee: iam.IGrantable) -> None:
        """Allow somebody to call the API: both permissions that a function URL asks for."""
        self._api.grant_invoke_url(grantee)

    # -- functions

    def _function(self, duty: Duty) -> AgentFunction:
        return AgentFunction(self, duty, self.deployment, self._variables(duty.name))

    def _variables(self, name: str) -> dict[str, str]:
        queues, stores = self.queues, self.stores
        variables = {"INFINITY_INBOX_QUEUE": queues.inbox.queue_url}
        if name == "relay":
            return variables
        variables |= {
            "INFINITY_STORE": stores.url_of(name),
            "INFINITY_TABLE": stores.table.table_name,
            "INFINITY_BUCKET": stores.bucket.bucket_name,
        }
        if name in ("agent", "dead_letters", "api"):
            variables["INFINITY_OUTPUT_QUEUE"] = queues.output.queue_url
        if name == "agent":
            variables |= {
                "INFINITY_DELAY_QUEUE": queues.delay.queue_url,
                "INFINITY_SCHEDULE_GROUP": queues.group.schedule_group_name,
                "INFINITY_SCHEDULE_ROLE": queues.role.role_arn,
                "INFINITY_SCHEDULE_DEAD_LETTERS": queues.late.queue_arn,
                "INFINITY_METRICS": "1",
            }
        if self.options.agent:
            variables["INFINITY_AGENT"] = self.options.agent
        return {**variables, **self.options.environment}

    def _doors(self) -> tuple[str, str]:
        """The two function URLs: one that anybody may call who has a callback's capability, one for clients."""
        kind = lambda_.FunctionUrlAuthType
        receiver = self.functions["receiver"].entry.add_function_url(auth_type=kind.NONE)
        # A token in place of IAM: the function itself refuses anyone who has none (S1).
        auth = kind.NONE if self.options.api_token else kind.AWS_IAM
        self._api = self.functions["api"].entry.add_function_url(auth_type=auth)
        # Without the slash at its end: paths are put behind it. A function cannot refer to its own address,
        # and the receiver makes no such URLs.
        address = self.options.public_url or f"https://{Fn.select(2, Fn.split('/', receiver.url))}"
        for name in ("agent", "api", "dead_letters", "sweep"):
            self.functions[name].tell("INFINITY_PUBLIC_URL", address)
        return receiver.url, self._api.url

    def _allow(self) -> None:
        queues, stores = self.queues, self.stores
        for name, each in self.functions.items():
            # Every function may wake a thread: whatever it puts on record must be found (I7).
            permissions.send(each.role, queues.inbox)
            if name != "relay":
                self._connect(each)
                permissions.keep_items(each.role, stores, name)
                permissions.keep_claims(each.role, stores, name)
        agent = self.functions["agent"].role
        permissions.send(agent, queues.delay, queues.output)
        permissions.schedule(agent, queues)
        permissions.delete_claims(agent, stores)
        for name in ("dead_letters", "api"):
            permissions.send(self.functions[name].role, queues.output)

    def _connect(self, each: AgentFunction) -> None:
        """To the database: of one's own, by a URL that may be a secret, or the cluster."""
        if self.stores.cluster_id:
            permissions.connect(each.role, self.stores)
        elif not isinstance(self.options.store, str):
            grant_secret(self.options.store, each.role)

    def _trigger(self) -> None:
        # Switched off: nothing is tried before there are tables; 'infinity cloud migrate' starts it. Without
        # a most, the poller takes more than can run: what is throttled comes back when its visibility is
        # over, and counts as received.
        for name, queue, most in (
            ("agent", self.queues.inbox, self.options.concurrency),
            ("relay", self.queues.delay, shares.RELAYS),
            ("dead_letters", self.queues.dead, 2),
        ):
            source = sources.SqsEventSource(
                queue,
                batch_size=_BATCH,
                report_batch_item_failures=True,
                max_concurrency=most,
                enabled=self.options.started,
            )
            self.functions[name].entry.add_event_source(source)
            self._event_sources.append(source.event_source_mapping_id)
        self._rule = events.Rule(
            self,
            "Every15Minutes",
            enabled=self.options.started,
            schedule=events.Schedule.rate(_SWEEP),
            description="Wakes threads of Infinity whose wake was lost",
        )
        self._rule.add_target(targets.LambdaFunction(self.functions["sweep"].function, retry_attempts=0))

    def _give_secrets(self, code: Path) -> None:
        """The agent reads all of them. The API asks tool servers what they offer, with their tokens; the
        others only read which there are.
        """
        secrets = self.options.secrets
        tokens = token_variables(code, [*secrets, *self.options.environment])
        readers = {name: ["agent", "api"] if name in tokens else ["agent"] for name in secrets}
        for name, secret in secrets.items():
            for each in (self.functions[reader] for reader in readers[name]):
                each.tell(name, reference(secret))
                grant_secret(secret, each.role)
        if self.options.api_token:
            api = self.functions["api"]
            api.tell("INFINITY_API_TOKEN", reference(self.options.api_token))
            grant_secret(self.options.api_token, api.role)

    def _outputs(self, prefix: str) -> None:
        stores = self.stores
        # Read by ``infinity cloud migrate``: which IAM role logs in to the database as which of its own.
        roles = [
            f"{stores.role_of(name)}{f':{name}' if name in RESTRICTED else ''}={each.role.role_arn}"
            for name, each in self.functions.items()
            if name != "relay"
        ]
        for name, value, about in (
            ("InboxQueue", self.inbox_url, "Messages for threads go here"),
            ("OutputQueue", self.output_url, "Replies, prompts and problems come from here"),
            ("ReceiverUrl", self.receiver_url, "Where tool servers call back"),
            ("ApiUrl", self.api_url, "The API for clients"),
            ("StoreUrl", self.store_url, "The database, as the functions see it"),
            (
                "EventSources",
                " ".join(self._event_sources),
                "What brings work; infinity cloud migrate starts it",
            ),
            ("Rules", self._rule.rule_name, "Likewise: the sweep"),
            ("Table", stores.table.table_name, "What may lag behind, in DynamoDB"),
            ("Bucket", stores.bucket.bucket_name, "What is too big for a queue or a column"),
            ("AlarmTopic", self.alarms.topic.topic_arn, "What alarms write to"),
            ("DeadLetterQueue", self.queues.dead.queue_url, "Messages that no slice could take"),
            *(self._outputs_of_cluster(roles) if stores.cluster_id else ()),
        ):
            output = CfnOutput(self, name, value=value, description=about)
            # A name that stays the same when the construct is moved: people and scripts refer to it.
            output.override_logical_id(f"{prefix}{name}")

    def _outputs_of_cluster(self, roles: list[str]) -> list[tuple[str, str, str]]:
        admin = f"postgresql://admin@{self.stores.endpoint}/postgres"
        return [
            ("AdminUrl", admin, "The database, for infinity cloud migrate"),
            ("Cluster", self.stores.cluster_id, "The cluster of Aurora DSQL"),
            (
                "DatabaseRoles",
                " ".join(roles),
                "Database roles, each with what it is for, if that is not everything, and an IAM role that may log in as it",
            ),
        ]


def _open_doors(options: Options) -> tuple[str, ...]:
    """Functions that anybody may call; a token is looked at by the function itself."""
    return ("receiver", "api") if options.api_token else ("receiver",)


def _duties(options: Options) -> list[Duty]:
    # On Lambda memory decides the share of a CPU as well, and so how long a caller waits.
    small = 512
    share = dict.fromkeys(_open_doors(options), options.reserve or 0)
    return [
        Duty("agent", options.timeout, options.memory, "slices of threads"),
        Duty("receiver", _SHORT, small, "callbacks of tool servers", share.get("receiver", 0)),
        Duty("api", _SHORT, small, "the API for clients", share.get("api", 0)),
        Duty(
            "relay", RELAY_TIMEOUT, 256, "wakes from the delay queue", shares.RELAYS if options.reserve else 0
        ),
        Duty("dead_letters", _SHORT, small, "messages that no slice could take"),
        Duty("sweep", 120, small, "threads whose wake was lost"),
    ]
