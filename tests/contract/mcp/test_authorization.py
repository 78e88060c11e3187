"""OAuth, per user, through RAP's ``oauth`` message: a server that wants tokens, and the authorization server that gives them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from infinity.mcp import connections

PAGE = "https://auth.example/authorize"


class Guarded:
    """In front of an MCP server: asks for tokens, and plays the authorization server. ``requests``: users by token, as they came."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.tokens: dict[str, str] = {}
        self.granted: dict[str, tuple[str, str]] = {}
        self.requests: list[str] = []
        self.registered = self.described = 0
        self.refreshed = 0
        self.revoked: set[str] = set()
        self.address = ""

    async def start(self) -> web.AppRunner:
        application = web.Application()
        routes = application.router
        routes.add_route("*", "/mcp", self._mcp)
        routes.add_get("/.well-known/oauth-protected-resource/mcp", self._resource)
        routes.add_get("/.well-known/oauth-authorization-server", self._metadata)
        routes.add_post("/register", self._register)
        routes.add_post("/token", self._token)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _mcp(self, request: web.Request) -> web.Response:
        user = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        self.requests.append(user)
        passed_on = {
            key: value for key, value in request.headers.items() if key not in ("Authorization", "Host")
        }
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, self._behind, data=await request.read(), headers=passed_on
            ) as answer,
        ):
            kind = {"Content-Type": answer.headers.get("Content-Type", "")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kind)

    async def _resource(self, _: web.Request) -> web.Response:
        self.described += 1
        return web.json_response(
            {
                "resource": f"{self.address}/mcp",
                "authorization_servers": [self.address],
                "scopes_supported": ["notes"],
            }
        )

    async def _metadata(self, _: web.Request) -> web.Response:
        self.described += 1
        return web.json_response(
            {
                "issuer": self.address,
                "authorization_endpoint": PAGE,
                "token_endpoint": f"{self.address}/token",
                "registration_endpoint": f"{self.address}/register",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _register(self, request: web.Request) -> web.Response:
        self.registered += 1
        asked = await request.json()
        return web.json_response({**asked, "client_id": f"client-{self.registered}"}, status=201)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["grant_type"] == "refresh_token":
            self.refreshed += 1
            user = str(form["refresh_token"]).removeprefix("refresh-")
            if user in self.revoked:
                return web.json_response({"error": "invalid_grant"}, status=400)
        else:
            user, challenge = self.granted[str(form["code"])]
            digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
        token = f"token-{user}-{len(self.tokens)}"
        self.tokens[token] = user
        return web.json_response(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": 3600,
                "refresh_token": f"refresh-{user}",
            }
        )

    def revoke(self, user: str) -> None:
        self.revoked.add(user)
        self.tokens = {token: owner for token, owner in self.tokens.items() if owner != user}

    async def grant(self, auth_url: str, user: str) -> int:
        """What the user does in the browser; the status of the page that comes last."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(auth_url).query).items()}
        assert asked["code_challenge_method"] == "S256" and asked["resource"] == f"{self.address}/mcp"
        code = f"code-{user}"
        self.granted[code] = (user, asked["code_challenge"])
        back = f"{asked['redirect_uri']}?code={code}&state={asked['state']}"
        async with aiohttp.ClientSession() as session, session.get(back) as response:
            return response.status


@pytest.fixture
async def guarded(web_server: Any) -> AsyncIterator[Guarded]:
    process = await web_server()
    made = Guarded(process.url)
    runner = await made.start()
    yield made
    await runner.cleanup()


async def granted(bridged: Any, guarded: Guarded, tool: str, call: str, user: str, **arguments: Any) -> str:
    """Call a tool, grant the access that it asks for, and get its result."""
    await bridged.runtime.invoke(bridged.server.base_url, tool, call, arguments=arguments, user_id=user)
    asked = await bridged.message("oauth", call)
    assert asked["auth_url"].startswith(PAGE)
    assert await guarded.grant(asked["auth_url"], user) == 200
    return str((await bridged.message("tool_result", call))["text"])


@pytest.mark.rap("OAU-1")
async def test_a_user_grants_access_and_the_call_goes_on(bridge: Any, guarded: Guarded) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    assert list(await bridged.tools()) == ["scripted_connect"], "nobody has granted anything yet"
    assert guarded.described == guarded.registered == 0, "nobody has asked for anything yet (S15)"
    told = await granted(bridged, guarded, "scripted_connect", "c1", "ann")
    assert told.startswith("Access is granted.")
    assert "add" in await bridged.tools()
    await bridged.runtime.invoke(
        bridged.server.base_url, "add", "c2", arguments={"a": 1, "b": 2}, user_id="ann"
    )
    assert (await bridged.message("tool_result", "c2"))["text"] == "3"
    assert guarded.registered == 1


@pytest.mark.trap("S11")
async def test_each_user_grants_access_for_himself(bridge: Any, guarded: Guarded) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    await granted(bridged, guarded, "scripted_connect", "c1", "ann")
    guarded.requests.clear()
    assert await granted(bridged, guarded, "add", "c2", "ben", a=1, b=2) == "3"
    assert set(guarded.requests) == {"ben"}


async def test_grants_outlast_the_bridge_and_are_renewed_without_asking(
    bridge: Any, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    await granted(bridged, guarded, "scripted_connect", "c1", "ann")
    guarded.tokens.clear()
    tomorrow = time.time() + 24 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    await bridged.restart()
    await bridged.runtime.invoke(
        bridged.server.base_url, "add", "c2", arguments={"a": 1, "b": 2}, user_id="ann"
    )
    assert (await bridged.message("tool_result", "c2"))["text"] == "3"
    assert guarded.refreshed >= 1
    assert len([each for each in bridged.runtime.callbacks if each["type"] == "oauth"]) == 1


async def test_a_refusal_is_told_and_strangers_are_turned_away(bridge: Any, guarded: Guarded) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    await bridged.runtime.invoke(bridged.server.base_url, "scripted_connect", "c1", user_id="ann")
    asked = await bridged.message("oauth", "c1")
    state = parse_qs(urlsplit(asked["auth_url"]).query)["state"][0]
    back = f"{bridged.server.base_url}/oauth/callback"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{back}?code=stolen&state=guessed") as response:
            assert response.status == 404
        async with session.get(f"{back}?error=access_denied&state={state}") as response:
            assert response.status == 200
    text = (await bridged.message("tool_result", "c1"))["text"]
    assert "access was not granted: access_denied" in text


async def test_one_user_who_takes_access_back_takes_it_from_nobody_else(
    bridge: Any, guarded: Guarded
) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    await granted(bridged, guarded, "scripted_connect", "c1", "ann")
    await granted(bridged, guarded, "add", "c2", "ben", a=1, b=2)
    guarded.revoke("ann")
    assert "add" in await bridged.tools(), "ben's access shows what there is"
    guarded.revoke("ben")
    assert list(await bridged.tools()) == ["scripted_connect"]
    assert (await granted(bridged, guarded, "scripted_connect", "c3", "ben")).startswith("Access is granted.")
    assert "add" in await bridged.tools()


async def test_another_address_to_come_back_to_is_registered_anew(bridge: Any, guarded: Guarded) -> None:
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    await granted(bridged, guarded, "scripted_connect", "c1", "ann")
    await bridged.restart()  # on another free port
    await granted(bridged, guarded, "add", "c2", "ben", a=1, b=2)
    assert guarded.registered == 2
    await bridged.runtime.invoke(
        bridged.server.base_url, "add", "c3", arguments={"a": 2, "b": 2}, user_id="ann"
    )
    assert (await bridged.message("tool_result", "c3"))["text"] == "4", "who had access keeps it"


@pytest.mark.trap("G2")
async def test_sessions_of_many_users_are_let_go_and_their_grants_are_not(
    bridge: Any, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_KEPT", 2)
    bridged = await bridge(url=f"{guarded.address}/mcp")
    await bridged.tools()
    for number, user in enumerate(("ann", "ben", "cleo")):
        await granted(bridged, guarded, "scripted_connect", f"c{number}", user)
    assert len(bridged.server.bridge._connections._made) == 2
    await bridged.runtime.invoke(
        bridged.server.base_url, "add", "c9", arguments={"a": 4, "b": 5}, user_id="ann"
    )
    assert (await bridged.message("tool_result", "c9"))["text"] == "9"
    assert len([each for each in bridged.runtime.callbacks if each["type"] == "oauth"]) == 3
