"""Amazon S3, by path: buckets and their objects.

Objects are in memory, bodies as they came. What the cloud host does not use (versions, multipart uploads,
ACLs) is refused with ``NotImplemented`` and never ignored.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from xml.sax.saxutils import escape

from .clock import Timeline
from .failure import AwsError
from .protocols import error_document
from .signature import Refusal, SignatureRefused
from .wire import Reply, Request

__all__ = ["S3", "Blob"]

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_KEPT = {"content-type", "content-encoding", "cache-control", "content-disposition"}
_OPERATIONS = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_REFUSALS = {
    Refusal.MISSING: ("AccessDenied", "Access Denied"),
    Refusal.UNKNOWN_KEY: (
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    Refusal.INCOMPLETE: ("AuthorizationHeaderMalformed", "The authorization header is malformed."),
}


@dataclass(frozen=True)
class Blob:
    body: bytes
    headers: dict[str, str]
    """Those that are given back: the type, and ``x-amz-meta-…``."""
    written_at: int

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class S3:
    """Buckets with their objects in memory. ``create`` and ``objects`` are for tests."""

    name = "s3"

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._buckets: dict[str, dict[str, Blob]] = {}

    def create(self, bucket: str) -> None:
        """Make an empty bucket; for tests. One of that name is emptied."""
        self._buckets[bucket] = {}

    def objects(self, bucket: str) -> dict[str, Blob]:
        """The objects of a bucket by key; the table itself, so that a test may change it.

        Raises:
            AwsError: if there is no such bucket.
        """
        found = self._buckets.get(bucket)
        if found is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=bucket)
        return found

    def buckets(self) -> list[str]:
        return sorted(self._buckets)

    def operation(self, request: Request) -> str:
        """The operation that method, path and query name.

        Raises:
            AwsError: for one that the emulator does not have, such as multipart uploads.
        """
        bucket, key = _names(request)
        if not bucket:
            operation = {"GET": "ListBuckets"}.get(request.method)
        elif not key:
            usual = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
            listing = "list-type" in request.query
            operation = "ListObjectsV2" if request.method == "GET" and listing else usual.get(request.method)
        else:
            strange = {"uploads", "uploadId", "acl", "tagging", "partNumber"} & request.query.keys()
            operation = None if strange else _OPERATIONS.get(request.method)
        if operation is None:
            raise AwsError("NotImplemented", "This emulator does not have what the request asks for.", 501)
        return operation

    async def call(self, operation: str, request: Request) -> Reply:
        bucket, key = _names(request)
        match operation:
            case "ListBuckets":
                names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in self.buckets())
                return _xml(
                    f"<ListAllMyBucketsResult {_NAMESPACE}><Buckets>{names}</Buckets></ListAllMyBucketsResult>"
                )
            case "CreateBucket":
                return self._create(bucket)
            case "HeadBucket":
                self.objects(bucket)
                return Reply()
            case "DeleteBucket":
                if self.objects(bucket):
                    raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
                del self._buckets[bucket]
                return Reply(204)
            case "ListObjectsV2":
                return self._list(bucket, request.query)
            case "PutObject":
                return self._put(bucket, key, request)
            case "DeleteObject":
                self.objects(bucket).pop(key, None)
                return Reply(204)
        return self._get(bucket, key, request.headers)

    def failed(self, error: AwsError) -> Reply:
        body = error_document(error, str(uuid.uuid4()), wrapped=False)
        return Reply(error.status, body, {"content-type": "application/xml"})

    def refused(self, refused: SignatureRefused) -> Reply:
        code, message = _REFUSALS.get(refused.refusal, ("SignatureDoesNotMatch", refused.message))
        return self.failed(AwsError(code, message, 403))

    def throttled(self) -> AwsError:
        return AwsError("SlowDown", "Please reduce your request rate.", 503)

    def _create(self, bucket: str) -> Reply:
        if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) is None:
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.")
        if bucket in self._buckets:
            raise AwsError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
            )
        self.create(bucket)
        return Reply(200, b"", {"location": f"/{bucket}"})

    def _put(self, bucket: str, key: str, request: Request) -> Reply:
        inside = self.objects(bucket)
        # Refused loudly: taken as they are, chunked bodies would be stored with their frames.
        if "x-amz-copy-source" in request.headers or "aws-chunked" in request.headers.get(
            "content-encoding", ""
        ):
            raise AwsError(
                "NotImplemented", "This emulator takes bodies as they are, neither copies nor chunks.", 501
            )
        if len(key.encode()) > 1024:
            raise AwsError("KeyTooLongError", "Your key is too long")
        # Conditions and the write are one step here: nothing is awaited in between.
        if request.headers.get("if-none-match") == "*" and key in inside:
            raise AwsError(
                "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412
            )
        wanted = request.headers.get("if-match")
        if wanted is not None and (key not in inside or inside[key].etag != wanted):
            raise AwsError(
                "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412
            )
        kept = {n: v for n, v in request.headers.items() if n in _KEPT or n.startswith("x-amz-meta-")}
        inside[key] = Blob(request.body, kept, self._timeline.now())
        return Reply(200, b"", {"etag": inside[key].etag})

    def _get(self, bucket: str, key: str, headers: Mapping[str, str]) -> Reply:
        blob = self.objects(bucket).get(key)
        if blob is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=key)
        given = {
            "content-type": "binary/octet-stream",
            **blob.headers,
            "etag": blob.etag,
            "last-modified": formatdate(blob.written_at / 1000, usegmt=True),
            "accept-ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if asked is None:
            return Reply(200, blob.body, given)
        first, last = int(asked[1]), min(int(asked[2] or len(blob.body)), len(blob.body) - 1)
        if first >= len(blob.body):
            raise AwsError("InvalidRange", "The requested range is not satisfiable", 416)
        given["content-range"] = f"bytes {first}-{last}/{len(blob.body)}"
        return Reply(206, blob.body[first : last + 1], given)

    def _list(self, bucket: str, query: Mapping[str, str]) -> Reply:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        # The service's own page size: a client that asks for more has to follow the token all the same.
        most = min(int(query.get("max-keys", 1000)), 1000)
        after = query.get("continuation-token") or query.get("start-after", "")
        entries: list[str] = []
        folders: dict[str, None] = {}
        last, more = "", False
        for key, blob in sorted(self.objects(bucket).items(), key=lambda pair: pair[0].encode()):
            if not key.startswith(prefix) or key <= after:
                continue
            rest, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            folder = prefix + rest + delimiter if found else None
            # Keys of a folder that was listed on this page or before it are counted once.
            if folder is not None and (folder in folders or after.startswith(folder)):
                last = key
                continue
            if len(entries) + len(folders) == most:
                more = True
                break
            last = key
            if folder is not None:
                folders[folder] = None
            else:
                entries.append(_entry(key, blob))
        common = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        return _xml(
            f"<ListBucketResult {_NAMESPACE}><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(entries) + len(folders)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{''.join(entries)}{common}</ListBucketResult>"
        )


def _names(request: Request) -> tuple[str, str]:
    """The bucket and the key, whose slashes are its own."""
    first, *rest = request.segments
    return first, "/".join(rest)


def _entry(key: str, blob: Blob) -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_iso(blob.written_at)}</LastModified>"
        f"<ETag>{escape(blob.etag)}</ETag><Size>{len(blob.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _xml(document: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
    return Reply(200, body, {"content-type": "application/xml"})
