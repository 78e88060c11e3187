"""What the console keeps of its sessions and codes is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from infinity.api.errors import Refused
from infinity.local.console.codes import Codes
from infinity.local.console.sessions import DAYS, Ended, Session, Sessions

WEEK = DAYS * 86_400_000


class Host:
    """A clock, and the one row of a store."""

    def __init__(self) -> None:
        self.ms = 1_000
        self.row: bytes | None = None
        self.patience = 64

    def now(self) -> int:
        return self.ms

    async def meta(self, _: str) -> bytes | None:
        return self.row

    async def put_meta(self, _: str, value: bytes) -> None:
        # What was asked for first may be the last to be done.
        self.patience //= 2
        for _ in range(self.patience):
            await asyncio.sleep(0)
        self.row = value

    @property
    def kept(self) -> dict[str, Any]:
        assert self.row is not None
        found: dict[str, Any] = msgspec.json.decode(self.row)["ended"]
        return found

    async def sessions(self) -> Sessions:
        return await Sessions.load("token", self, self.now)  # type: ignore[arg-type]


def refused(sessions: Sessions, session: Session) -> str:
    with pytest.raises(Refused) as raised:
        sessions.find([sessions.cookie(session)], sessions.key(session.id))
    return raised.value.code


async def test_what_was_ended_is_kept_as_long_as_its_cookies_would_be_good() -> None:
    host = Host()
    sessions = await host.sessions()
    first, second = sessions.open(secure=False), sessions.open(secure=False)
    await sessions.end(first.id, Ended.SIGNED_OUT)
    host.ms += WEEK - 1
    await sessions.end(second.id, Ended.SIGNED_OUT)
    assert set(host.kept) == {first.id, second.id}
    host.ms += 1
    assert refused(sessions, first) == "signed_out"
    await sessions.end(second.id, Ended.SIGNED_OUT)
    assert set(host.kept) == {second.id}
    assert refused(sessions, first) == "session_expired"


async def test_sessions_that_end_at_once_are_all_on_record() -> None:
    host = Host()
    sessions = await host.sessions()
    opened = [sessions.open(secure=False) for _ in range(5)]
    await asyncio.gather(*(sessions.end(each.id, Ended.REUSED) for each in opened))
    again = await host.sessions()
    assert [refused(again, each) for each in opened] == ["code_reused"] * 5


async def test_a_session_that_is_over_gets_no_new_cookie() -> None:
    host = Host()
    sessions = await host.sessions()
    session = sessions.open(secure=False)
    host.ms += WEEK // 2
    assert sessions.renewed(session) is not None
    await sessions.end(session.id, Ended.REUSED)
    assert sessions.renewed(session) is None


async def test_where_too_many_were_ended_all_are() -> None:
    host = Host()
    sessions = await host.sessions()
    bystander = sessions.open(secure=False)
    for _ in range(1_000):
        await sessions.end(sessions.open(secure=False).id, Ended.SIGNED_OUT)
    assert sessions.find([sessions.cookie(bystander)], sessions.key(bystander.id)) == bystander
    last = sessions.open(secure=False)
    cookies = {each: (sessions.cookie(each), sessions.key(each.id)) for each in (bystander, last)}
    await sessions.end(last.id, Ended.SIGNED_OUT)
    assert host.kept == {}
    for cookie, key in cookies.values():
        with pytest.raises(Refused):
            sessions.find([cookie], key)


def test_codes_that_nobody_uses_take_a_bounded_place() -> None:
    host = Host()
    codes = Codes(host.now)
    made = [codes.make()[0] for _ in range(1_001)]
    assert not codes.use(made[0], "a")
    assert codes.use(made[-1], "b") and codes.used_for(made[-1]) == "b"
    assert not codes.use(made[-1], "c") and codes.used_for(made[-1]) == "b"
