"""Handlers of the API over a runtime of a test, without a server between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from infinity.api.requests import Body, Request
from infinity.api.route import Handler
from infinity.local.backend import Address, DaemonBackend
from infinity.runtime import Runtime


class Json(Body):
    def __init__(self, value: Any) -> None:
        self._text = msgspec.json.encode(value)

    async def read_up_to(self, most: int, rule: str | None = None) -> tuple[bytes, bool]:
        return self._text, True


def backend(runtime: Runtime) -> DaemonBackend:
    return DaemonBackend(
        runtime=runtime,
        store=runtime.store,
        feed=runtime.feed,
        capabilities=runtime.capabilities,
        token="",
        address=Address("127.0.0.1", 0, "http://127.0.0.1"),
        home=Path(),
    )


async def asked(
    runtime: Runtime,
    handler: Handler,
    query: Mapping[str, str] | None = None,
    *,
    body: Any = None,
    **parameters: str,
) -> tuple[int, Any]:
    """The response's status and JSON. ``parameters``: of the path."""
    request = Request(
        "POST" if body is not None else "GET",
        "/",
        query=query or {},
        headers={"content-type": "application/json"},
        body=None if body is None else Json(body),
        parameters=parameters,
    )
    made = await handler(backend(runtime), request)
    return made.status, msgspec.json.decode(made.body)
