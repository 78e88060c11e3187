"""Where things are kept: the cluster that has the truth, the table that may lag behind, the bucket for what is too big for either."""

from __future__ import annotations

from aws_cdk import CfnDeletionPolicy, Duration, RemovalPolicy, Stack, Tags
from aws_cdk import aws_dsql as dsql
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .options import Options

__all__ = ["Stores"]


class Stores(Construct):
    """``url`` is what ``INFINITY_STORE`` says: the scoped role logs in with IAM, there is no password."""

    def __init__(self, scope: Construct, id: str, options: Options) -> None:
        super().__init__(scope, id)
        self._removal = RemovalPolicy.RETAIN if options.keep else RemovalPolicy.DESTROY
        self.cluster = self._cluster(options)
        region = Stack.of(self).region
        self.endpoint = f"{self.cluster.attr_identifier}.dsql.{region}.on.aws"
        self.url = f"postgresql://{options.database_role}@{self.endpoint}/postgres"
        self.table = self._table(options)
        self.bucket = self._bucket(options)

    def _cluster(self, options: Options) -> dsql.CfnCluster:
        cluster = dsql.CfnCluster(
            self,
            "Cluster",
            deletion_protection_enabled=options.keep,
            kms_encryption_key=options.key.key_arn if options.key else None,
        )
        kept = CfnDeletionPolicy.RETAIN if options.keep else CfnDeletionPolicy.DELETE
        cluster.cfn_options.deletion_policy = kept
        cluster.cfn_options.update_replace_policy = kept
        Tags.of(cluster).add("Name", self.node.path)
        return cluster

    def _table(self, options: Options) -> dynamodb.Table:
        encryption = dynamodb.TableEncryption
        return dynamodb.Table(
            self,
            "Table",
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
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Tidy",
                    abort_incomplete_multipart_upload_after=Duration.days(1),
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
