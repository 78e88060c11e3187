"""Callback URLs: each carries an unguessable token bound to one thread and one call (CB-5, S1).

A token is ``v1.<key id>.<payload>.<mac>``: the payload names thread and call, the mac is HMAC-SHA256
over everything before it.

Scope: anyone who holds the URL may send callbacks of that call into that thread, and nothing else;
thread and call in the body must agree with it. Lifetime: the token has no clock. It is worth something
exactly as long as the call is open or is an active subscription, because the registry of calls decides
what is accepted (CB-2, SUB-1); and no longer than its key is accepted. Keys persist across restarts
(L19) and rotate: the first key signs, all keys are accepted; put a new one first, drop the old one when
no call that it signed is left.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

import msgspec

from infinity.errors import BadRequest, ConfigError

from .address import url_problem

MAX_TOKEN = 512
_VERSION = "v1"
_PURPOSE = b"infinity callback "
_KEY_BYTES = 32
_LEAST_KEY_BYTES = 16

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(tuple[str, str]).decode


def generate_key() -> bytes:
    """A new signing key: 32 random bytes."""
    return secrets.token_bytes(_KEY_BYTES)


class Capabilities:
    """Makes and opens callback URLs."""

    def __init__(self, keys: Sequence[bytes], base_url: str | None) -> None:
        """Take the keys; nothing is read or written.

        Args:
            keys: at least one, each of at least 16 bytes. The first signs, all are accepted.
            base_url: where tool servers reach this host; without it URLs can be opened and none made.

        Raises:
            ConfigError: a key is missing or too short, or the URL is none.
        """
        if not keys:
            raise ConfigError("no key to sign callback URLs with; create one with generate_key() and keep it")
        for key in keys:
            if len(key) < _LEAST_KEY_BYTES:
                raise ConfigError(
                    f"a key of {len(key)} bytes is too short to sign callback URLs; use at least {_LEAST_KEY_BYTES}"
                )
        problem = url_problem(base_url) if base_url is not None else None
        if problem:
            raise ConfigError(
                f"the public URL for callbacks {problem}; write one such as http://127.0.0.1:8800"
            )
        self._base_url = base_url.rstrip("/") if base_url is not None else None
        # Reversed, so that of two keys with one id the earlier wins.
        self._keys = {_key_id(key): key for key in reversed(keys)}
        self._signing = _key_id(keys[0])
        self._decoy = generate_key()

    def url(self, thread: str, call_id: str) -> str:
        """The callback URL of one call: ``{base}/callback/{token}``. The same for the same key, thread and
        call.

        Args:
            thread: the thread of the call.
            call_id: the call.

        Raises:
            ConfigError: this process has no public URL.
            ValueError: the ids are too long for a token of 512 characters.
        """
        if self._base_url is None:
            raise ConfigError(
                "this process does not know where tool servers reach the host; set its public URL"
            )
        payload = _encode(_to_json((thread, call_id)))
        signed = f"{_VERSION}.{self._signing}.{payload}"
        token = f"{signed}.{_mac(self._keys[self._signing], signed)}"
        if len(token) > MAX_TOKEN:
            raise ValueError(
                f"ids of {len(thread)} and {len(call_id)} characters do not fit into a callback token"
            )
        return f"{self._base_url}/callback/{token}"

    def open(self, token: str) -> tuple[str, str]:
        """Check a token and say what it is for.

        Args:
            token: the last part of the URL's path, as it came; nothing of it is parsed before its
                signature is known to be ours.

        Returns:
            Thread and call. Whether the call is still open is for the store to say (CB-2).

        Raises:
            BadRequest: we did not sign this, or its key is no longer accepted (CB-5).
        """
        # Bounded before anything is computed from it (I15).
        if len(token) > MAX_TOKEN or not token.isascii():
            raise _refused()
        signed, _, mac = token.rpartition(".")
        version, key_id, payload = [*signed.split(".", 2), "", ""][:3]
        key = self._keys.get(key_id)
        # Computed for an unknown key as well, so that the time of the answer does not tell which keys there
        # are.
        expected = _mac(key if key is not None else self._decoy, signed)
        genuine = hmac.compare_digest(expected.encode(), mac.encode())
        if not genuine or key is None or version != _VERSION:
            raise _refused()
        try:
            # Signed by us, and still it may be of a version that wrote something else.
            return _from_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError, msgspec.DecodeError) as error:
            raise _refused() from error


def _refused() -> BadRequest:
    return BadRequest(
        "this callback URL was not issued by this runtime, or its key is no longer accepted; use the callback_url of the invocation as it is",
        rule="CB-5",
    )


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"infinity key id " + key).hexdigest()[:8]


def _mac(key: bytes, signed: str) -> str:
    return _encode(hmac.digest(key, _PURPOSE + signed.encode(), "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
