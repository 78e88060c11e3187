"""Fetching toolsets from their servers (DISC-1): all at once, each within its own time.

The catalog (``tools/catalog.py``) loads them for each new root thread. One bad server never spoils the
others (B1, B13): whatever is wrong with it becomes a ``Problem`` beside the toolsets that could be
loaded. Clashes of names are not looked at here; they are the catalog's (DISC-4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from infinity.errors import InfinityError, ToolsetError
from infinity.supervision import shared
from infinity.unreachable import why

from .address import Server, Signer, shown
from .manifest import Toolset, parse_manifest

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("infinity.toolsets")

WELL_KNOWN = "/.well-known/rap-toolset"
"""The path of a toolset below the server's base URL."""
MAX_MANIFEST = 1 << 20
"""Bytes of a manifest that are read."""
MAX_REASON = 500
"""Characters of a refusal that are repeated to people."""
CONNECT_SECONDS = 3.0
"""For the TCP and TLS handshake."""
TOTAL_SECONDS = 5.0
"""For the whole answer of one server."""


class NotReady(ToolsetError):
    """The server answers that it cannot tell its tools yet (HTTP 503): it is worth asking again."""


async def fetch(
    base_url: str,
    session: aiohttp.ClientSession,
    token: str | None = None,
    within: float = TOTAL_SECONDS,
    *,
    signer: Signer | None = None,
) -> Toolset:
    """One server's toolset, fresh and valid.

    Args:
        base_url: of the server.
        session: makes the request; it keeps no cookies.
        token: sent as ``Authorization: Bearer``.
        within: seconds for the whole answer.
        signer: signs the request, for servers that want it.

    Raises:
        NotReady: the server answers that it cannot tell its tools yet.
        ToolsetError: it cannot be reached, answers anything but 200, answers too much
            (``MAX_MANIFEST``), or its toolset is refused. The error has the rule.
    """
    import aiohttp
    from yarl import URL

    # Below the configured address and nowhere else (DISC-1).
    url = base_url.rstrip("/") + WELL_KNOWN
    server = shown(base_url)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if signer is not None:
        try:
            headers.update(await signer.sign("GET", url))
        except InfinityError as error:
            raise ToolsetError(f"{server} cannot be asked: {error}", "DISC-1") from error
    limits = aiohttp.ClientTimeout(total=within, sock_connect=min(CONNECT_SECONDS, within))
    try:
        async with session.get(
            # What was signed is what is sent, escapes included.
            URL(url, encoded=True) if signer is not None else url,
            headers=headers,
            allow_redirects=False,
            auto_decompress=False,
            timeout=limits,
        ) as response:
            if response.status != 200:
                reason = await _reason(response, server)
                # A 503 says of itself that it passes.
                kind = NotReady if response.status == 503 else ToolsetError
                raise kind(_status_text(server, response.status, reason), "DISC-1")
            body = await _read(response, server)
    except TimeoutError as error:
        raise ToolsetError(
            f"{server} did not answer {WELL_KNOWN} within {within:g} s; is the tool server stuck?", "DISC-6"
        ) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: a header, a proxy or a host name that cannot be sent.
        raise ToolsetError(
            f"cannot reach {server}: {why(error)}; is the tool server running?", "DISC-6"
        ) from error
    return parse_manifest(body, base_url.rstrip("/"))


async def _read(response: aiohttp.ClientResponse, server: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        # Counted while it comes: a length that is announced may be wrong, or missing.
        if len(body) > MAX_MANIFEST:
            raise ToolsetError(f"the toolset of {server} is larger than {MAX_MANIFEST} bytes", "DISC-2")
    return bytes(body)


async def _reason(response: aiohttp.ClientResponse, server: str) -> str:
    """What a server says of its own accord, in the form that the kit uses; a stranger's text, so little of
    it and on one line.
    """
    try:
        said = msgspec.json.decode(await _read(response, server), type=_Refusal).error.text
    except (msgspec.DecodeError, UnicodeDecodeError, ToolsetError):
        return ""
    return "".join(character if character.isprintable() else " " for character in said)[:MAX_REASON]


class _Reason(msgspec.Struct):
    text: str


class _Refusal(msgspec.Struct):
    error: _Reason


def _status_text(server: str, status: int, reason: str) -> str:
    if 300 <= status < 400:
        return f"{server} redirects {WELL_KNOWN} (HTTP {status}), which is not followed; configure the address it leads to"
    if reason:
        return f"{server} answered {WELL_KNOWN} with HTTP {status}: {reason}"
    return f"{server} answered {WELL_KNOWN} with HTTP {status}; expected 200"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a server's toolset is not there, or not fresh.

    ``cached``: an earlier copy is in use (DISC-6). ``pending``: there is none, and the server says that
    it is not ready yet. ``rule``: the rule that was broken, where there is one.
    """

    base_url: str
    text: str
    rule: str | None
    cached: bool
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a session starts with.

    ``toolsets`` are in the order of the configuration; ``problems`` says what went wrong; ``fresh`` has
    the base URLs of those that were just fetched.
    """

    toolsets: tuple[Toolset, ...]
    problems: tuple[Problem, ...] = ()
    fresh: frozenset[str] = frozenset()


class Toolsets:
    """The configured servers as one source of toolsets."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        cached: Iterable[Toolset] = (),
        within: float = TOTAL_SECONDS,
        signer: Signer | None = None,
        unusable: Iterable[Problem] = (),
    ) -> None:
        """Take the configuration; nothing is fetched yet.

        Args:
            servers: in the order of the configuration; of two with one base URL the last counts.
            cached: durable copies from earlier runs, used only when a fetch fails (DISC-6).
            within: seconds for the answer of one server.
            signer: for servers that want signed requests.
            unusable: what is wrong with servers that are configured and have no address; reported with
                every load.

        Raises:
            ConfigError: a server wants signed requests and nobody signs.
        """
        self._unusable = tuple(unusable)
        self._closed = False
        self.servers = tuple({server.base_url: server for server in servers}.values())
        self._within = within
        self._signers = {server.base_url: server.signed_by(signer) for server in self.servers}
        self._copies = {toolset.base_url: toolset for toolset in cached}
        self._fetching: dict[str, asyncio.Task[Toolset]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def load(self) -> Loaded:
        """Fetch all servers' definitions (DISC-5), concurrently. It takes no longer than one time-out.

        Returns:
            What could be loaded, and a problem for each server that could not. It never raises for what
            servers do.
        """
        results = await asyncio.gather(
            *(self._fetch(server) for server in self.servers), return_exceptions=True
        )
        toolsets: list[Toolset] = []
        problems: list[Problem] = []
        fresh: set[str] = set()
        for server, result in zip(self.servers, results, strict=True):
            if isinstance(result, Toolset):
                self._copies[server.base_url] = result
                toolsets.append(result)
                fresh.add(server.base_url)
                continue
            # The end of the program is no problem of a server.
            if isinstance(result, KeyboardInterrupt | SystemExit) or (
                isinstance(result, asyncio.CancelledError) and self._closed
            ):
                raise result
            copy = self._copies.get(server.base_url)
            problems.append(self._problem(server, result, copy is not None))
            if copy is not None:
                toolsets.append(copy)
        return Loaded(tuple(toolsets), (*problems, *self._unusable), frozenset(fresh))

    def _problem(self, server: Server, error: BaseException, cached: bool) -> Problem:
        """Whatever went wrong with one server is that server's problem, whatever its class (B13)."""
        if isinstance(error, ToolsetError):
            pending = isinstance(error, NotReady) and not cached
            return Problem(server.base_url, str(error), error.rule, cached, pending)
        log.error("the toolset of %s cannot be loaded", shown(server.base_url), exc_info=error)
        text = f"the toolset of {shown(server.base_url)} cannot be loaded: {type(error).__name__}"
        return Problem(server.base_url, text, None, cached)

    async def close(self) -> None:
        """Stop fetching and release the connections. A ``load`` that waits is cancelled."""
        self._closed = True
        running = list(self._fetching.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _fetch(self, server: Server) -> Toolset:
        """Join a fetch of this server that is under way: a hundred new sessions at once are one request."""
        if server.problem is not None:
            raise ToolsetError(f"{shown(server.base_url)} cannot be asked: {server.problem}", "DISC-6")
        task = self._fetching.get(server.base_url)
        if task is None:
            task = shared(
                fetch(
                    server.base_url,
                    self._connections(),
                    server.token,
                    self._within,
                    signer=self._signers[server.base_url],
                ),
                f"discover {shown(server.base_url)}",
            )
            self._fetching[server.base_url] = task
            task.add_done_callback(lambda _: self._fetching.pop(server.base_url, None))
        # The fetch is shared: one caller that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                # A manifest is asked for rarely; no connection is kept in between.
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=4, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session
