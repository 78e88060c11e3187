"""Request bodies: JSON of a known shape, of a bounded size, and nothing else; ids and keys as the daemon takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from infinity.api import requests as asked
from infinity.api.requests import check_encoding
from infinity.cloud.function_url import Request

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["check_json", "idempotency_key", "path_id", "read_body", "read_json"]

T = TypeVar("T")


def check_json(request: Request, rule: str | None = None) -> None:
    """Refuse by the headers alone what cannot be a JSON body of ours."""
    kind, *parameters = request.headers.get("content-type", "").split(";")
    charset = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"')
    encoding = request.headers.get("content-encoding", "identity")
    check_encoding(kind.strip().lower(), charset, encoding, rule)


def read_body(host: Host, request: Request, rule: str | None = None) -> bytes:
    """At most ``limits.message_bytes``."""
    return request.body.read(host.runtime.settings.limits.message_bytes, rule)


def read_json(host: Host, request: Request, shape: type[T], *, optional: bool = False) -> T:
    """The body as ``shape``. ``optional``: an absent body stands for the shape's defaults."""
    if optional and not request.body:
        return shape()
    check_json(request)
    return asked.decode(read_body(host, request), shape)


def path_id(request: Request, name: str = "id") -> str:
    return asked.path_id(request.parameters[name], name)


def idempotency_key(request: Request) -> str | None:
    return asked.check_key(request.headers.get("idempotency-key"))
