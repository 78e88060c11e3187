"""Signature Version 4: the headers or the query that say who a request is from.

docs/decisions/0014 says why it is here; tests hold it to botocore.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .credentials import Keys

__all__ = ["Scope", "login_token", "presigned", "query_string", "signed_headers"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: one service in one region, around one time (``at``: seconds since the
    epoch).
    """

    service: str
    region: str
    at: float

    @property
    def timestamp(self) -> str:
        """The time as AWS writes it, in UTC."""
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.at))

    def __str__(self) -> str:
        return f"{self.timestamp[:8]}/{self.region}/{self.service}/aws4_request"


def signed_headers(
    method: str, url: str, headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope
) -> dict[str, str]:
    """The headers to add to a request.

    Args:
        method: the HTTP method.
        url: must leave as it stands here, escapes included.
        headers: those that are to be protected as well.
        body: the exact bytes.
        keys: who signs.
        scope: service, region and time.
    """
    parts = urlsplit(url)
    digest = hashlib.sha256(body).hexdigest()
    added = {"X-Amz-Date": scope.timestamp}
    if keys.token:
        added["X-Amz-Security-Token"] = keys.token
    if scope.service == "s3":
        added["X-Amz-Content-SHA256"] = digest
    # The host is always covered, so that a signature is good for one service only.
    covered = {name.lower(): value for name, value in {"Host": _host(parts), **headers, **added}.items()}
    names = ";".join(sorted(covered))
    canonical = _canonical(method, _path(parts.path, scope.service), _query(parts.query), covered, digest)
    signature = _signature(canonical, keys, scope)
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def presigned(url: str, query: Mapping[str, str], keys: Keys, scope: Scope, *, expires: int) -> str:
    """The URL of a GET that anyone may make for some time: its query carries the signature.

    Args:
        url: without a query.
        query: what the request asks.
        keys: who signs.
        scope: service, region and time.
        expires: seconds.
    """
    parts = urlsplit(url)
    claims = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": scope.timestamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.token:
        claims["X-Amz-Security-Token"] = keys.token
    asked = query_string({**query, **claims})
    nothing = hashlib.sha256(b"").hexdigest()
    canonical = _canonical(
        "GET", _path(parts.path, scope.service), _query(asked), {"host": _host(parts)}, nothing
    )
    return f"{url}?{asked}&X-Amz-Signature={_signature(canonical, keys, scope)}"


def login_token(host: str, region: str, keys: Keys, *, at: float, admin: bool, expires: int = 900) -> str:
    """The password of a login at a cluster of Aurora DSQL. Made offline.

    Args:
        host: of the cluster.
        region: of the cluster.
        keys: who logs in.
        at: seconds since the epoch.
        admin: whether as the user ``admin``, which is another privilege.
        expires: seconds for which it is good.
    """
    action = "DbConnectAdmin" if admin else "DbConnect"
    scope = Scope("dsql", region, at)
    return presigned(f"https://{host}/", {"Action": action}, keys, scope, expires=expires)[len("https://") :]


def query_string(query: Mapping[str, str]) -> str:
    """A query as AWS wants it escaped: everything but letters, digits and ``-_.~``.

    Args:
        query: unescaped.
    """
    return "&".join(
        f"{quote(name, _UNRESERVED)}={quote(value, _UNRESERVED)}" for name, value in query.items()
    )


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], digest: str) -> str:
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers)]
    return "\n".join((method, path, query, "".join(lines), ";".join(sorted(headers)), digest))


def _path(path: str, service: str) -> str:
    """S3 signs the path as it is sent; everyone else without dots and empty parts, and escaped once more."""
    if service == "s3":
        return path or "/"
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    slash = "/" if path.endswith("/") and kept else ""
    return quote(f"/{'/'.join(kept)}{slash}", "/~")


def _query(query: str) -> str:
    """Sorted, and escaped in AWS's own way whatever way it was escaped in before."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(unquote(name), _UNRESERVED), quote(unquote(value), _UNRESERVED))
            for name, _, value in pairs
        )
    )


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _signature(canonical: str, keys: Keys, scope: Scope) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{keys.secret_key}".encode()
    # The key is derived for date, region and service in turn, as AWS derives it.
    for part in str(scope).split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"{_ALGORITHM}\n{scope.timestamp}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()
