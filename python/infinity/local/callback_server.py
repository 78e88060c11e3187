"""Callbacks for a runtime inside another program: the daemon's callback route, and nothing else of its interface."""

from __future__ import annotations

import secrets
from pathlib import Path

from infinity.api.backend import Part
from infinity.errors import ConfigError
from infinity.runtime import Runtime

from .app import make_app
from .assembly import Assembly, url_of
from .backend import Address, DaemonBackend
from .listener import listen

__all__ = ["start"]


async def start(
    assembly: Assembly, runtime: Runtime, host: str, port: int, suspect: str | None = None
) -> None:
    """Start the runtime and serve ``POST /callback/{token}``. ``ConfigError`` if the port is taken."""
    try:
        listener = await listen(host, port)
    except ConfigError as error:
        raise ConfigError(
            f"cannot listen for callbacks on {host}:{port}; pass another callback_port, and keep it: {error}"
        ) from error
    assembly.undo.callback(listener.close)
    backend = DaemonBackend(
        runtime=runtime,
        store=runtime.store,
        feed=runtime.feed,
        capabilities=runtime.capabilities,
        token=secrets.token_hex(32),
        address=Address(host, port, url_of(host, port)),
        home=Path(),
        part=Part.EMBEDDED,
    )
    await assembly.start(runtime, app=make_app(backend), listener=listener, suspect=suspect)
