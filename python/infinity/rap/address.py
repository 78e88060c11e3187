"""Where tool servers live: configured base URLs, and which URLs belong to them (trap S3).

Whatever a server tells us to call (its endpoint, a ``response_url``) must have the origin it was configured with: scheme, host and port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from infinity.errors import ConfigError

MAX_URL = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Server:
    """A tool server as it was configured. ``token``: sent as ``Authorization: Bearer`` to this server alone (S7)."""

    base_url: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        problem = url_problem(self.base_url)
        if problem:
            raise ConfigError(
                f"tool server {shown(self.base_url)!r}: {problem}; write a base URL such as http://127.0.0.1:8801"
            )
        parts = urlsplit(self.base_url)
        if parts.query:
            raise ConfigError(f"tool server {shown(self.base_url)!r}: a base URL has no query; remove it")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))


@lru_cache(maxsize=1024)
def origin(url: str) -> Origin:
    """Scheme, host, port. ``ValueError`` if the URL is none of ours (see ``url_problem``)."""
    problem = url_problem(url)
    if problem:
        raise ValueError(problem)
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    return parts.scheme, (parts.hostname or "").lower(), port


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


def shown(url: str) -> str:
    """A URL fit for logs and errors: without user, query and fragment, which may hold secrets (S9)."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no URL)"
    return f"{parts.scheme}://{host}{parts.path}"[:200]
