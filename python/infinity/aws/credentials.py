"""Who we are to AWS: the keys of the environment, as in a Lambda function; without those the whole chain
that botocore knows.

botocore is imported only then: it takes longer to load than a cold start may.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from infinity.errors import ConfigError
from infinity.supervision import in_thread, shared

__all__ = ["Credentials", "FoundCredentials", "Keys"]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys to sign with. ``token``: of temporary keys; it is a secret as well."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Credentials(Protocol):
    """Anyone who knows the keys."""

    async def get(self) -> Keys:
        """Keys that are good now.

        Raises:
            ConfigError: there are none.
        """
        ...


class FoundCredentials:
    """Keys of the environment, or of botocore's chain.

    ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, if they are there: a
    function's are good for as long as its process. Otherwise botocore's chain (profiles, single
    sign-on, containers, instances), which reads the process's own environment; it is loaded on first
    use, asked in a thread, and renews what it found before that expires.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Look into the environment; nothing is fetched.

        Args:
            environment: variables by name.

        Raises:
            ConfigError: one half of a pair of keys is missing.
        """
        self._keys = _given(environment)
        self._finding: asyncio.Task[Keys] | None = None

    async def get(self) -> Keys:
        if self._keys is not None:
            return self._keys
        if self._finding is None:
            # One thread asks for all that wait; anyone who gives up meanwhile does not take it away from the
            # others.
            self._finding = shared(in_thread(_chained), "find AWS credentials")
            self._finding.add_done_callback(self._found)
        # One caller that stops waiting must not end it for the others.
        return await asyncio.shield(self._finding)

    def load(self) -> Keys:
        """The same for threads: it blocks while keys are fetched or renewed."""
        return self._keys or _chained()

    def _found(self, task: asyncio.Task[Keys]) -> None:
        self._finding = None


def _given(environment: Mapping[str, str]) -> Keys | None:
    access_key = environment.get("AWS_ACCESS_KEY_ID", "")
    secret_key = environment.get("AWS_SECRET_ACCESS_KEY", "")
    # One alone would be passed over in silence, and other credentials found.
    if bool(access_key) != bool(secret_key):
        present, absent = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")[:: 1 if access_key else -1]
        raise ConfigError(f"{present} is set and {absent} is not; set both or neither")
    return Keys(access_key, secret_key, environment.get("AWS_SESSION_TOKEN") or None) if access_key else None


@functools.cache
def _chain() -> Any:
    """What botocore found: kept for the life of the process, because it renews itself."""
    try:
        from botocore.session import Session  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            "AWS_ACCESS_KEY_ID is not set, and looking elsewhere for credentials needs botocore; run: pip install 'infinity-runtime[aws]'"
        ) from error
    found = Session().get_credentials()
    if found is None:
        raise ConfigError(
            "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached"
        )
    return found


def _chained() -> Keys:
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        # Together, as of one moment: keys and token belong to each other.
        frozen = _chain().get_frozen_credentials()
    except BotoCoreError as error:
        raise ConfigError(f"the AWS credentials could not be read or renewed: {error}") from error
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)
