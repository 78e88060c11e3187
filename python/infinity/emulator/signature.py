"""Signature Version 4, the checking side.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html

The whole signature is worked out anew from what arrived, so a client whose signing is wrong in any part is
refused, as AWS refuses it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote, unquote

from .wire import Request

__all__ = ["Credentials", "Refusal", "Scope", "SignatureRefused", "scope_of", "verify"]

SKEW_MS = 15 * 60 * 1000
"""How far a request's date may be from now."""
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request\s*,\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)


@dataclass(frozen=True)
class Credentials:
    """An access key; random unless given. With a ``session_token``, requests must carry it."""

    access_key: str = field(default_factory=lambda: "AKIA" + secrets.token_hex(8).upper())
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)
    session_token: str | None = field(default=None, repr=False)


class Refusal(StrEnum):
    MISSING = "MissingAuthenticationToken"
    INCOMPLETE = "IncompleteSignature"
    UNKNOWN_KEY = "UnrecognizedClient"
    MISMATCH = "InvalidSignature"


class SignatureRefused(Exception):
    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.message = message


@dataclass(frozen=True)
class Scope:
    """What the ``Authorization`` header claims: who signed which headers, for which day, region and service."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def scope_of(request: Request) -> Scope | None:
    """Read the ``Authorization`` header; ``None`` if there is none, or it does not follow the form."""
    match = _HEADER.fullmatch(request.headers.get("authorization", "").strip())
    if match is None:
        return None
    names = tuple(match["headers"].split(";"))
    return Scope(match["key"], match["date"], match["region"], match["service"], names, match["signature"])


def verify(
    request: Request, credentials: Credentials, service: str, region: str, times: Iterable[int]
) -> None:
    """Work the signature out anew, and compare.

    Args:
        request: As it arrived.
        credentials: Whose secret the signature must be made with.
        service: That it must be made for.
        region: That it must be made for.
        times: Milliseconds since the epoch. The request's date must be within ``SKEW_MS`` of one of them,
            because a virtual clock and a client's differ.

    Raises:
        SignatureRefused: says what is wrong, and shows the canonical request where the signature does not
            match.
    """
    if "authorization" not in request.headers:
        raise SignatureRefused(Refusal.MISSING, "Request is missing Authentication Token")
    scope = scope_of(request)
    if scope is None:
        text = request.headers["authorization"]
        raise SignatureRefused(
            Refusal.INCOMPLETE, f"Authorization header does not follow SigV4: {text[:100]!r}"
        )
    _check_claims(request, scope, credentials, service, region, times)
    # Hashed anew: a body that was changed on the way must not pass with the old signature.
    payload = _payload_hash(request)
    if payload is None:
        raise SignatureRefused(
            Refusal.MISMATCH, "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    canonical = _canonical_request(request, scope, payload)
    expected = _signature(canonical, scope, request.headers["x-amz-date"], credentials.secret_key)
    # In constant time, as any comparison with a secret.
    if not hmac.compare_digest(expected, scope.signature):
        raise SignatureRefused(
            Refusal.MISMATCH,
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n"
            f"The Canonical String for this request should have been\n'{canonical}'\n",
        )


def _check_claims(
    request: Request, scope: Scope, credentials: Credentials, service: str, region: str, times: Iterable[int]
) -> None:
    missing = {"host"} - set(scope.signed_headers)
    if missing or "x-amz-date" not in request.headers:
        raise SignatureRefused(
            Refusal.INCOMPLETE, "'Host' or 'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."
        )
    token = request.headers.get("x-amz-security-token")
    if scope.access_key != credentials.access_key or token != credentials.session_token:
        raise SignatureRefused(Refusal.UNKNOWN_KEY, "The security token included in the request is invalid.")
    # A client for another region would work here and fail on AWS, so it is refused.
    if (scope.region, scope.service) != (region, service):
        raise SignatureRefused(
            Refusal.MISMATCH,
            f"Credential should be scoped to a valid region and service: {region}/{service}, not {scope.region}/{scope.service}.",
        )
    date = request.headers["x-amz-date"]
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000
    except ValueError:
        raise SignatureRefused(
            Refusal.INCOMPLETE, f"Date must be in ISO-8601 'basic format'. Got '{date}'."
        ) from None
    if not date.startswith(scope.date) or all(abs(now - signed_at) > SKEW_MS for now in times):
        raise SignatureRefused(
            Refusal.MISMATCH, f"Signature expired: {date} is not within 15 minutes of now."
        )


def _payload_hash(request: Request) -> str | None:
    """As the canonical request has it; ``None`` if the header claims another body."""
    computed = hashlib.sha256(request.body).hexdigest()
    claimed = request.headers.get("x-amz-content-sha256")
    if claimed in (None, computed):
        return computed
    return claimed if claimed == "UNSIGNED-PAYLOAD" else None


def _canonical_request(request: Request, scope: Scope, payload: str) -> str:
    # S3 signs the path as it is sent; every other service the path encoded once more.
    path = request.raw_path if scope.service == "s3" else quote(request.raw_path, safe="/~")
    # Sorted by the encoded name and value, as the specification has it, and not as they were sent.
    pairs = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in (part.partition("=") for part in request.raw_query.split("&") if part)
    )
    names = scope.signed_headers
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join((request.method, path, query, headers, ";".join(names), payload))


def _signature(canonical: str, scope: Scope, date: str, secret_key: str) -> str:
    claims = f"{scope.date}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret_key}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"AWS4-HMAC-SHA256\n{date}\n{claims}\n{digest}".encode(), "sha256").hex()
