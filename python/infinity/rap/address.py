"""Where tool servers live: configured base URLs, and which URLs belong to them (S3).

Whatever a server tells us to call (its endpoint, a ``response_url``) must have the origin it was
configured with: scheme, host and port. The loopback names of one port are one origin (CHO-5): servers
name themselves by whichever they know. Every request to an address that somebody else named passes
``same_origin`` first.
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
"""Characters of a URL that we would call."""
LONG_PART = 20
"""Characters from which a part of a path is taken for a secret: callback addresses and questions have such
parts.
"""
_DEFAULT_PORTS = {"http": 80, "https": 443}

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_UNFIT_FOR_A_HEADER = (
    "its token is empty or holds characters that no HTTP header takes (line breaks, control characters, letters beyond ASCII); "
    "copy it again and restart"
)

Origin = tuple[str, str, int]
"""Scheme, host in its one spelling, port."""


class Signer(Protocol):
    """Anyone who can sign requests to servers that want it; on AWS ``infinity.aws.signing``."""

    async def sign(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """Sign one request, which must leave exactly as it was signed.

        Args:
            method: the HTTP method.
            url: the whole URL, in the escaped form in which it is sent.
            body: the exact bytes of the body.

        Returns:
            Headers to add, which are good for this one request and a few minutes.

        Raises:
            InfinityError: there are no credentials to sign with.
        """
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A tool server as it was configured.

    Args:
        base_url: ``http`` or ``https``, without a query; a slash at its end is dropped.
        token: sent as ``Authorization: Bearer`` to this server alone (S7); blanks around it are
            dropped.
        auth: ``aws_iam`` for a Lambda function that only IAM may call; its requests are signed, and
            only its.
        problem: why nothing can be sent to it, such as a token that no header takes. Its tools are out
            and calls of them fail; everybody else goes on (B13).

    Raises:
        ConfigError: an address or a combination that can never be right.
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
        # The loopback needs no encryption, and stand-ins in tests have none.
        if self.auth is not None and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigError(
                f"tool server {shown(self.base_url)!r}: what is signed carries a session token, so use https"
            )
        # One spelling of each server: paths are put behind it, and copies are found by it.
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    def signed_by(self, signer: Signer | None) -> Signer | None:
        """Who signs what is sent here: ``None`` for servers that want no signature, even if one could be
        made (S7).

        Args:
            signer: anyone who can sign on this host, if anybody can.

        Raises:
            ConfigError: the server wants a signature and nobody here signs.
        """
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
    """The origin of a URL, in one spelling, so that origins can be compared.

    Args:
        url: an absolute URL.

    Raises:
        ValueError: the URL is none that we would call (see ``url_problem``).
    """
    problem = url_problem(url)
    if problem:
        raise ValueError(problem)
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    return parts.scheme, _canonical(parts.hostname or ""), port


def _canonical(host: str) -> str:
    """One spelling of a host: lower case, without the dot of the DNS root, addresses in their shortest
    form, one name for the loopback.
    """
    # DNS takes no notice of case, nor of the dot at the end.
    host = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        # ::ffff:127.0.0.1 is the same machine as 127.0.0.1; compared as texts, they would be two origins.
        mapped = getattr(address, "ipv4_mapped", None)
        host = str(mapped or address)
    return "localhost" if host in _LOOPBACK else host


def same_origin(url: str, base_url: str) -> bool:
    """Whether a URL that a server named may be called on its behalf (S3).

    Args:
        url: as the server named it.
        base_url: where the server was configured.

    Returns:
        False also for anything that is not an http(s) URL.
    """
    try:
        return origin(url) == origin(base_url)
    except ValueError:
        return False


def url_problem(url: str, schemes: tuple[str, ...] = ("http", "https")) -> str | None:
    """Why this is not an absolute URL that we would call.

    Args:
        url: from a configuration, or from a stranger.
        schemes: those that are allowed.

    Returns:
        Words that go behind a subject ("… must start with https://"); ``None`` if nothing is wrong.
    """
    if len(url) > MAX_URL:
        return f"longer than {MAX_URL} characters"
    # Before anything is parsed: what a parser drops silently would be compared as one URL and called as
    # another.
    if not url.isascii() or any(not 0x20 < ord(character) < 0x7F for character in url):
        return "has spaces, control or non-ASCII characters (escape them)"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is not a URL ({error})"
    return _parts_problem(parts, port, schemes)


def _parts_problem(parts: SplitResult, port: int | None, schemes: tuple[str, ...]) -> str | None:
    if parts.scheme not in schemes:
        return f"must start with {' or '.join(scheme + '://' for scheme in schemes)}"
    # Clients read a backslash in different ways, and might call another host than was checked.
    if not parts.hostname or port == 0 or "\\" in parts.netloc:
        return "has no valid host and port"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or password (configure a token instead)"
    if parts.fragment:
        return "carries a fragment"
    return None


@lru_cache(maxsize=1024)
def shown(url: str) -> str:
    """A URL fit for logs and errors (S9).

    Args:
        url: any text; one that is not a URL becomes ``(no URL)``.

    Returns:
        At most 200 characters, without user, query and fragment, and without long parts of the path,
        which may be secrets.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no URL)"
    path = "/".join("…" if len(part) >= LONG_PART else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{host}{path}"[:200]
