"""OAuth for MCP servers that want it, per user.

The SDK knows the flow, RAP's ``oauth`` message shows the page (OAU-1), the ledger keeps the grants.
``connections`` makes one ``Authorization`` for a server, ``server`` hands it what the browser brings back.
Only a call may ask for access: where nobody has asked, the addresses that a server names are not even
looked at (S15).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl

from .calls import RunningCall, current
from .ledger import Ledger

GRANT_SECONDS = 900.0
"""How long a person may take to grant access."""
CALLBACK = "/oauth/callback"
EVERYBODY = "*"
"""Under which the registration with the authorization server is kept, which users share."""

Unhurried = Callable[[], AbstractContextManager[None]]


class AccessNeeded(Exception):
    """The server wants a grant, and there is no call on whose behalf somebody could be asked."""


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept of one user: JSON documents of the SDK's models, and when the access ends (seconds since
    1970).
    """

    client: str | None = None
    tokens: str | None = None
    ends_at: float | None = None
    server: str | None = None
    resource: str | None = None


class Authorization:
    """All users' grants for one server.

    ``redirect_url`` is where the browser comes back to; the server of the bridge sets it once its port is
    known.

    Args:
        server_url: The MCP server's URL.
        ledger: Where grants are kept.
    """

    def __init__(self, server_url: str, ledger: Ledger) -> None:
        self.redirect_url = ""
        self._server_url = server_url
        self._ledger = ledger
        self._waiting: dict[str, asyncio.Future[AuthorizationCodeResult]] = {}

    def provider(self, user: str, unhurried: Unhurried) -> OAuthClientProvider:
        """Make the authorization for the requests of one user.

        Args:
            user: The user's id, or an empty text for the session that all share.
            unhurried: Holds up the connection's own time while a person is asked.
        """
        return _Provider(self._server_url, self, self._ledger, user, unhurried)

    def granted(self, query: dict[str, str]) -> bool:
        """Take what the browser brought back.

        Args:
            query: Of the redirect: ``state`` and either ``code`` or ``error``.

        Returns:
            ``False`` if nobody waits for this ``state``.
        """
        # The state is used up at once: a second request with it finds nobody, no matter who sends it.
        waiting = self._waiting.pop(query.get("state", ""), None)
        if waiting is None or waiting.done():
            return False
        if "code" in query:
            waiting.set_result(
                AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query.get("iss"))
            )
        else:
            waiting.set_exception(
                OAuthFlowError(f"access was not granted: {query.get('error', 'no reason given')}")
            )
        return True

    async def ask(self, auth_url: str) -> AuthorizationCodeResult:
        """Show the page to the user of the current call, and wait for the browser to come back (OAU-1).

        Args:
            auth_url: The page, with the ``state`` that the redirect will repeat.

        Raises:
            AccessNeeded: if no call is current, on whose behalf somebody could be asked.
            OAuthFlowError: if access was refused, or nobody granted it within ``GRANT_SECONDS``.
        """
        running = current.get()
        if running is None:
            raise AccessNeeded
        state = parse_qs(urlsplit(auth_url).query)["state"][0]
        waiting: asyncio.Future[AuthorizationCodeResult] = asyncio.get_running_loop().create_future()
        self._waiting[state] = waiting
        try:
            with running.asking():
                await _show(running, auth_url)
                async with asyncio.timeout(GRANT_SECONDS):
                    return await waiting
        except TimeoutError:
            raise OAuthFlowError(f"nobody granted access within {GRANT_SECONDS / 60:g} minutes") from None
        finally:
            self._waiting.pop(state, None)


async def _show(running: RunningCall, auth_url: str) -> None:
    try:
        await running.call.authorize(auth_url)
    except ValueError as error:
        raise OAuthFlowError(str(error)) from error


class _Provider(OAuthClientProvider):
    """The SDK's flow, with a memory that outlasts the process: tokens alone cannot be refreshed, it must be
    known where and until when.
    """

    def __init__(
        self, server_url: str, authorization: Authorization, ledger: Ledger, user: str, unhurried: Unhurried
    ) -> None:
        self._authorization = authorization
        self._ledger = ledger
        self._user = user
        self._unhurried = unhurried
        self._url = ""
        metadata = OAuthClientMetadata.model_validate(
            {"client_name": "Infinity", "redirect_uris": [authorization.redirect_url]}
        )
        super().__init__(server_url, metadata, self, self._remember_url, self._wait)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """The SDK's flow only where access is wanting: it lets one request at a time through, and a call may
        take days.
        """
        # The SDK's flow holds its lock until the response is there. A long call would keep every other
        # request of this user waiting, so the flow is entered only where it has something to do (B1).
        async with self.context.lock:
            if not self._initialized:
                await self._initialize()
        if self.context.is_token_valid() or not self.context.can_refresh_token():
            self._add_auth_header(request)
            response = yield request
            if response.status_code not in (401, 403):
                return
            if current.get() is None:
                self._refuse(response)
                return
        flow = super().async_auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                response = yield outgoing
                if outgoing is request and current.get() is None:
                    self._refuse(response)
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def _refuse(self, response: httpx2.Response) -> None:
        """Nobody asked for access: what the server names to sign in at is not even looked at (S15)."""
        wanted = response.headers.get("www-authenticate", "")
        if response.status_code == 401 or (response.status_code == 403 and "insufficient_scope" in wanted):
            raise AccessNeeded

    async def _initialize(self) -> None:
        await super()._initialize()
        kept = await self._kept()
        self.context.token_expiry_time = kept.ends_at
        if kept.server is not None:
            self.context.oauth_metadata = OAuthMetadata.model_validate_json(kept.server)
        # Without these documents the SDK has a refresh token and does not know where to take it.
        if kept.resource is not None:
            resource = ProtectedResourceMetadata.model_validate_json(kept.resource)
            self.context.protected_resource_metadata = resource
            self.context.auth_server_url = str(resource.authorization_servers[0])

    async def _remember_url(self, auth_url: str) -> None:
        self._url = auth_url

    async def _wait(self) -> AuthorizationCodeResult:
        with self._unhurried():
            return await self._authorization.ask(self._url)

    # the SDK's TokenStorage

    async def get_tokens(self) -> OAuthToken | None:
        kept = await self._kept()
        return None if kept.tokens is None else OAuthToken.model_validate_json(kept.tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        kept = await self._kept()
        kept.tokens = tokens.model_dump_json()
        # The registration goes with the tokens: another registration, made since for a new address, cannot
        # refresh them.
        if self.context.client_info is not None:
            kept.client = self.context.client_info.model_dump_json()
        kept.ends_at = None if tokens.expires_in is None else time.time() + tokens.expires_in
        context = self.context
        kept.server = context.oauth_metadata.model_dump_json() if context.oauth_metadata else None
        resource = context.protected_resource_metadata
        kept.resource = resource.model_dump_json() if resource else None
        await self._ledger.keep_grant(self._user, msgspec.json.encode(kept))

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """The registration that the user's grant belongs to; else everybody's, if browsers can come back to
        it.
        """
        own = (await self._kept()).client
        if own is not None:
            return OAuthClientInformationFull.model_validate_json(own)
        shared = (await self._kept(EVERYBODY)).client
        if shared is None:
            return None
        found = OAuthClientInformationFull.model_validate_json(shared)
        here = AnyUrl(self._authorization.redirect_url)
        return found if here in (found.redirect_uris or ()) else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        kept = await self._kept(EVERYBODY)
        kept.client = client_info.model_dump_json()
        await self._ledger.keep_grant(EVERYBODY, msgspec.json.encode(kept))

    async def _kept(self, user: str | None = None) -> Kept:
        found = await self._ledger.grant(self._user if user is None else user)
        return Kept() if found is None else msgspec.json.decode(found, type=Kept)
