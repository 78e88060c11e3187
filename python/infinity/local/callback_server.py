"""Callbacks for a runtime inside another program: the daemon's callback route, and nothing else of its interface."""

from __future__ import annotations

import secrets
from pathlib import Path

from aiohttp import web

from infinity.errors import ConfigError
from infinity.runtime import Runtime

from .api.backend import BACKEND, Address, Backend
from .api.callbacks import post_callback
from .api.guard import guard
from .assembly import Assembly, url_of
from .connections import serving
from .listener import listen

__all__ = ["start"]


async def start(assembly: Assembly, runtime: Runtime, host: str, port: int) -> None:
    """Start the runtime and serve ``POST /callback/{token}``. ``ConfigError`` if the port is taken."""
    try:
        listener = await listen(host, port)
    except ConfigError as error:
        raise ConfigError(
            f"cannot listen for callbacks on {host}:{port}; pass another callback_port, and keep it: {error}"
        ) from error
    assembly.undo.callback(listener.close)
    app = web.Application(middlewares=[serving, guard], client_max_size=runtime.settings.limits.message_bytes)
    app[BACKEND] = Backend(
        runtime=runtime,
        store=runtime.store,
        feed=runtime.feed,
        capabilities=runtime.capabilities,
        toolsets=_none,
        token=secrets.token_hex(32),
        address=Address(host, port, url_of(host, port)),
        home=Path(),
        max_body=runtime.settings.limits.message_bytes,
        max_callback=runtime.settings.limits.callback_bytes,
    )
    app.router.add_post("/callback/{token}", post_callback)
    await assembly.start(runtime, app=app, listener=listener)


async def _none() -> list[dict[str, object]]:
    return []
