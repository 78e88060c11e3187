"""Real webhook bodies, and GitHub's side of delivering one: headers, and the signature that a receiver checks
(S8).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from importlib.resources import files

import httpx


def body_of(name: str) -> bytes:
    """``name``: ``<event>.<action>``, one of the bodies in the folder ``github``."""
    return (files("infinity.demo") / "github" / f"{name}.json").read_bytes()


def signature(secret: bytes, body: bytes) -> str:
    """The header ``X-Hub-Signature-256`` for a body.

    Args:
        secret: What both sides know.
        body: The bytes as they are sent.
    """
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class GitHub:
    """The sender. ``url``: the receiver's webhook address; ``secret``: what both sides know."""

    url: str
    secret: bytes

    def deliver(self, name: str, delivery: str) -> int:
        """Deliver a webhook as GitHub would.

        Args:
            name: ``<event>.<action>``, one of the bodies in the folder ``github``.
            delivery: The delivery's id; a redelivery has the same one (R3).

        Returns:
            The receiver's HTTP status.
        """
        body = body_of(name)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/demo",
            "X-GitHub-Event": name.partition(".")[0],
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signature(self.secret, body),
        }
        return httpx.post(self.url, content=body, headers=headers, timeout=10.0).status_code
