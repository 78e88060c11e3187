"""What is kept: encrypted, reached by TLS only, put back from copies, and what of it outlives the stack."""

from __future__ import annotations

import json

from conftest import FUNCTIONS, Template

ANY_QUEUE = "AWS::SQS::Queue"


def test_everything_that_is_kept_is_encrypted_and_reached_by_tls_only(template: Template) -> None:
    for queue in template.of(ANY_QUEUE).values():
        assert queue.get("SqsManagedSseEnabled") is True or queue.get("KmsMasterKeyId")
    for table in template.of("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"]["SSEEnabled"] is True
    bucket = template.one("AWS::S3::Bucket")
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    refusing = [
        statement
        for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")
        for policy in template.of(kind).values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and "aws:SecureTransport" in json.dumps(statement)
    ]
    assert len(refusing) == len(template.of(ANY_QUEUE)) + 1


def test_a_key_of_ones_own_is_used_everywhere(full: Template) -> None:
    assert all(queue["KmsMasterKeyId"] for queue in full.of(ANY_QUEUE).values())
    assert full.one("AWS::DSQL::Cluster")["KmsEncryptionKey"]
    assert full.one("AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"]
    assert "aws:kms" in json.dumps(full.one("AWS::S3::Bucket")["BucketEncryption"])
    for name in FUNCTIONS:
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= full.allowed(name)


def test_the_table_forgets_and_can_be_put_back(template: Template) -> None:
    for table in template.of("AWS::DynamoDB::Table").values():
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table["BillingMode"] == "PAY_PER_REQUEST"
    (main,) = [
        table for table in template.of("AWS::DynamoDB::Table").values() if len(table["KeySchema"]) == 2
    ]
    assert [key["AttributeName"] for key in main["KeySchema"]] == ["pk", "sk"]


def test_what_is_true_outlives_the_stack(plain: Template) -> None:
    assert plain.one("AWS::DSQL::Cluster")["DeletionProtectionEnabled"] is True
    for kind in ("AWS::DSQL::Cluster", "AWS::S3::Bucket"):
        (resource,) = [each for each in plain.resources.values() if each["Type"] == kind]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_is_closed_and_nothing_in_it_expires(template: Template) -> None:
    bucket = template.one("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert "AbortIncompleteMultipartUpload" in rule and not any(name.startswith("Expir") for name in rule)
