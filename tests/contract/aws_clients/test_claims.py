"""Large bodies in the bucket: there and whole, or an error."""

from __future__ import annotations

import re

import pytest
from tests.contract.aws_clients.conftest import Makes

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.cloud.claims import Claims, is_claim_of
from infinity.emulator import Emulator, broken, refused, reset
from infinity.emulator.s3 import Blob
from infinity.errors import DamagedStore

SIZES = [0, 1, 1 << 18, (1 << 18) + 1, 5_000_000]


@pytest.fixture
def claims(aws: Aws) -> Claims:
    return Claims(aws, "claims-bucket")


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_comes_back_whole(claims: Claims, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    key = await claims.put("a thread/with ?#% ü", "a name", body)
    assert await claims.get(key) == body


async def test_a_key_is_digests_and_the_same_for_the_same_body(cloud: Emulator, claims: Claims) -> None:
    key = await claims.put("t", "m", b"body")
    assert re.fullmatch(r"claims/[0-9a-f]{32}/[0-9a-f]{32}\.[0-9a-f]{64}", key)
    assert await claims.put("t", "m", b"body") == key
    others = {
        await claims.put("u", "m", b"body"),
        await claims.put("t", "n", b"body"),
        await claims.put("t", "m", b"BODY"),
    }
    assert len(others | {key}) == 4 == len(cloud.s3.objects("claims-bucket"))
    assert is_claim_of(key, "t") and not is_claim_of(key, "u")


@pytest.mark.trap("L16")
async def test_a_body_that_is_gone_or_changed_is_damage_and_never_empty(
    cloud: Emulator, claims: Claims
) -> None:
    key = await claims.put("t", "m", b"body")
    objects = cloud.s3.objects("claims-bucket")
    for spoilt in (b"", b"bodY", b"body "):
        objects[key] = Blob(spoilt, {}, 0)
        with pytest.raises(DamagedStore, match="is not what was written"):
            await claims.get(key)
    del objects[key]
    with pytest.raises(DamagedStore, match="is not in the bucket"):
        await claims.get(key)


@pytest.mark.trap("S2")
@pytest.mark.parametrize("key", ["", "claims/../secrets", "/etc/passwd", "claims/" + "0" * 32, "other/x"])
async def test_a_reference_to_anything_else_is_not_fetched(aws: Aws, claims: Claims, key: str) -> None:
    with pytest.raises(DamagedStore):
        await claims.get(key)
    assert aws.counts.total() == 0


@pytest.mark.parametrize(
    "fault", [broken(503), reset(), reset(after=True)], ids=["503", "reset", "reset after"]
)
async def test_a_bucket_that_is_away_for_a_moment_is_waited_for(
    cloud: Emulator, claims: Claims, fault: object
) -> None:
    cloud.faults.add("s3", "PutObject", fault, times=2)  # type: ignore[arg-type]
    cloud.faults.add("s3", "GetObject", fault, times=2)  # type: ignore[arg-type]
    assert await claims.get(await claims.put("t", "m", b"body")) == b"body"


async def test_what_may_not_be_read_is_not_called_damaged(
    cloud: Emulator, claims: Claims, make: Makes
) -> None:
    key = await claims.put("t", "m", b"body")
    cloud.faults.add("s3", "GetObject", refused("AccessDenied", status=403))
    with pytest.raises(AwsError, match="allow s3:ListBucket, and let the role's policy allow s3:GetObject"):
        await claims.get(key)
    with pytest.raises(AwsError, match=r"NoSuchBucket.*check its name"):
        await Claims(make(), "no-bucket").put("t", "m", b"body")


@pytest.mark.trap("G7")
async def test_bodies_of_a_thread_are_deleted_and_those_of_others_are_not(
    aws: Aws, cloud: Emulator, claims: Claims
) -> None:
    records = Claims(aws, "claims-bucket", "records")
    kept = [await claims.put("u", "m", b"body"), await records.put("t", "m", b"body")]
    for number in range(12):
        await claims.put("t", f"m{number}", b"body %d" % number)
    assert await claims.forget("t") == 12
    assert sorted(cloud.s3.objects("claims-bucket")) == sorted(kept)
    assert await claims.forget("t") == 0 and await claims.forget("nobody") == 0
