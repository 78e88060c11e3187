"""One-time codes: proof, to a page that has just been opened, that whoever opened it holds the daemon's token.

A code is in the address with which a browser is started, which other users of the machine can see while the browser starts. It is therefore good once
and for a minute, and who comes second with it tells on the first.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Callable

__all__ = ["CODE_SECONDS", "TRIES", "Codes"]

CODE_SECONDS = 60
TRIES = 30
"""A minute, with codes that are not known to have been used."""
_MINUTE = 60_000
_MOST = 1_000
"""Codes that are kept: those that can be used, and those that were."""


class Codes:
    """In memory only, and as digests only. ``now``: ms since the epoch."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._fresh: dict[bytes, int] = {}
        self._used: dict[bytes, str] = {}
        self._tries: deque[int] = deque(maxlen=TRIES)

    def make(self) -> tuple[str, int]:
        """A new code of 256 bits, and when it expires."""
        now, code = self._now(), secrets.token_urlsafe(32)
        self._fresh = {known: until for known, until in self._fresh.items() if until > now}
        _bound(self._fresh)
        expires_at = now + CODE_SECONDS * 1000
        self._fresh[_digest(code)] = expires_at
        return code, expires_at

    def used_for(self, code: str) -> str | None:
        """The session that was opened with the code, however long ago in the life of this process."""
        return self._used.get(_digest(code))

    def wait(self) -> int:
        """Seconds until another try is taken; 0, and the try is counted, if it is taken now."""
        now = self._now()
        if len(self._tries) == TRIES and 0 <= now - self._tries[0] < _MINUTE:
            return -(-(self._tries[0] + _MINUTE - now) // 1000)
        self._tries.append(now)
        return 0

    def use(self, code: str, session: str) -> bool:
        """Open the session with the code. False if there is no such code, or its time is over."""
        known = _digest(code)
        expires_at = self._fresh.pop(known, 0)
        if expires_at <= self._now():
            return False
        _bound(self._used)
        self._used[known] = session
        return True


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="surrogatepass")).digest()


def _bound(kept: dict[bytes, int] | dict[bytes, str]) -> None:
    while len(kept) >= _MOST:
        del kept[next(iter(kept))]
