"""A toolset of ``infinity.rap`` as a Lambda function.

Its handler is ``tools.lambda_handler(table=os.environ["CALLS_TABLE"])``. A stack makes one beside the
agent, and gives it to ``agent.add_toolset``. The function may invoke itself and write its own table, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .agent import InfinityAgent
from .functions import UNWANTED, log_group

__all__ = ["ToolFunction"]


class ToolFunction(Construct):
    """A toolset as a function of its own, for ``agent.add_toolset(name, function=….function)``.

    It runs on the agent's layer. It acknowledges a call and invokes itself for the work, and remembers in
    ``table`` which calls ran, so that each runs once however often Lambda delivers it (SRV-6).

    Args:
        scope: The stack.
        id: Of the construct.
        agent: Whose layer and runtime it shares.
        code: A folder.
        handler: ``module.name`` in it.
        timeout: Seconds of one call.
        environment: Variables, in the clear.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        agent: InfinityAgent,
        code: str | Path,
        handler: str,
        timeout: int = 300,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        deployment = agent.deployment
        self.table = _table(self)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log = log_group(self, deployment.options.log_days)
        log.grant_write(role)
        role.add_to_policy(
            iam.PolicyStatement(actions=["dynamodb:PutItem"], resources=[self.table.table_arn])
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(code), exclude=list(UNWANTED), ignore_mode=IgnoreMode.GLOB),
            handler=handler,
            layers=[deployment.layer],
            runtime=deployment.runtime,
            architecture=deployment.architecture,
            role=role,
            log_group=log,
            logging_format=lambda_.LoggingFormat.JSON,
            timeout=Duration.seconds(timeout),
            memory_size=512,
            environment={**(environment or {}), "CALLS_TABLE": self.table.table_name},
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        # A policy of its own: the role's could not name a function that waits for the role.
        itself = iam.PolicyStatement(
            actions=["lambda:InvokeFunction"], resources=[self.function.function_arn]
        )
        iam.Policy(self, "Itself", statements=[itself], roles=[role])


def _table(scope: Construct) -> dynamodb.Table:
    """Only what ran lately: it may go with the stack."""
    return dynamodb.Table(
        scope,
        "Calls",
        partition_key=dynamodb.Attribute(name="call", type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        time_to_live_attribute="expires",
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        encryption=dynamodb.TableEncryption.AWS_MANAGED,
        removal_policy=RemovalPolicy.DESTROY,
    )
