"""How a provider's API is reached: where, as whom, with how much patience."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from infinity.errors import ConfigError

SHORTEST_SECRET = 8
"""Characters; a shorter key protects nothing."""
BASE_URL = "https://api.anthropic.com"


@dataclass(frozen=True, slots=True)
class ModelTimeouts:
    """Seconds. The Messages API sends a ping every few seconds while a model thinks, so a silent stream is a dead one."""

    connect: float = 10.0
    stall: float = 120.0
    """Between two pieces of an answer, and until its first."""
    total: float = 1_800.0


@lru_cache(maxsize=64)
def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where the API is and who asks. ``api_key`` wins over ``auth_token``. Has no ``repr``, so that no log can show it (S9)."""

    api_key: str | None = None
    auth_token: str | None = None
    base_url: str = BASE_URL
    provider: str = "Anthropic"
    """What people call it, for messages."""

    def __post_init__(self) -> None:
        for name in ("api_key", "auth_token"):
            secret = getattr(self, name)
            if secret is not None and (
                not secret or not all("!" <= character <= "~" for character in secret)
            ):
                raise ConfigError(
                    f"the {self.provider} {name} is empty or holds characters that no key has; copy it again"
                )
        url = urlsplit(self.base_url)
        if (
            url.scheme not in ("http", "https")
            or not url.hostname
            or url.username
            or url.query
            or url.fragment
        ):
            raise ConfigError(
                f"the {self.provider} base URL must look like {BASE_URL}, without user, query or fragment; "
                f"this one has the scheme {url.scheme!r} and the host {url.hostname!r}"
            )

    @property
    def host(self) -> str:
        return _host(self.base_url)

    def headers(self) -> dict[str, str]:
        if self.api_key is not None:
            return {"x-api-key": self.api_key}
        return {"authorization": f"Bearer {self.auth_token}"} if self.auth_token is not None else {}

    def redact(self, text: str) -> str:
        """A gateway may echo what it was sent; a key must not come back in an error (S9).

        What is shorter than ``SHORTEST_SECRET`` stays: local servers are given words such as ``ollama``, which errors are full of.
        """
        for secret in (self.api_key, self.auth_token):
            if secret and len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "[key]")
        return text
