"""Every route against everything that a request may say of who sends it. A route without a verdict here fails the test."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto

import pytest
from tests.boundary.console.browser import Page, signed_in
from tests.boundary.daemons import Running

from infinity.api.backend import Part
from infinity.api.routes import routes_of

pytestmark = pytest.mark.trap("S4")


class Needs(Enum):
    """What a route asks for."""

    NOTHING = auto()
    TOKEN_OR_PAGE = auto()
    TOKEN = auto()
    CODE = auto()
    CAPABILITY = auto()


VERDICTS: Mapping[str, Needs] = {
    "GET /": Needs.NOTHING,
    "GET /t/{id}": Needs.NOTHING,
    "GET /inbox": Needs.NOTHING,
    "GET /costs": Needs.NOTHING,
    "GET /tools": Needs.NOTHING,
    "GET /waits": Needs.NOTHING,
    "GET /compare/{a}/{b}": Needs.NOTHING,
    "GET /assets/{digest}/{name:.+}": Needs.NOTHING,
    "GET /healthz": Needs.NOTHING,
    "GET /openapi.json": Needs.NOTHING,
    # Where only this machine can ask; elsewhere the token (test_http_access.py).
    "GET /metrics": Needs.NOTHING,
    "POST /callback/{token}": Needs.CAPABILITY,
    "POST /v1/console/codes": Needs.TOKEN,
    "POST /v1/console/session": Needs.CODE,
    "POST /v1/threads": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}": Needs.TOKEN_OR_PAGE,
    "DELETE /v1/threads/{id}": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/entries": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/entries/{position}": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/entries/{position}/request": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/events": Needs.TOKEN_OR_PAGE,
    "GET /v1/events": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/messages": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/interrupt": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/stop": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/resume": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/compact": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/close": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/fork": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/model": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/choices/{choice_id}": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/title": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/calls/{call_id}/cancel": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/calls": Needs.TOKEN_OR_PAGE,
    "GET /v1/threads/{id}/calls/{call_id}": Needs.TOKEN_OR_PAGE,
    "GET /v1/timers": Needs.TOKEN_OR_PAGE,
    "GET /v1/outbox": Needs.TOKEN_OR_PAGE,
    "POST /v1/outbox/{key}/retry": Needs.TOKEN_OR_PAGE,
    "GET /v1/discards": Needs.TOKEN_OR_PAGE,
    "POST /v1/resume": Needs.TOKEN_OR_PAGE,
    "GET /v1/prompts": Needs.TOKEN_OR_PAGE,
    "GET /v1/subscriptions": Needs.TOKEN_OR_PAGE,
    "DELETE /v1/threads/{id}/subscriptions/{call_id}": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/tools": Needs.TOKEN_OR_PAGE,
    "GET /v1/toolsets": Needs.TOKEN_OR_PAGE,
    "GET /v1/toolsets/{name}": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/migrate": Needs.TOKEN_OR_PAGE,
    "POST /v1/threads/{id}/export": Needs.TOKEN_OR_PAGE,
    "DELETE /v1/threads/{id}/export": Needs.TOKEN_OR_PAGE,
    "POST /v1/imports": Needs.TOKEN_OR_PAGE,
    "PUT /v1/imports/{id}": Needs.TOKEN_OR_PAGE,
    "POST /v1/imports/{id}/start": Needs.TOKEN_OR_PAGE,
    "DELETE /v1/imports/{id}": Needs.TOKEN_OR_PAGE,
    "GET /v1/examination": Needs.TOKEN_OR_PAGE,
    "GET /v1/usage": Needs.TOKEN_OR_PAGE,
    "GET /v1/about": Needs.TOKEN_OR_PAGE,
    "GET /v1/models": Needs.TOKEN_OR_PAGE,
    # Last, because it ends the session that the others are tried with.
    "DELETE /v1/console/session": Needs.TOKEN_OR_PAGE,
}
OTHER_PORT = "http://127.0.0.1:1"


class Sent(dict[str, str | None]):
    """Headers; ``None`` leaves out what a page of the console would send."""


def nobody(**more: str) -> Sent:
    return Sent({"Infinity-Console": None, "Sec-Fetch-Site": None, "Cookie": "", "Origin": None}, **more)


def token(page: Page, **more: str) -> Sent:
    return nobody(Authorization=f"Bearer {page.daemon.home.token()}", **more)


IN = 0
"""Neither 401 nor 403: what the route says then is its own business."""
CASES: Mapping[str, tuple[Callable[[Page], Sent], Mapping[Needs, int]]] = {
    "nobody": (
        lambda page: nobody(),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401, Needs.CODE: 401},
    ),
    "a program with the token": (token, {Needs.CODE: 401}),
    "the token beside a cookie alone": (
        lambda page: Sent({"Infinity-Console": None, "Authorization": token(page)["Authorization"]}),
        {},
    ),
    "a page that is signed in": (lambda page: Sent(), {Needs.TOKEN: 401}),
    "a page with another token": (
        lambda page: Sent(Authorization="Bearer x"),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401},
    ),
    "a page without its key": (
        lambda page: Sent({"Infinity-Console": None}),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401},
    ),
    "a page with a wrong key": (
        lambda page: Sent({"Infinity-Console": page.key[::-1]}),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401},
    ),
    "a page without its cookie": (
        lambda page: Sent(Cookie="x=y"),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401},
    ),
    "the cookie and the key without the browser's word": (
        lambda page: Sent({"Sec-Fetch-Site": None}),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401, Needs.CODE: 401},
    ),
    "an address that was typed": (
        lambda page: Sent({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401, Needs.CODE: 401},
    ),
    "a picture on a page of another port": (
        lambda page: Sent(
            {
                "Sec-Fetch-Site": "same-site",
                "Sec-Fetch-Mode": "no-cors",
                "Infinity-Console": None,
                "Origin": None,
            }
        ),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401, Needs.CODE: 401},
    ),
    "a page of another port that had the key": (
        lambda page: Sent({"Sec-Fetch-Site": "same-site", "Origin": None}),
        {Needs.TOKEN_OR_PAGE: 401, Needs.TOKEN: 401, Needs.CODE: 401},
    ),
    "a script of another port": (
        lambda page: Sent({"Sec-Fetch-Site": "same-site", "Origin": OTHER_PORT}),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a script of another port with the token": (
        lambda page: token(page, Origin=OTHER_PORT),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a script of another site": (
        lambda page: Sent({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a picture on a page of another site": (
        lambda page: nobody() | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a page in a sandbox": (
        lambda page: Sent({"Sec-Fetch-Site": "cross-site", "Origin": "null"}),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a name that was pointed here": (
        lambda page: Sent(Host="evil.example", Origin=f"http://evil.example:{page.daemon.port}"),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
    "a name that was pointed here, with the token": (
        lambda page: token(page, Host="evil.example"),
        dict.fromkeys(set(Needs) - {Needs.CAPABILITY}, 403),
    ),
}


def test_every_route_has_a_verdict() -> None:
    served = {f"{route.method} {route.path}" for route in routes_of(Part.DAEMON | Part.CONSOLE)}
    assert served == set(VERDICTS), "say what a new route asks for, and take out one that is gone"


@pytest.mark.parametrize("case", CASES)
async def test_who_gets_in_where(daemon: Running, case: str) -> None:
    """The session stays what it is through all of it: at the end its page gets in."""
    make, refused = CASES[case]
    wrong = []
    async with signed_in(daemon) as page:
        held = page.cookie
        page.http.cookie_jar.clear()
        for route, needs in VERDICTS.items():
            method, _, path = route.partition(" ")
            sent = Sent(Cookie=held) | make(page)
            answer = await page.ask(method, re.sub(r"\{[^}]*\}", "none", path), headers=sent)
            status = answer.status if answer.status in (401, 403) else IN
            # A capability that is none is refused as well, under a rule of its own.
            expected = 403 if needs is Needs.CAPABILITY else refused.get(needs, IN)
            if status != expected or answer.status >= 500:
                wrong.append((route, answer.status, expected))
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert wrong == []
        ended = refused.get(Needs.TOKEN_OR_PAGE, IN) == IN
        after = await page.ask("GET", "/v1/threads", headers={"Cookie": held})
        assert after.status == (401 if ended else 200)
