"""The daemon's listening socket: bound and listening before anything else happens, so that nobody is turned away during the start."""

from __future__ import annotations

import asyncio
import errno
import socket

from infinity.errors import ConfigError

__all__ = ["listen"]

BACKLOG = 512


async def listen(host: str, port: int) -> socket.socket:
    """``ConfigError`` says who to ask and which key to change when the address cannot be had."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ConfigError(
            f"[daemon] host {host!r} is not an address of this machine: {error.strerror}"
        ) from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    return listener


def _explained(error: OSError, host: str, port: int) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} on {host} is in use by another program ('ss -ltnp sport = :{port}' or 'lsof -i :{port}' tells which); "
            "stop it, or choose another port: [daemon] port in infinity.toml, or INFINITY_DAEMON_PORT"
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {port} needs privileges; choose one above 1023: [daemon] port in infinity.toml"
        )
    return ConfigError(
        f"cannot listen on {host} port {port}: {error.strerror}; correct [daemon] host or port"
    )
