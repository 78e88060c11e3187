"""The other daemon, as a conversation that moves there needs it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from infinity.errors import BadRequest, MoveFailed, MoveUnconfirmed
from infinity.rap.address import shown, url_problem

__all__ = ["Destination"]

SECONDS = 30.0
UPLOAD_SECONDS = 600.0
_LONGEST_ANSWER = 64 << 20
_PIECE = 1 << 18


class Destination:
    """``url``: the other daemon's address; ``token``: from the file ``token`` in its home."""

    def __init__(self, url: str, token: str) -> None:
        problem = url_problem(url)
        if problem:
            raise BadRequest(
                f"the destination {problem}; write the other daemon's address, such as http://host:7345"
            )
        self.url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"}, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def toolsets(self) -> dict[str, dict[str, Any]]:
        """Its tool servers by name, started where it starts them (MIG-2)."""
        found = await self._ask("GET", "/v1/toolsets")
        return {str(server["name"]): server for server in found["toolsets"]}

    async def put(self, root: str, file: Path) -> dict[str, str]:
        """Hand the tree over; it rests there until ``start``. Where the callbacks of its open calls go from then on, by call id."""
        with file.open("rb") as content:
            found = await self._ask(
                "PUT",
                f"/v1/imports/{root}",
                data=content,
                headers={"Content-Type": "application/octet-stream"},
                timeout=aiohttp.ClientTimeout(total=UPLOAD_SECONDS, sock_connect=SECONDS),
            )
        return {str(call): str(url) for call, url in found["callbacks"].items()}

    async def start(self, root: str) -> None:
        await self._ask("POST", f"/v1/imports/{root}/start")

    async def forget(self, root: str) -> None:
        await self._ask("DELETE", f"/v1/imports/{root}")

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        options.setdefault("timeout", aiohttp.ClientTimeout(total=SECONDS))
        there = shown(self.url)
        try:
            async with self._session.request(
                method, self.url + path, allow_redirects=False, **options
            ) as response:
                body = await response.content.read(_LONGEST_ANSWER)
        except TimeoutError:
            raise MoveUnconfirmed(f"{there} did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise MoveUnconfirmed(f"{there} cannot be reached: {error}") from None
        if response.status in (200, 201):
            return _object(body, there)
        said = _error(body) or f"HTTP {response.status}"
        if response.status == 401:
            said = "the token is not that of the daemon there; it is in the file 'token' of its home"
        kind = MoveUnconfirmed if response.status >= 500 else MoveFailed
        raise kind(f"{there} refused: {said}")


def _object(body: bytes, there: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise MoveUnconfirmed(
            f"{there} did not answer as a daemon of Infinity does; check the address"
        ) from None


def _error(body: bytes) -> str | None:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
