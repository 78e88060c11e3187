"""Signing in to the console and out of it: ``/v1/console``."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from infinity.api.errors import Refused, refusal
from infinity.api.requests import Nothing, SignIn
from infinity.api.responses import ConsoleCode, ConsoleSession, SignedOut, respond

from ..backend import BACKEND
from ..http import received, response
from .access import ConsoleAccess
from .codes import CODE_SECONDS
from .sessions import Ended

__all__ = ["make_code", "sign_in", "sign_out"]

_LARGEST = 4096
"""Bytes of a body that anyone may send."""


async def make_code(request: web.Request) -> web.Response:
    """For who holds the token.

    Raises:
        Refused: 409, where the console cannot be opened.
    """
    console = _console(request)
    await received(request).json(Nothing, optional=True)
    base = console.address()
    code, expires_at = console.codes.make()
    return response(respond(ConsoleCode(code, f"{base}/#code={code}", expires_at), status=201))


async def sign_in(request: web.Request) -> web.Response:
    """For a page that has a code. A code that comes a second time ends the session of the first: one of the two pages is a stranger's.

    Raises:
        Refused: 401 for a wrong or used code, 409 where the console cannot be opened.
    """
    console = _console(request)
    console.address()
    console.check_origin(request)
    code = (await replace(received(request), limit=_LARGEST).json(SignIn)).code
    earlier = console.codes.used_for(code)
    if earlier is not None:
        await console.end(earlier, Ended.REUSED)
        raise Refused(
            401,
            "code_reused",
            "this code was used before, so the session that it opened was ended: somebody else may have read it; run 'infinity console' to sign in again",
        )
    wait = console.codes.wait()
    if wait:
        limited = refusal(429, "limit", f"too many tries to sign in; try again in {wait} s")
        return response(limited._replace(headers={"Retry-After": str(wait)}))
    session = console.sessions.open(secure=request.headers.get("Origin", "").startswith("https:"))
    if not console.codes.use(code, session.id):
        raise Refused(
            401,
            "code",
            f"there is no such code; a code is good once and for {CODE_SECONDS} s: run 'infinity console' for a new one",
        )
    answered = response(
        respond(ConsoleSession(console.sessions.key(session.id), console.user, session.expires_at))
    )
    console.set_cookie(answered, session)
    return answered


async def sign_out(request: web.Request) -> web.Response:
    """A page ends its own session, the token's holder all of them."""
    console = _console(request)
    session = console.session_of(request)
    if session is None:
        await console.end_all()
        return response(respond(SignedOut("all")))
    await console.end(session.id, Ended.SIGNED_OUT, but=request)
    answered = response(respond(SignedOut("this")))
    console.remove_cookie(answered)
    return answered


def _console(request: web.Request) -> ConsoleAccess:
    console = request.app[BACKEND].console
    assert console is not None, "without it these routes are not served"
    return console
