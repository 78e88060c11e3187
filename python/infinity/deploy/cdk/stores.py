"""Where things are kept: the cluster that has the truth, the table that may lag behind, the bucket for large
bodies.

``agent`` makes them. By default they outlive the stack, because conversations are in them; nothing in the
bucket expires while the database refers to it.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnDeletionPolicy, Duration, RemovalPolicy, Stack, Tags
from aws_cdk import aws_dsql as dsql
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infinity.errors import ConfigError

from .environment import reference
from .existing import Existing
from .options import Options

__all__ = ["RESTRICTED", "Stores"]

RESTRICTED = ("receiver", "sweep")
"""Functions that log in to the database as a role which may do what they do and no more."""


class Stores(Construct):
    """Database, table and bucket of a deployment.

    ``url`` is what ``INFINITY_STORE`` says: the scoped role logs in with IAM, and there is no password.
    With ``Options(store=…)`` it is that database, and ``cluster_id`` and ``endpoint`` are empty.

    Raises:
        ConfigError: if two databases are given, or a store that would be ahead of a database that was put
            back.
    """

    def __init__(self, scope: Construct, id: str, options: Options, existing: Existing) -> None:
        super().__init__(scope, id)
        existing.refuse_restored(options.restored)
        self._removal = RemovalPolicy.RETAIN if options.keep else RemovalPolicy.DESTROY
        self.cluster_id = self._cluster_id(options, existing)
        stack = Stack.of(self)
        self.cluster_arn = stack.format_arn(service="dsql", resource="cluster", resource_name=self.cluster_id)
        self.endpoint = f"{self.cluster_id}.dsql.{stack.region}.on.aws" if self.cluster_id else ""
        self._options = options
        self.url = self.url_of("agent")
        given = existing.table is not None, existing.bucket is not None
        self.table = existing.found_table(self) if given[0] else self._table(options)
        self.bucket = existing.found_bucket(self) if given[1] else self._bucket(options)

    def role_of(self, function: str) -> str:
        """The database role that a function logs in as."""
        own = f"_{function}" if function in RESTRICTED else ""
        return f"{self._options.database_role}{own}"

    def url_of(self, function: str) -> str:
        """The database URL of one function, which names the role that it logs in as.

        A database that was there before has the role that its own URL says.
        """
        if self.cluster_id:
            return f"postgresql://{self.role_of(function)}@{self.endpoint}/postgres"
        store = self._options.store
        return store if isinstance(store, str) else reference(store)

    @staticmethod
    def existing(
        *,
        cluster: Any = None,
        table: Any = None,
        bucket: Any = None,
        inbox: Any = None,
        dead_letters: Any = None,
        delay: Any = None,
        output: Any = None,
    ) -> Existing:
        """Name what is there already, for ``InfinityAgent(stores=…)``. What is left out is made anew.

        Args:
            cluster: Its identifier, or a ``CfnCluster``.
            table: A name, or an ``ITable``.
            bucket: A name, or an ``IBucket``.
            inbox: A name, a URL, an ARN, or an ``IQueue``. It needs its ``dead_letters``, and keeps its
                visibility time-out, which must be at least as long as the functions' ``timeout``.
            dead_letters: Likewise.
            delay: Likewise; a standard queue.
            output: Likewise.

        Raises:
            ConfigError: for an identifier that is none, or an inbox without its dead letters.
        """
        return Existing(cluster, table, bucket, inbox, dead_letters, delay, output)

    def _cluster_id(self, options: Options, existing: Existing) -> str:
        if options.store is not None:
            if existing.cluster is not None:
                raise ConfigError(
                    "there can be one database only: give Options(store=…) or an existing cluster"
                )
            return ""
        return (
            existing.cluster_id()
            if existing.cluster is not None
            else str(self._cluster(options).attr_identifier)
        )

    def _cluster(self, options: Options) -> dsql.CfnCluster:
        cluster = dsql.CfnCluster(
            self,
            "Cluster",
            deletion_protection_enabled=options.keep,
            kms_encryption_key=options.key.key_arn if options.key else None,
        )
        # For replacement, too: a changed property must not take the conversations with it.
        kept = CfnDeletionPolicy.RETAIN if options.keep else CfnDeletionPolicy.DELETE
        cluster.cfn_options.deletion_policy = kept
        cluster.cfn_options.update_replace_policy = kept
        Tags.of(cluster).add("Name", self.node.path)
        return cluster

    def _table(self, options: Options) -> dynamodb.Table:
        encryption = dynamodb.TableEncryption
        return dynamodb.Table(
            self,
            # A new name with each ``restored``: what the old table remembers may not be applied any more
            # (I3).
            f"Table{options.restored}",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=encryption.CUSTOMER_MANAGED if options.key else encryption.AWS_MANAGED,
            encryption_key=options.key,
            deletion_protection=options.keep,
            removal_policy=self._removal,
        )

    def _bucket(self, options: Options) -> s3.Bucket:
        """Nothing in it expires: the database refers to it for as long as a thread is there."""
        return s3.Bucket(
            self,
            "Claims",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            encryption=s3.BucketEncryption.KMS if options.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=options.key,
            bucket_key_enabled=True if options.key else None,
            # AWS Backup copies buckets with versions only.
            versioned=True if options.backup else None,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Tidy",
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                    noncurrent_version_expiration=Duration.days(options.backup) if options.backup else None,
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.INTELLIGENT_TIERING,
                            transition_after=Duration.days(30),
                        )
                    ],
                )
            ],
            # A bucket that holds something cannot be deleted.
            auto_delete_objects=not options.keep,
            removal_policy=self._removal,
        )
