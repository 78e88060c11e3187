"""Who may call the API: whoever has its token, or, where no token is set, whoever IAM let through."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from infinity.api.errors import Refused
from infinity.cloud.function_url import Request

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["check_access"]


def check_access(host: Host, request: Request) -> None:
    """``Refused`` (401). A function that is reachable without IAM and has no token lets nobody in (S1)."""
    token = host.resources.api_token
    if token:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        genuine = hmac.compare_digest(
            given.strip().encode(errors="surrogatepass"), token.encode(errors="surrogatepass")
        )
        if scheme.lower() != "bearer" or not genuine:
            raise Refused(
                401,
                "unauthorized",
                "send 'Authorization: Bearer TOKEN' with the token that the function has as INFINITY_API_TOKEN",
            )
    elif not request.by_iam:
        raise Refused(
            401,
            "unauthorized",
            "this function has no INFINITY_API_TOKEN, and its URL is not guarded by IAM: set the token, or the URL's auth type AWS_IAM",
        )
