"""The way to tool servers over plain HTTP: one POST, one verdict.

The outbox (``engine/outbox.py``) is the caller; the other transports (functions of this process, the
daemon's own servers) wrap this one. Response bodies are not read, redirects are not followed, and every
wait is bounded. Retries are the outbox's, because only it knows what is on record.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import msgspec

from infinity.abc import Delivery, Verdict
from infinity.errors import InfinityError
from infinity.escaping import escape
from infinity.unreachable import why

from .address import Origin, Server, Signer, origin, shown

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("infinity.toolsets")

CONNECT_SECONDS = 5.0
"""For the TCP and TLS handshake."""
TOTAL_SECONDS = 30.0
"""For the whole exchange."""
NOTICE_SECONDS = 10.0
"""For a notice, which nobody waits for (THR-2, CAN-1)."""
PER_HOST = 32
"""Requests to one origin that are under way at once; more wait for a place."""
REASON = 2_000
"""Bytes of a refusal that are read where its reason is wanted."""
_AT_ONCE = 1 << 18


class HttpTransport:
    """``abc.Transport`` on aiohttp. Places are counted per origin, so that a dead server holds up nobody
    else (B1).

    A server's token, or what is signed for it, goes to that server's origin alone (S7).
    """

    def __init__(
        self,
        servers: Iterable[Server] = (),
        *,
        connect: float = CONNECT_SECONDS,
        total: float = TOTAL_SECONDS,
        per_host: int = PER_HOST,
        signer: Signer | None = None,
    ) -> None:
        """Open nothing yet: the first request makes the session.

        Args:
            servers: those that have a token or want signatures; others may be called as well.
            connect: seconds for the TCP and TLS handshake.
            total: seconds for the whole exchange. Waiting for a place among the requests to one origin
                is not the server's time and does not count.
            per_host: requests to one origin at once.
            signer: signs for the servers that want it.

        Raises:
            ConfigError: a server wants signatures and nobody signs.
        """
        self._servers: dict[Origin, list[Server]] = {}
        """By origin."""
        self._signers: dict[Server, Signer | None] = {}
        for server in servers:
            self._servers.setdefault(origin(server.base_url), []).append(server)
            self._signers[server] = server.signed_by(signer)
        self._connect = connect
        self._total = total
        self._per_host = per_host
        self._places: WeakValueDictionary[Origin, asyncio.Semaphore] = WeakValueDictionary()
        """By origin; each is held by those who wait for it, or have a place."""
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        """By their seconds in all, of which there are two."""
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, *, key: str, reason: bool = False) -> Delivery:
        """POST JSON once (INV-4).

        Args:
            url: the whole address; checked by anyone who recorded it.
            body: UTF-8 JSON.
            key: sent as ``Idempotency-Key``.
            reason: read what a refusal says, for the detail; otherwise no body is ever read.

        Returns:
            Any 2xx is delivered (INV-9); other answers below 500 are refused (INV-6); all else failed
            (INV-5).
        """
        return await self._post(url, body, {"Idempotency-Key": key}, self._total, REASON if reason else 0)

    async def notify(self, base_urls: Sequence[str], path: str, body: bytes) -> dict[str, Delivery]:
        """Tell every server at once, each once and within 10 s (THR-2, CAN-1, B2). It never raises.

        Args:
            base_urls: of the servers; each is told once, however often it is named.
            path: of the notice, with a slash.
            body: UTF-8 JSON.

        Returns:
            The outcome by base URL, for logs only: a notice is not repeated.
        """
        within = min(NOTICE_SECONDS, self._total)
        urls = list(dict.fromkeys(base_url.rstrip("/") for base_url in base_urls))
        deliveries = await asyncio.gather(*(self._post(url + path, body, {}, within) for url in urls))
        return dict(zip(urls, deliveries, strict=True))

    async def close(self) -> None:
        """Close the connections; requests that are under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(
        self, url: str, body: bytes, headers: dict[str, str], within: float, reads: int = 0
    ) -> Delivery:
        """One verdict, whatever happens: a request that cannot even be built ends its call and nothing
        else (B13).
        """
        try:
            return await self._exchange(url, body, headers, within, reads)
        except (ValueError, TypeError, LookupError) as error:
            return Delivery(Verdict.REFUSED, f"{shown(url)}: the request cannot be made ({why(error)})")
        except Exception as error:
            log.exception("a request to %s failed", shown(url))
            return Delivery(Verdict.FAILED, f"{shown(url)}: the request failed ({type(error).__name__})")

    async def _exchange(
        self, url: str, body: bytes, headers: dict[str, str], within: float, reads: int
    ) -> Delivery:
        import aiohttp
        from yarl import URL

        server = shown(url)
        try:
            target = origin(url)
            owner = self._owner(url, target)
        except ValueError as error:
            return Delivery(Verdict.REFUSED, f"{server}: the URL {error}")
        if owner is not None and owner.problem is not None:
            return Delivery(Verdict.REFUSED, f"{server} cannot be called: {owner.problem}")
        address: URL | str = url
        if owner is not None and owner.token:
            headers = {**headers, "Authorization": f"Bearer {owner.token}"}
        try:
            if owner is not None and (signer := self._signers[owner]) is not None:
                headers = {**headers, **await signer.sign("POST", url, body)}
                # What was signed is what is sent, escapes included.
                # As it was signed: re-escaped, it would have another signature.
                address = URL(url, encoded=True)
        except InfinityError as error:
            return Delivery(Verdict.FAILED, f"{server} cannot be called: {error}", left=False)
        try:
            async with (
                self._place(target),
                self._connections().post(
                    address,
                    data=_payload(body),
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._limits(within),
                ) as response,
            ):
                # The status decides; what follows is words for people.
                verdict = _verdict(response.status, server)
                # A bounded part, for people; the answer itself has been decided.
                if reads and verdict.verdict is not Verdict.DELIVERED:
                    return verdict._replace(detail=verdict.detail + _said(await response.content.read(reads)))
                return verdict
        except TimeoutError:
            return Delivery(Verdict.FAILED, f"{server} did not answer within {within:g} s")
        except aiohttp.InvalidURL:
            return Delivery(Verdict.REFUSED, f"{server} is not a URL that can be called")
        except aiohttp.ServerDisconnectedError:
            return Delivery(Verdict.FAILED, f"{server} closed the connection without an answer")
        except (aiohttp.ClientError, OSError) as error:
            # Without a connection nothing was sent; any other error may have come behind the request.
            left = not isinstance(error, aiohttp.ClientConnectorError)
            return Delivery(Verdict.FAILED, f"cannot reach {server}: {why(error)}", left)

    def _place(self, target: Origin) -> asyncio.Semaphore:
        place = self._places.get(target)
        if place is None:
            # Made when it is needed, and gone with the last who holds it: addresses come and go.
            place = self._places[target] = asyncio.Semaphore(self._per_host)
        return place

    def _limits(self, within: float) -> aiohttp.ClientTimeout:
        import aiohttp

        made = self._timeouts.get(within)
        if made is None:
            connect = min(self._connect, within)
            made = self._timeouts[within] = aiohttp.ClientTimeout(total=within, sock_connect=connect)
        return made

    def _owner(self, url: str, target: Origin) -> Server | None:
        """The server that the URL belongs to; of several on one origin the one with the longest matching
        path.
        """
        owners = self._servers.get(target, ())
        if len(owners) <= 1:
            return owners[0] if owners else None
        path = urlsplit(url).path
        # A token is for one server, also where several share an origin (S7).
        under = [server for server in owners if path.startswith(urlsplit(server.base_url).path + "/")]
        return max(under, key=lambda server: len(server.base_url), default=None)

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                # No limit here: places are counted per origin, before a connection is asked for.
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", "User-Agent": "infinity"},
                skip_auto_headers=("Accept-Encoding",),
                auto_decompress=False,
            )
        return self._session


def _payload(body: bytes) -> bytes | io.BytesIO:
    """Small bodies go out at once; writing a large one must not hold up the event loop."""
    return body if len(body) <= _AT_ONCE else io.BytesIO(body)


def _said(body: bytes) -> str:
    """The words of a refusal: those of a JSON error, else the text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = text
    if isinstance(found, dict):
        found = found.get("error", found.get("message", text))
    if isinstance(found, dict):
        found = found.get("message", text)
    return f": {escape(str(found))}" if found else ""


def _verdict(status: int, server: str) -> Delivery:
    if 200 <= status < 300:
        return Delivery(Verdict.DELIVERED)
    if status >= 500:
        return Delivery(Verdict.FAILED, f"HTTP {status} from {server}")
    if 300 <= status < 400:
        return Delivery(Verdict.REFUSED, f"HTTP {status} from {server}: redirects are not followed")
    return Delivery(Verdict.REFUSED, f"HTTP {status} from {server}")
