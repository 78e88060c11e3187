"""Who may use the API as the console: a page that carries a session's cookie and its key, from the daemon's own origin.

Three things are asked for, because each alone can be had by others. A cookie goes to every port of this machine, so a server on another port has it; the key
is in the storage of one origin, which that server's pages cannot read; ``Sec-Fetch-Site`` is the browser's own word that the request comes from a page of this
origin. Programs use the token, to which nothing of this applies.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiohttp import web

from infinity.api.errors import Refused
from infinity.ids import is_user

from ..addresses import Address, host_name, is_loopback
from .codes import Codes
from .sessions import DAYS, Ended, Session, Sessions

__all__ = ["KEY", "ConsoleAccess", "login_name"]

KEY = "Infinity-Console"
"""The header with the page's key."""
_PATH = "/v1"


class ConsoleAccess:
    """One daemon's codes and sessions.

    Args:
        address: Of the daemon.
        sessions: With what is known of earlier ones.
        codes: Those that a page signs in with.
        user: Whose doing is what a page does; ``None`` says nobody's.
    """

    def __init__(self, address: Address, sessions: Sessions, codes: Codes, user: str | None) -> None:
        self.sessions = sessions
        self.codes = codes
        self.user = user
        self.cookie_name = f"infinity_{address.port}"
        self._address = address
        self._public = urlsplit(address.public_url)
        self._at_work: dict[int, tuple[web.Request, Session]] = {}
        """By the identity of the request."""

    @property
    def url(self) -> str | None:
        """Where the console opens, without a slash at the end; ``None`` where no browser would say that a request is the page's own.

        On this machine where that is possible: ``public_url`` may lead to tool servers' callbacks and nothing else.
        """
        host, port = self._address.host, self._address.port
        if not is_loopback(host):
            return f"https://{self._public.netloc}" if self._public.scheme == "https" else None
        # 'localhost' is another origin, and one that other programs share more often.
        return f"http://[{host}]:{port}" if ":" in host else f"http://{_number(host)}:{port}"

    def address(self) -> str:
        """``url``, or a refusal that says what to do.

        Raises:
            Refused: 409, if the daemon can be reached from elsewhere and nothing is encrypted.
        """
        if self.url is None:
            port = self._address.port
            raise Refused(
                409,
                "console_address",
                f"the console needs a daemon that only this machine can reach, or https: remove [daemon] host ({self._address.host}) or set public_url to an https address, "
                f"and restart the daemon. From another machine, then run: ssh -L {port}:127.0.0.1:{port} HOST",
            )
        return self.url

    def meant(self, request: web.Request) -> bool:
        """Whether the request comes from a page, genuine or not, and not from a program with the token."""
        headers = request.headers
        return "Authorization" not in headers and (KEY in headers or any(self._cookies(request)))

    def admit(self, request: web.Request) -> Session:
        """The session that the request belongs to.

        Raises:
            Refused: 401, if the cookie, the key or the browser's word is missing or wrong.
        """
        self.check_origin(request)
        return self.sessions.find(self._cookies(request), request.headers.get(KEY, ""))

    def check_origin(self, request: web.Request) -> None:
        """The browser's word that the request comes from a page of this origin, at an address where browsers give it.

        Raises:
            Refused: 401 without it.
        """
        name = host_name(request.headers.get("Host", ""))
        secure = self._public.scheme == "https"
        here = name is not None and (is_loopback(name) or (secure and name == self._public.hostname))
        if self.url is None or not here or request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise Refused(
                401,
                "unauthorized",
                "the console answers pages of its own address only; programs send 'Authorization: Bearer TOKEN'",
            )

    @contextmanager
    def at_work(self, session: Session, request: web.Request) -> Iterator[None]:
        """While the request of a session is answered."""
        self._at_work[id(request)] = request, session
        try:
            yield
        finally:
            del self._at_work[id(request)]

    def session_of(self, request: web.Request) -> Session | None:
        """The session that has let in a request which is being answered; ``None``: it was the token, or nothing was asked for."""
        found = self._at_work.get(id(request))
        return found[1] if found is not None else None

    async def end(self, session: str, why: Ended, but: web.Request | None = None) -> None:
        """End a session, and with it its event streams and whatever else is being answered; ``but``: the request that asks for it."""
        self._hang_up(session, but)
        await self.sessions.end(session, why)

    async def end_all(self) -> None:
        """End every session."""
        self._hang_up(None, None)
        await self.sessions.end_all()

    def set_cookie(self, response: web.StreamResponse, session: Session) -> None:
        """For a page that has signed in, or whose cookie is no longer young."""
        response.set_cookie(
            self.cookie_name,
            self.sessions.cookie(session),
            max_age=DAYS * 86_400,
            path=_PATH,
            httponly=True,
            samesite="Strict",
            secure=session.secure,
        )

    def remove_cookie(self, response: web.StreamResponse) -> None:
        """For the page that signs out."""
        response.del_cookie(self.cookie_name, path=_PATH, httponly=True, samesite="Strict")

    def _cookies(self, request: web.Request) -> Iterator[str]:
        for header in request.headers.getall("Cookie", ()):
            for each in header.split(";"):
                name, _, value = each.strip().partition("=")
                if name == self.cookie_name:
                    yield value

    def _hang_up(self, session: str | None, but: web.Request | None) -> None:
        for request, own in self._at_work.values():
            if session in (None, own.id) and request is not but and request.transport is not None:
                request.transport.abort()


def login_name() -> str | None:
    """The name of the account that the daemon runs under; ``None`` where it has none."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
    return name if is_user(name) else None


def _number(host: str) -> str:
    return "127.0.0.1" if host.lower() == "localhost" else host
