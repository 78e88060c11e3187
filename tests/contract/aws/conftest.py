"""``aws``: each backend that has the service which the test's file is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.contract.aws.backends import BACKENDS, Aws, backends_of
from tests.contract.aws.exceptions import EXCEPTIONS, SKIPPED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "aws" in metafunc.fixturenames:
        service = getattr(metafunc.module, "SERVICE", None)
        names = ["emulator"] if service is None else backends_of(service)
        metafunc.parametrize("aws", names, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of this folder's tests; other folders have a fixture of the same name."""
    for item in items:
        if not isinstance(item, pytest.Function) or item.path.parent != Path(__file__).parent:
            continue
        if "aws" not in item.fixturenames:
            continue
        backend = item.callspec.params["aws"]
        case = item.callspec.id.removeprefix(backend).removeprefix("-")
        known = EXCEPTIONS.get(backend, {})
        name = item.originalname
        unsteady = SKIPPED.get(backend, {}).get(name)
        if unsteady is not None:
            item.add_marker(pytest.mark.skip(reason=f"{backend}: {unsteady}"))
        reason = known.get(name) or known.get(f"{name}[{case}]")
        if reason is not None:
            # Strict: an exception that no longer is one must go.
            item.add_marker(pytest.mark.xfail(reason=f"{backend}: {reason}", strict=True))


@pytest.fixture
async def aws(request: pytest.FixtureRequest) -> AsyncIterator[Aws]:
    async with BACKENDS[request.param]() as opened:
        yield opened


class Refused:
    """A refusal as it came."""

    error: ClientError

    @property
    def message(self) -> str:
        return str(self.error.response["Error"]["Message"])

    @property
    def status(self) -> int:
        return int(self.error.response["ResponseMetadata"]["HTTPStatusCode"])


@contextmanager
def refused(*codes: str) -> Iterator[Refused]:
    """The call inside is refused with one of these codes."""
    caught = Refused()
    with pytest.raises(ClientError) as raised:
        yield caught
    caught.error = raised.value
    assert raised.value.response["Error"]["Code"] in codes, raised.value
