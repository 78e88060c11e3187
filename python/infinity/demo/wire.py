"""The wire from the tool servers to the daemon: callbacks pass through here, are counted, and sometimes are
sent again.

It is the daemon's ``public_url``. While the daemon is down it answers 502, as any proxy would, and the
senders try again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import httpx

REPEATS = 2
"""How often the result that was chosen is posted again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One callback that was posted to the daemon. ``id``: its call, or of an event its own; ``status`` 0:
    nobody answered.
    """

    type: str
    id: str
    status: int
    again: bool = False


class Wire:
    """The way of callbacks to the daemon.

    ``repeat`` is the id of the call whose first accepted result is posted ``REPEATS`` times more.

    Args:
        target: The daemon's own address.
        seen: Called after each delivery, in the thread that made it.
    """

    def __init__(self, target: str, seen: Callable[[Delivery], None]) -> None:
        self.repeat: str | None = None
        self._target = target
        self._seen = seen
        self._changed = threading.Condition()
        self._deliveries: list[Delivery] = []
        self._http = httpx.Client(base_url=target, timeout=15.0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def accepted(self, kind: str) -> list[str]:
        """Ids of the callbacks of this type that the daemon answered with 200, once for each delivery."""
        with self._changed:
            return [each.id for each in self._deliveries if each.type == kind and each.status == 200]

    def until(self, enough: Callable[[list[Delivery]], bool], seconds: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self._deliveries), seconds):
                raise TimeoutError(f"{what} did not happen within {seconds:g} s")

    def pass_on(self, path: str, body: bytes) -> int:
        """Pass a callback on to the daemon.

        Args:
            path: Of the callback URL.
            body: JSON bytes.

        Returns:
            What the daemon answered; 502 if it did not.
        """
        callback = json.loads(body)
        status = self._post(path, body, callback, again=False)
        if status == 200 and callback["type"] == "tool_result" and callback["id"] == self.repeat:
            # Once: later deliveries of the same result pass as they are.
            self.repeat = None
            for _ in range(REPEATS):
                self._post(path, body, callback, again=True)
        return status or 502

    def _post(self, path: str, body: bytes, callback: dict[str, str], *, again: bool) -> int:
        try:
            headers = {"Content-Type": "application/json"}
            status = self._http.post(path, content=body, headers=headers).status_code
        except httpx.TransportError:
            status = 0
        message_id = callback.get("event_id") or callback.get("id") or callback.get("tool_call_id", "")
        delivery = Delivery(callback["type"], message_id, status, again)
        self._seen(delivery)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        return status


def _handler(wire: Wire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(wire.pass_on(self.path, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name in http.server
            pass

    return Handler
