"""Copies, once a day: of the cluster that has the truth, the table, and the bucket that the cluster refers
to.
"""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_backup as backup
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from .options import Options
from .stores import Stores

__all__ = ["Backup"]

_POLICIES = ("service-role/AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForS3Backup")
"""AWS's own, which follow what AWS Backup learns to copy."""


class Backup(Construct):
    """Daily copies in a vault that outlives the stack, kept for ``options.backup`` days.

    A database of one's own is not copied.
    """

    def __init__(self, scope: Construct, id: str, stores: Stores, options: Options) -> None:
        super().__init__(scope, id)
        self.vault = backup.BackupVault(
            self, "Vault", encryption_key=options.key, removal_policy=RemovalPolicy.RETAIN
        )
        self.plan = backup.BackupPlan(self, "Plan", backup_vault=self.vault)
        self.plan.add_rule(
            backup.BackupPlanRule(
                rule_name="Daily",
                schedule_expression=events.Schedule.cron(minute="0", hour="3"),
                start_window=Duration.hours(1),
                completion_window=Duration.hours(6),
                delete_after=Duration.days(options.backup),
            )
        )
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("backup.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in _POLICIES],
        )
        arns = [stores.table.table_arn, stores.bucket.bucket_arn]
        if stores.cluster_id:
            arns.insert(0, stores.cluster_arn)
        self.plan.add_selection(
            "Stores",
            resources=[backup.BackupResource.from_arn(arn) for arn in arns],
            role=role,
            # The role is given exactly the policies above; the default would add one that allows more.
            disable_default_backup_policy=True,
        )
