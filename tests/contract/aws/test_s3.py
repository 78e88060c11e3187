"""S3: objects, their tags, what is not there."""

from __future__ import annotations

import hashlib

import pytest
from tests.contract.aws.backends import REGION, Aws, fresh
from tests.contract.aws.conftest import refused

SERVICE = "s3"


async def bucket(aws: Aws) -> str:
    name = fresh("bucket")
    await aws.call(
        "s3", "create_bucket", Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return name


async def read(aws: Aws, **where: str) -> bytes:
    answer = await aws.call("s3", "get_object", **where)
    body: bytes = answer["Body"].read()
    return body


@pytest.mark.parametrize("key", ["plain", "a/b/c.json", "claims/t 1/ä+b&c", "with%20percent", "a//b"])
async def test_an_object_comes_back_as_it_was_put(aws: Aws, key: str) -> None:
    name, body = await bucket(aws), bytes(range(256))
    put = await aws.call(
        "s3",
        "put_object",
        Bucket=name,
        Key=key,
        Body=body,
        ContentType="application/x-test",
        Metadata={"kind": "claim"},
    )
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert await read(aws, Bucket=name, Key=key) == body
    head = await aws.call("s3", "head_object", Bucket=name, Key=key)
    assert head["ETag"] == put["ETag"] and head["ContentLength"] == 256
    assert head["ContentType"] == "application/x-test" and head["Metadata"] == {"kind": "claim"}


async def test_an_empty_and_a_large_object_are_objects(aws: Aws) -> None:
    name = await bucket(aws)
    for size in (0, 3 << 20):
        await aws.call("s3", "put_object", Bucket=name, Key="k", Body=b"x" * size)
        assert len(await read(aws, Bucket=name, Key="k")) == size


async def test_the_last_put_is_what_is_there(aws: Aws) -> None:
    name = await bucket(aws)
    for body in (b"one", b"two"):
        await aws.call("s3", "put_object", Bucket=name, Key="k", Body=body)
    assert await read(aws, Bucket=name, Key="k") == b"two"


async def test_what_is_not_there_is_a_404_of_its_kind(aws: Aws) -> None:
    name = await bucket(aws)
    with refused("NoSuchKey") as refusal:
        await read(aws, Bucket=name, Key="none")
    assert refusal.status == 404
    with refused("NoSuchBucket"):
        await read(aws, Bucket=fresh("none"), Key="k")
    with refused("NoSuchBucket"):
        await aws.call("s3", "put_object", Bucket=fresh("none"), Key="k", Body=b"x")
    with refused("404"):
        await aws.call("s3", "head_object", Bucket=name, Key="none")


async def test_deleting_is_harmless(aws: Aws) -> None:
    name = await bucket(aws)
    await aws.call("s3", "put_object", Bucket=name, Key="k", Body=b"x")
    for _ in range(2):
        await aws.call("s3", "delete_object", Bucket=name, Key="k")
    with refused("NoSuchKey"):
        await read(aws, Bucket=name, Key="k")


async def test_a_part_of_an_object_can_be_read(aws: Aws) -> None:
    name = await bucket(aws)
    await aws.call("s3", "put_object", Bucket=name, Key="k", Body=b"0123456789")
    assert await read(aws, Bucket=name, Key="k", Range="bytes=2-4") == b"234"
    with refused("InvalidRange"):
        await read(aws, Bucket=name, Key="k", Range="bytes=10-")


async def test_objects_are_listed_by_prefix_in_pages_and_by_folder(aws: Aws) -> None:
    name = await bucket(aws)
    for key in ("a/1", "a/2", "a/b/3", "c"):
        await aws.call("s3", "put_object", Bucket=name, Key=key, Body=key.encode())
    listed = await aws.call("s3", "list_objects_v2", Bucket=name, Prefix="a/")
    assert [(each["Key"], each["Size"]) for each in listed["Contents"]] == [
        ("a/1", 3),
        ("a/2", 3),
        ("a/b/3", 5),
    ]
    first = await aws.call("s3", "list_objects_v2", Bucket=name, MaxKeys=3)
    rest = await aws.call(
        "s3", "list_objects_v2", Bucket=name, ContinuationToken=first["NextContinuationToken"]
    )
    assert first["IsTruncated"] and not rest["IsTruncated"]
    assert [each["Key"] for each in first["Contents"] + rest["Contents"]] == ["a/1", "a/2", "a/b/3", "c"]
    folders = await aws.call("s3", "list_objects_v2", Bucket=name, Delimiter="/")
    assert [each["Prefix"] for each in folders["CommonPrefixes"]] == ["a/"]
    assert [each["Key"] for each in folders["Contents"]] == ["c"]


async def test_a_put_may_ask_that_nothing_be_there(aws: Aws) -> None:
    name = await bucket(aws)
    await aws.call("s3", "put_object", Bucket=name, Key="k", Body=b"1", IfNoneMatch="*")
    with refused("PreconditionFailed") as refusal:
        await aws.call("s3", "put_object", Bucket=name, Key="k", Body=b"2", IfNoneMatch="*")
    assert refusal.status == 412
