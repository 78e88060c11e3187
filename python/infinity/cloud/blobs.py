"""Large bodies in S3, by reference: a key that is made of digests, the body's own among them (claim check).

The store uses it for messages that a queue cannot take and for columns that the database cannot, the hints
for views. A reference is written only after its body is durable. Nothing may be read by a key that was not
checked: anyone who may send to a queue may write any key into a message (S6).
"""

from __future__ import annotations

import base64
import hashlib
import re

from infinity.aws.client import Aws
from infinity.aws.failure import AwsError
from infinity.errors import DamagedStore

__all__ = ["BlobStore", "is_claim_of"]

_KEY = re.compile(r"(?:claims|records)/(?P<thread>[0-9a-f]{32})/[0-9a-f]{32}\.(?P<body>[0-9a-f]{64})")
_LISTED = re.compile(r"<Key>([^<]+)</Key>")
_GONE = frozenset({"NoSuchKey", "NotFound", "HTTP 404"})


class BlobStore:
    """Bodies in one bucket. What refers to a body is written after it, so a reference without a body is
    damage, and never an empty body (I8).

    Bodies go with the thread that they were put for (``forget``). Beyond that the bucket's lifecycle may
    delete in the folder ``claims``, once no queue can hold a reference any more; what is in ``records``
    belongs to rows of the database, for as long as these are there.
    """

    def __init__(self, aws: Aws, bucket: str, folder: str = "claims") -> None:
        self._aws = aws
        self._bucket = bucket
        self._folder = folder

    async def put(self, thread: str, name: str, body: bytes) -> str:
        """Store a body, durably when this returns.

        Args:
            thread: The thread that the body is deleted with.
            name: What the body is within the thread, such as a message id; it becomes part of the key as a
                digest.
            body: Any bytes.

        Returns:
            The key. The same body under the same name has the same key, so a repeat changes nothing.

        Raises:
            AwsError: if S3 did not take it.
        """
        key = _key(self._folder, thread, name, body)
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "x-amz-checksum-sha256": checksum}
        await self._aws.rest(
            "s3", "PUT", f"/{self._bucket}/{key}", operation="PutObject", headers=headers, body=body
        )
        return key

    async def get(self, key: str) -> bytes:
        """Read a body and compare it with the digest that its key holds.

        Args:
            key: As ``put`` returned it.

        Raises:
            DamagedStore: if the key is none of ours, the body is gone, or it is not what was put (I8).
            AwsError: if that cannot be known now.
        """
        found = _KEY.fullmatch(key)
        if found is None:
            raise DamagedStore("a reference to the bucket cannot be read: it is not a key of a body")
        try:
            answer = await self._aws.rest("s3", "GET", f"/{self._bucket}/{key}", operation="GetObject")
        except AwsError as error:
            if error.service_code not in _GONE:
                raise
            raise DamagedStore(
                f"{key} is not in the bucket {self._bucket}; if its lifecycle expired it, let it keep claims/ for longer"
            ) from error
        # S3 checks the upload only. A body that was overwritten by hand must not enter a conversation.
        if hashlib.sha256(answer.body).hexdigest() != found["body"]:
            raise DamagedStore(f"{key} in the bucket {self._bucket} is not what was written")
        return answer.body

    async def forget(self, thread: str) -> int:
        """Delete every body that was put for the thread, referred to or not. Repeated, it finds nothing.

        Returns:
            How many bodies were deleted.

        Raises:
            AwsError: if one could not be listed or deleted; call it again.
        """
        prefix, gone = f"{self._folder}/{_digest(thread)}/", 0
        # Each round lists from the beginning, because what it listed before is deleted: no continuation token
        # is needed.
        while keys := await self._keys(prefix):
            for key in keys:
                await self._aws.rest("s3", "DELETE", f"/{self._bucket}/{key}", operation="DeleteObject")
            gone += len(keys)
        return gone

    async def _keys(self, prefix: str) -> list[str]:
        """The first ones that begin so. They are made of digests, so nothing in them is escaped."""
        query = {"list-type": "2", "prefix": prefix}
        answer = await self._aws.rest("s3", "GET", f"/{self._bucket}", operation="ListObjectsV2", query=query)
        return [key for key in _LISTED.findall(answer.body.decode()) if _KEY.fullmatch(key)]


def is_claim_of(key: str, thread: str) -> bool:
    """Whether a key is that of a message's body which was put for this thread.

    Args:
        key: From a queue, and so from anybody who may send to it (S6).
        thread: Which the message says it is for.
    """
    found = _KEY.fullmatch(key)
    return found is not None and key.startswith("claims/") and found["thread"] == _digest(thread)


def _key(folder: str, thread: str, name: str, body: bytes) -> str:
    return f"{folder}/{_digest(thread)}/{_digest(name)}.{hashlib.sha256(body).hexdigest()}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
