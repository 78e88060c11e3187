"""moto, served from this process on a loopback port; one for all tests, which use names of their own."""

from __future__ import annotations

import atexit
import functools
import logging

_ahead = [0.0]
"""Seconds by which moto's queues are ahead of the system's time."""


def advance(seconds: float) -> None:
    """Move the time by which its queues live."""
    _ahead[0] += seconds


@functools.cache
def endpoint() -> str:
    from moto.server import ThreadedMotoServer
    from moto.sqs import models

    seconds, milliseconds = models.unix_time, models.unix_time_millis
    models.unix_time = lambda *of: seconds(*of) + _ahead[0]
    models.unix_time_millis = lambda *of: milliseconds(*of) + _ahead[0] * 1000

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    atexit.register(server.stop)
    return "http://{}:{}".format(*server.get_host_and_port())
