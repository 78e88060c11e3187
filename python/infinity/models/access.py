"""How a provider's API is reached: where, as whom, and how long is waited for it."""

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
    """How long is waited for a provider, in seconds.

    The Messages API sends a ping every few seconds while a model thinks, so a silent stream is a dead
    one.
    """

    connect: float = 10.0
    """For the TCP and TLS handshake."""
    stall: float = 120.0
    """Between two pieces of an answer, and until its first."""
    total: float = 1_800.0
    """For one whole answer."""


@lru_cache(maxsize=64)
def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where the API is and who asks. Has no ``repr``, so that no log can show it (S9).

    Args:
        api_key: the key; wins over ``auth_token``.
        auth_token: a bearer token in place of a key.
        base_url: of the API, without user, query or fragment.
        provider: what people call it, for messages.

    Raises:
        ConfigError: the URL or a secret cannot be sent; the text never has the secret.
    """

    api_key: str | None = None
    auth_token: str | None = None
    base_url: str = BASE_URL
    provider: str = "Anthropic"
    """What people call it, for messages."""

    def __post_init__(self) -> None:
        for name in ("api_key", "auth_token"):
            secret = getattr(self, name)
            # A line break in a key would end the header; a letter beyond ASCII cannot be sent.
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
        """Host and port, for errors."""
        return _host(self.base_url)

    def headers(self) -> dict[str, str]:
        """The headers that say who asks; empty where no key is needed."""
        if self.api_key is not None:
            return {"x-api-key": self.api_key}
        return {"authorization": f"Bearer {self.auth_token}"} if self.auth_token is not None else {}

    def redact(self, text: str) -> str:
        """The text without our own secrets: a gateway may echo what it was sent (S9).

        What is shorter than ``SHORTEST_SECRET`` stays: local servers are given words such as
        ``ollama``, which errors are full of.

        Args:
            text: of an error, from the provider or a library.
        """
        for secret in (self.api_key, self.auth_token):
            # Wherever it stands in the text.
            if secret and len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "[key]")
        return text
