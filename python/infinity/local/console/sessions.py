"""Sessions of the console: a cookie and a key that only together let a page in, and nothing of either kept anywhere.

A cookie is ``id.expiry.mac``. Browsers send it to every port of this machine, so that it counts only beside the page's key, another MAC of the same id, which
stays in the storage of one origin. Both are made with a key that follows from the daemon's token and an epoch in the store: a restart changes neither, a new
token or a new epoch ends every session at once. What is kept is which sessions were ended before their time.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from infinity.abc import Store
from infinity.api.errors import Refused

__all__ = ["DAYS", "Ended", "Session", "Sessions"]

DAYS = 7
"""Since the session was last used."""
_LIFE = DAYS * 86_400_000
_RENEWED = 3_600_000
"""A cookie is at least so old, in ms, before it is replaced."""
_META = "console"
_MOST = 1_000
"""Sessions ended within their time; beyond that, all are ended."""
_COOKIE = re.compile(r"([hs][A-Za-z0-9_-]{22})\.([0-9]{1,15})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Ended(StrEnum):
    """Why a session is over. The value is the code of the refusal."""

    SIGNED_OUT = "signed_out"
    REUSED = "code_reused"
    EXPIRED = "session_expired"


_SAID = {
    Ended.SIGNED_OUT: "this session was signed out; run 'infinity console' to sign in again",
    Ended.REUSED: (
        "the code of this session was used a second time, so the session was ended: somebody else may have read the code; "
        "run 'infinity console' to sign in again"
    ),
    Ended.EXPIRED: f"this session was not used for {DAYS} days; run 'infinity console' to sign in again",
}


class Session(NamedTuple):
    """``expires_at``: in ms since the epoch."""

    id: str
    expires_at: int

    @property
    def secure(self) -> bool:
        """Whether it was opened over https, so that its cookie is for https alone."""
        return self.id.startswith("s")


class _Kept(msgspec.Struct):
    """The row in the store. ``ended``: by id, until when its cookies would be good, and why they are not."""

    epoch: str = ""
    ended: dict[str, tuple[int, Ended]] = {}


class Sessions:
    """Made by ``load``. ``now``: ms since the epoch."""

    def __init__(self, token: str, store: Store, now: Callable[[], int], kept: _Kept) -> None:
        self._token = token
        self._store = store
        self._now = now
        self._writing = asyncio.Lock()
        self._kept = kept
        self._secret = self._derived()

    @classmethod
    async def load(cls, token: str, store: Store, now: Callable[[], int]) -> Sessions:
        """With what the store has kept of the daemon's earlier sessions. A row that cannot be read ends all of them."""
        row = await store.meta(_META)
        try:
            kept = msgspec.json.decode(row, type=_Kept) if row is not None else _Kept()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            kept = _Kept(secrets.token_hex(16))
        return cls(token, store, now, kept)

    def open(self, *, secure: bool) -> Session:
        """A new one. Nothing is kept of it: its cookie and its key prove it. ``secure``: over https."""
        return Session(("s" if secure else "h") + _text(secrets.token_bytes(16)), self._now() + _LIFE)

    def cookie(self, session: Session) -> str:
        """The value of its cookie."""
        signed = f"{session.id}.{session.expires_at}"
        return f"{signed}.{self._mac('cookie', signed)}"

    def key(self, session: str) -> str:
        """What its page sends along, by the session's id."""
        return self._mac("page", session)

    def renewed(self, session: Session) -> Session | None:
        """The session with its whole time before it; ``None`` while its cookie is young, and once it is over."""
        expires_at = self._now() + _LIFE
        if expires_at - session.expires_at < _RENEWED or self._over(session) is not None:
            return None
        return session._replace(expires_at=expires_at)

    def find(self, cookies: Iterable[str], key: str) -> Session:
        """The session of the key, if its cookie is there as well.

        Args:
            cookies: Values of every cookie with the name, because servers on other ports can set more of them.
            key: Of the page.

        Raises:
            Refused: 401, with the reason if both are genuine and the session is over.
        """
        why: Ended | None = None
        for cookie in cookies:
            session = self._genuine(cookie)
            if session is None or not _same(self.key(session.id), key):
                continue
            why = self._over(session)
            if why is None:
                return session
        if why is not None:
            raise Refused(401, why, _SAID[why])
        raise Refused(401, "unauthorized", "this page is not signed in; run 'infinity console'")

    async def end(self, session: str, why: Ended) -> None:
        """End it before its time, here at once and for good once it is written."""
        now = self._now()
        ended = {known: each for known, each in self._kept.ended.items() if each[0] > now}
        if len(ended) >= _MOST and session not in ended:
            await self.end_all()
            return
        # No cookie of it is good for longer than one that was renewed now.
        self._kept.ended = {**ended, session: (now + _LIFE, why)}
        await self._keep()

    async def end_all(self) -> None:
        """Begin a new epoch."""
        self._kept = _Kept(secrets.token_hex(16))
        self._secret = self._derived()
        await self._keep()

    async def _keep(self) -> None:
        async with self._writing:
            await self._store.put_meta(_META, msgspec.json.encode(self._kept))

    def _derived(self) -> bytes:
        text = f"infinity console 1\n{self._kept.epoch}"
        return hmac.digest(self._token.encode(), text.encode(), "sha256")

    def _mac(self, what: str, text: str) -> str:
        return _text(hmac.digest(self._secret, f"{what}\n{text}".encode(), "sha256"))

    def _genuine(self, cookie: str) -> Session | None:
        found = _COOKIE.fullmatch(cookie)
        if found is None or not _same(self._mac("cookie", f"{found[1]}.{found[2]}"), found[3]):
            return None
        return Session(found[1], int(found[2]))

    def _over(self, session: Session) -> Ended | None:
        if session.id in self._kept.ended:
            return self._kept.ended[session.id][1]
        return Ended.EXPIRED if session.expires_at <= self._now() else None


def _same(genuine: str, given: str) -> bool:
    return hmac.compare_digest(genuine.encode(), given.encode(errors="surrogatepass"))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
