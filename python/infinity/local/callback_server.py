"""Callbacks for a runtime inside another program: the daemon's callback route, and nothing else of its interface."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from infinity.errors import ConfigError
from infinity.runtime import Runtime

from .api.backend import BACKEND, Address, Backend
from .api.callbacks import post_callback
from .api.guard import guard
from .connections import Connections, serving
from .listener import listen as bind

__all__ = ["listen"]


async def listen(runtime: Runtime, host: str, port: int) -> Callable[[], Awaitable[None]]:
    """Serve ``POST /callback/{token}``; returns what stops it. ``ConfigError`` if the port is taken."""
    app = web.Application(middlewares=[serving, guard], client_max_size=runtime.settings.limits.message_bytes)
    app[BACKEND] = Backend(
        runtime=runtime,
        store=runtime.store,
        feed=runtime.feed,
        capabilities=runtime.capabilities,
        toolsets=_none,
        token=secrets.token_hex(32),
        address=Address(host, port, f"http://{host}:{port}"),
        home=Path(),
        max_body=runtime.settings.limits.message_bytes,
        max_callback=runtime.settings.limits.callback_bytes,
    )
    app.router.add_post("/callback/{token}", post_callback)
    try:
        listener = await bind(host, port)
    except ConfigError as error:
        raise ConfigError(
            f"cannot listen for callbacks on {host}:{port}; pass another callback_port, and keep it: {error}"
        ) from error
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(listener, runner.server)
    connections.start()

    async def stop() -> None:
        connections.stop()
        listener.close()
        await runner.cleanup()

    return stop


async def _none() -> list[dict[str, object]]:
    return []
