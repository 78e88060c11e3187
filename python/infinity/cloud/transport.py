"""The way to tool servers from the cloud host: those that are Lambda functions behind IAM get signed
requests, and nobody else does (S7).
"""

from __future__ import annotations

from collections.abc import Iterable

from infinity.aws.client import Aws
from infinity.rap.address import Server
from infinity.rap.client import HttpTransport

__all__ = ["ACKNOWLEDGE_SECONDS", "SignedTransport"]

ACKNOWLEDGE_SECONDS = 10.0
"""A tool server acknowledges at once; this is for one that has to start first. Its thread, and nobody else,
waits for so long."""


class SignedTransport(HttpTransport):
    """Calls and notices to tool servers.

    Those to servers with ``auth = "aws_iam"`` carry Signature V4 for the service ``lambda``; to others
    their bearer token, or nothing. Whom a URL belongs to is decided by its origin, as configured, so that
    neither signature nor session token nor bearer leaves for another host; redirects are not followed (S7).
    The caller's role needs both lambda:InvokeFunctionUrl and lambda:InvokeFunction.
    """

    def __init__(self, servers: Iterable[Server], aws: Aws, *, total: float = ACKNOWLEDGE_SECONDS) -> None:
        """``servers``: whose origins decide what a request carries. ``aws``: signs. ``total``: seconds for
        one request.
        """
        super().__init__(servers, signer=aws, total=total)
