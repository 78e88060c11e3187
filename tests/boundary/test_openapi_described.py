"""The daemon against its own description: whatever the description allows, and what it does not, is answered as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.patience import PATIENCE
from tests.unit.cli.conftest import prepared, process

from infinity.api.backend import Part
from infinity.api.routes import routes_of

EXAMPLES = 20
SECONDS = PATIENCE
AS_DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LEAVES = ("/migrate", "/export")
"""Would take the thread away from the other operations; they get one that does not exist."""
OPERATIONS = sorted((route.path, route.method) for route in routes_of(Part.DAEMON))
NOTHING_TO_GET_WRONG = {
    ("/healthz", "GET"),
    ("/metrics", "GET"),
    ("/openapi.json", "GET"),
    ("/callback/{token}", "POST"),
}
"""They take no parameters and any body; every field of callbacks is gone through in ``tests/conformance``."""
CASES = [
    (path, method, mode)
    for path, method in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or (path, method) not in NOTHING_TO_GET_WRONG
]


class Daemon:
    """A real one, in a process of its own."""

    def __init__(self, home: Path, address: str) -> None:
        self.headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        description = requests.get(f"{address}/openapi.json", timeout=SECONDS).json()
        self.schema = schemathesis.openapi.from_dict(description)
        self.schema.config.update(base_url=address)
        self._address = address

    def new_thread(self) -> str:
        made = requests.post(f"{self._address}/v1/threads", json={}, headers=self.headers, timeout=SECONDS)
        return str(made.json()["id"])

    def check(self, case: Any, thread: str) -> None:
        leaves = case.path.endswith(LEAVES) or (case.method, case.path) == ("DELETE", "/v1/threads/{id}")
        if "id" in case.path_parameters and not leaves:
            case.path_parameters["id"] = thread
        options: dict[str, Any] = {"headers": self.headers, "timeout": SECONDS, "allow_redirects": False}
        if case.path.endswith("/events"):
            # A stream without an end: its beginning is what can be judged.
            with requests.Session() as session:
                session.headers.update(self.headers)
                response = session.request(stream=True, **case.as_transport_kwargs(headers=self.headers))
                assert response.status_code in (200, 400)
                response.close()
            return
        case.call_and_validate(checks=AS_DESCRIBED, **options)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    home = prepared(tmp_path_factory.mktemp("described") / "home")
    started = process(home, "daemon", "start", "--json")
    assert started.returncode == 0, started.stderr
    yield Daemon(home, json.loads(started.stdout)["address"])
    process(home, "daemon", "stop")


@pytest.mark.parametrize(
    ("path", "method", "mode"), CASES, ids=lambda part: str(getattr(part, "value", part))
)
def test_every_operation_answers_as_described(
    daemon: Daemon, path: str, method: str, mode: GenerationMode
) -> None:
    thread, seen = daemon.new_thread(), list[Any]()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=daemon.schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        seen.append(case)
        daemon.check(case, thread)

    check()
    assert seen


def test_every_route_is_described(daemon: Daemon) -> None:
    described = {
        (operation.ok().path, operation.ok().method.upper())
        for operation in daemon.schema.get_all_operations()
    }
    assert described == set(OPERATIONS)
