"""Who we are: the environment first, botocore's chain otherwise; renewed in time, and never in the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.patience import PATIENCE

from infinity.aws import credentials
from infinity.aws.credentials import FoundCredentials, Keys
from infinity.errors import ConfigError

GIVEN = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


class Chain:
    """What botocore would have found; each look gives other keys, as after a renewal."""

    def __init__(self) -> None:
        self.looks = 0
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def get_frozen_credentials(self) -> Any:
        assert self.gate.wait(PATIENCE)
        self.looks += 1
        self.threads.add(threading.get_ident())
        return SimpleNamespace(access_key=f"AKID{self.looks}", secret_key="s", token="t")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    credentials._chain.cache_clear()
    yield
    credentials._chain.cache_clear()


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    made = Chain()
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda _: made)
    return made


async def test_the_environment_is_enough_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    assert await FoundCredentials(GIVEN).get() == Keys("AKID", "secret")
    assert await FoundCredentials({**GIVEN, "AWS_SESSION_TOKEN": "t"}).get() == Keys("AKID", "secret", "t")
    assert FoundCredentials(GIVEN).load() == Keys("AKID", "secret")


@pytest.mark.parametrize("name", list(GIVEN))
def test_half_of_the_keys_is_an_error_that_names_the_other_half(name: str) -> None:
    (other,) = GIVEN.keys() - {name}
    with pytest.raises(ConfigError, match=f"^{name} is set and {other} is not"):
        FoundCredentials({name: "x"})


async def test_otherwise_the_chain_is_asked_each_time_in_a_thread_because_it_renews_itself(
    chain: Chain,
) -> None:
    found = FoundCredentials({})
    assert [(await found.get()).access_key, (await found.get()).access_key] == ["AKID1", "AKID2"]
    assert threading.get_ident() not in chain.threads
    assert found.load().access_key == "AKID3"


async def test_those_who_wait_share_one_look_and_one_who_gives_up_takes_it_from_nobody(chain: Chain) -> None:
    chain.gate.clear()
    found = FoundCredentials({})
    waiting = [asyncio.create_task(found.get()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    chain.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {keys.access_key for keys in results[1:] if isinstance(keys, Keys)} == {
        "AKID1"
    } and chain.looks == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda patch: patch.setattr("botocore.session.Session.get_credentials", lambda _: None),
            "there are no AWS credentials",
        ),
        (lambda patch: patch.setitem(sys.modules, "botocore.session", None), "pip install 'infinity-runtime"),
    ],
)
async def test_no_credentials_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None], says: str
) -> None:
    spoil(monkeypatch)
    with pytest.raises(ConfigError, match=says):
        await FoundCredentials({}).get()


async def test_a_renewal_that_fails_is_an_error_and_the_next_one_may_work(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import CredentialRetrievalError  # type: ignore[import-untyped]

    working = chain.get_frozen_credentials

    def fail() -> None:
        raise CredentialRetrievalError(provider="sso", error_msg="the session has expired")

    found = FoundCredentials({})
    monkeypatch.setattr(chain, "get_frozen_credentials", fail)
    with pytest.raises(ConfigError, match="the session has expired"):
        await found.get()
    monkeypatch.setattr(chain, "get_frozen_credentials", working)
    assert (await found.get()).access_key == "AKID1"
