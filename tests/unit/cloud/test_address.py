"""Addresses of databases, and logins at Aurora DSQL: a fresh token each, TLS that knows whom it talks to."""

from __future__ import annotations

import ssl
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.contract.postgresql import server_url

from infinity.errors import ConfigError
from infinity.stores.postgres import address as addresses
from infinity.stores.postgres.address import connections, open_address
from infinity.stores.postgres.platform import DSQL, POSTGRESQL

CLUSTER = "abcdefghijklmnopqrstuvwxyz.dsql.eu-central-1.on.aws"


class Logins:
    """In place of the network and of AWS's signature."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        self.seen: list[dict[str, Any]] = []
        self.signed: list[tuple[str, str, str]] = []
        monkeypatch.setattr(asyncpg, "connect", self._connect)

    async def _connect(self, **how: Any) -> Any:
        self.seen.append(how)

        class Connection:
            closed = False

            def is_closed(self) -> bool:
                return self.closed

            def is_in_transaction(self) -> bool:
                return False

            def terminate(self) -> None:
                self.closed = True

        return Connection()

    def sign(self, host: str, region: str, user: str) -> str:
        self.signed.append((host, region, user))
        return f"token {len(self.signed)}"


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> Logins:
    return Logins(monkeypatch)


async def test_each_login_has_a_token_of_its_own_and_connections_end_before_the_cluster_ends_them(
    logins: Logins,
) -> None:
    where = open_address(f"postgresql://agent@{CLUSTER}/postgres")
    assert where.platform is DSQL
    opened = connections(where, signer=logins.sign, now=lambda: logins.time)
    for minute in (0, 1, 49, 51, 99, 102):
        logins.time = minute * 60.0
        async with opened.one():
            pass
    assert [how["password"] for how in logins.seen] == ["token 1", "token 2", "token 3"]
    assert set(logins.signed) == {(CLUSTER, "eu-central-1", "agent")}
    how = logins.seen[0]
    assert (how["host"], how["user"], how["database"]) == (CLUSTER, "agent", "postgres")


async def test_the_certificate_must_be_of_the_cluster(logins: Logins) -> None:
    opened = connections(open_address(f"postgresql://{CLUSTER}"), signer=logins.sign)
    async with opened.one():
        pass
    context = logins.seen[0]["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert logins.seen[0]["user"] == "admin"


@pytest.mark.parametrize(("user", "action"), [("agent", "DbConnect"), ("admin", "DbConnectAdmin")])
def test_tokens_are_made_offline_for_the_role(
    monkeypatch: pytest.MonkeyPatch, user: str, action: str
) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    token = addresses._sign(CLUSTER, "eu-central-1", user)
    assert token.startswith(f"{CLUSTER}/?Action={action}&") and "X-Amz-Expires=900" in token


@pytest.mark.trap("S9")
def test_the_name_for_logs_has_no_password() -> None:
    where = open_address("postgresql://agent:hunter2@db.example:5433/infinity")
    assert (where.platform, where.where) == (POSTGRESQL, "infinity at db.example")
    assert "hunter2" not in repr(where)


@pytest.mark.parametrize("url", ["mysql://db/infinity", "infinity.db", ""])
def test_what_is_no_url_of_postgresql_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://user@host/database"):
        open_address(url)


@pytest.mark.trap("R4")
async def test_a_server_whose_transactions_are_not_isolated_enough_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = asyncpg.connect

    async def through_a_pooler(**how: Any) -> Any:
        del how["server_settings"]
        return await real(**how)

    monkeypatch.setattr(asyncpg, "connect", through_a_pooler)
    opened = connections(open_address(server_url()))
    with pytest.raises(ConfigError, match="read committed, not repeatable read"):
        async with opened.one():
            pass
