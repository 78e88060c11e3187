"""Large bodies in the bucket: there and whole, or an error."""

from __future__ import annotations

import re

import pytest
from tests.contract.aws_clients.conftest import Makes

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.cloud.blobs import BlobStore, is_claim_of
from infinity.emulator import Emulator, broken, refused, reset
from infinity.emulator.s3 import Blob
from infinity.errors import DamagedStore

SIZES = [0, 1, 1 << 18, (1 << 18) + 1, 5_000_000]


@pytest.fixture
def blobs(aws: Aws) -> BlobStore:
    return BlobStore(aws, "claims-bucket")


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_comes_back_whole(blobs: BlobStore, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    key = await blobs.put("a thread/with ?#% ü", "a name", body)
    assert await blobs.get(key) == body


async def test_a_key_is_digests_and_the_same_for_the_same_body(cloud: Emulator, blobs: BlobStore) -> None:
    key = await blobs.put("t", "m", b"body")
    assert re.fullmatch(r"claims/[0-9a-f]{32}/[0-9a-f]{32}\.[0-9a-f]{64}", key)
    assert await blobs.put("t", "m", b"body") == key
    others = {
        await blobs.put("u", "m", b"body"),
        await blobs.put("t", "n", b"body"),
        await blobs.put("t", "m", b"BODY"),
    }
    assert len(others | {key}) == 4 == len(cloud.s3.objects("claims-bucket"))
    assert is_claim_of(key, "t") and not is_claim_of(key, "u")


@pytest.mark.trap("L16")
async def test_a_body_that_is_gone_or_changed_is_damage_and_never_empty(
    cloud: Emulator, blobs: BlobStore
) -> None:
    key = await blobs.put("t", "m", b"body")
    objects = cloud.s3.objects("claims-bucket")
    for spoilt in (b"", b"bodY", b"body "):
        objects[key] = Blob(spoilt, {}, 0)
        with pytest.raises(DamagedStore, match="is not what was written"):
            await blobs.get(key)
    del objects[key]
    with pytest.raises(DamagedStore, match="is not in the bucket"):
        await blobs.get(key)


@pytest.mark.trap("S2")
@pytest.mark.parametrize("key", ["", "claims/../secrets", "/etc/passwd", "claims/" + "0" * 32, "other/x"])
async def test_a_reference_to_anything_else_is_not_fetched(aws: Aws, blobs: BlobStore, key: str) -> None:
    with pytest.raises(DamagedStore):
        await blobs.get(key)
    assert aws.counts.total() == 0


@pytest.mark.parametrize(
    "fault", [broken(503), reset(), reset(after=True)], ids=["503", "reset", "reset after"]
)
async def test_a_bucket_that_is_away_for_a_moment_is_waited_for(
    cloud: Emulator, blobs: BlobStore, fault: object
) -> None:
    cloud.faults.add("s3", "PutObject", fault, times=2)  # type: ignore[arg-type]
    cloud.faults.add("s3", "GetObject", fault, times=2)  # type: ignore[arg-type]
    assert await blobs.get(await blobs.put("t", "m", b"body")) == b"body"


async def test_what_may_not_be_read_is_not_called_damaged(
    cloud: Emulator, blobs: BlobStore, make: Makes
) -> None:
    key = await blobs.put("t", "m", b"body")
    cloud.faults.add("s3", "GetObject", refused("AccessDenied", status=403))
    with pytest.raises(AwsError, match="allow s3:ListBucket, and let the role's policy allow s3:GetObject"):
        await blobs.get(key)
    with pytest.raises(AwsError, match=r"NoSuchBucket.*check its name"):
        await BlobStore(make(), "no-bucket").put("t", "m", b"body")


@pytest.mark.trap("G7")
async def test_bodies_of_a_thread_are_deleted_and_those_of_others_are_not(
    aws: Aws, cloud: Emulator, blobs: BlobStore
) -> None:
    records = BlobStore(aws, "claims-bucket", "records")
    kept = [await blobs.put("u", "m", b"body"), await records.put("t", "m", b"body")]
    for number in range(12):
        await blobs.put("t", f"m{number}", b"body %d" % number)
    assert await blobs.forget("t") == 12
    assert sorted(cloud.s3.objects("claims-bucket")) == sorted(kept)
    assert await blobs.forget("t") == 0 and await blobs.forget("nobody") == 0
