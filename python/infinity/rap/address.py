"""Where tool servers live: configured base URLs, and which URLs belong to them (trap S3).

Whatever a server tells us to call (its endpoint, a ``response_url``) must have the origin it was configured with: scheme, host and port.
The loopback names of one port are one origin (CHO-5): servers name themselves by whichever they know.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol
from urllib.parse import SplitResult, urlsplit

from infinity.errors import ConfigError

MAX_URL = 8192
LONG_PART = 20
"""Characters from which a part of a path is taken for a secret: callback addresses and questions have such parts."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_UNFIT_FOR_A_HEADER = (
    "its token is empty or holds characters that no HTTP header takes (line breaks, control characters, letters beyond ASCII); "
    "copy it again and restart"
)

Origin = tuple[str, str, int]


class Signer(Protocol):
    """Whoever can sign requests to servers that want it."""

    async def sign(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """Headers for this one request, which must leave exactly as it was signed. Raises ``InfinityError`` without credentials."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A tool server as it was configured. ``token``: sent as ``Authorization: Bearer`` to this server alone (S7).

    ``auth``: ``aws_iam`` for a Lambda function that only IAM may call; its requests are signed, and only its.
    ``problem``: why nothing can be sent to it, such as a token that no header takes. Its tools are out and calls of them fail; everybody else
    goes on (B13).

    Raises:
        ConfigError: for an address or a combination that can never be right.
    """

    base_url: str
    token: str | None = field(default=None, repr=False)
    auth: Literal["aws_iam"] | None = None
    problem: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.token is not None:
            # Secrets mounted from files end in a line break.
            object.__setattr__(self, "token", self.token.strip())
            if self.problem is None and not _is_token(self.token):
                object.__setattr__(self, "problem", _UNFIT_FOR_A_HEADER)
        problem = url_problem(self.base_url)
        if problem:
            raise ConfigError(
                f"tool server {shown(self.base_url)!r}: {problem}; write a base URL such as http://127.0.0.1:8801"
            )
        parts = urlsplit(self.base_url)
        if parts.query:
            raise ConfigError(f"tool server {shown(self.base_url)!r}: a base URL has no query; remove it")
        if self.auth is not None and self.token is not None:
            raise ConfigError(
                f"tool server {shown(self.base_url)!r}: it is signed for or has a token, not both"
            )
        if self.auth is not None and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigError(
                f"tool server {shown(self.base_url)!r}: what is signed carries a session token, so use https"
            )
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    def signed_by(self, signer: Signer | None) -> Signer | None:
        """Who signs what is sent here: ``None`` for servers that want no signature, whoever could (S7)."""
        if self.auth is None:
            return None
        if signer is None:
            raise ConfigError(
                f'tool server {shown(self.base_url)!r}: auth = "{self.auth}" is for the cloud host, nobody here signs'
            )
        return signer


def _is_token(token: str | None) -> bool:
    return bool(token) and all(" " <= character <= "~" for character in token or "")


@lru_cache(maxsize=1024)
def origin(url: str) -> Origin:
    """Scheme, host, port. ``ValueError`` if the URL is none of ours (see ``url_problem``)."""
    problem = url_problem(url)
    if problem:
        raise ValueError(problem)
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    return parts.scheme, _canonical(parts.hostname or ""), port


def _canonical(host: str) -> str:
    """One spelling of a host: lower case, without the dot of the DNS root, addresses in their shortest form, one name for the loopback."""
    host = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        mapped = getattr(address, "ipv4_mapped", None)
        host = str(mapped or address)
    return "localhost" if host in _LOOPBACK else host


def same_origin(url: str, base_url: str) -> bool:
    """Whether a URL that a server named may be called on its behalf (S3). False for anything that is not an http(s) URL."""
    try:
        return origin(url) == origin(base_url)
    except ValueError:
        return False


def url_problem(url: str, schemes: tuple[str, ...] = ("http", "https")) -> str | None:
    """Why this is not an absolute URL that we would call, in words; ``None`` if it is one."""
    if len(url) > MAX_URL:
        return f"longer than {MAX_URL} characters"
    if not url.isascii() or any(not 0x20 < ord(character) < 0x7F for character in url):
        return "has spaces, control or non-ASCII characters (escape them)"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL ({error})"
    return _parts_problem(parts, port, schemes)


def _parts_problem(parts: SplitResult, port: int | None, schemes: tuple[str, ...]) -> str | None:
    if parts.scheme not in schemes:
        return f"must start with {' or '.join(scheme + '://' for scheme in schemes)}"
    if not parts.hostname or port == 0 or "\\" in parts.netloc:
        return "has no valid host and port"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or password (configure a token instead)"
    if parts.fragment:
        return "carries a fragment"
    return None


@lru_cache(maxsize=1024)
def shown(url: str) -> str:
    """A URL fit for logs and errors: without user, query and fragment, and without long parts of the path, which may be secrets (S9)."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no URL)"
    path = "/".join("…" if len(part) >= LONG_PART else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{host}{path}"[:200]
