"""Both hosts against their own description: whatever it allows, and what it does not, is answered as it says; and never with a 5xx."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from tests.boundary.cloud.functions import TOKEN
from tests.boundary.cloud.threaded import threaded
from tests.patience import PATIENCE
from tests.unit.cli.conftest import prepared, process

from infinity.api.backend import Part
from infinity.api.routes import routes_of

DAEMON = Part.DAEMON | Part.CONSOLE
EXAMPLES = {DAEMON: 20, Part.API: 15}
AS_DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LEAVES = {
    ("POST", "/v1/threads/{id}/migrate"),
    ("POST", "/v1/threads/{id}/export"),
    ("DELETE", "/v1/threads/{id}/export"),
    ("DELETE", "/v1/threads/{id}"),
}
"""Would take the thread away from the other operations; they get one that does not exist."""
NOTHING_TO_GET_WRONG = {"/healthz", "/metrics", "/openapi.json", "/callback/{token}"}
"""They take no parameters and any body; every field of callbacks is gone through in ``tests/conformance``."""
CASES = [
    (part, route.path, route.method, mode)
    for part in EXAMPLES
    for route in routes_of(part)
    if route.described
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or route.path not in NOTHING_TO_GET_WRONG
]


class Host:
    def __init__(self, address: str, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        description = requests.get(f"{address}/openapi.json", timeout=PATIENCE).json()
        self.schema = schemathesis.openapi.from_dict(description)
        self.schema.config.update(base_url=address)
        self._address = address

    def new_thread(self) -> str:
        made = requests.post(f"{self._address}/v1/threads", json={}, headers=self.headers, timeout=PATIENCE)
        return str(made.json()["id"])

    def check(self, case: Any, thread: str) -> None:
        if "id" in case.path_parameters and (case.method, case.path) not in LEAVES:
            case.path_parameters["id"] = thread
        if case.operation.definition.raw["operationId"] in ("stream_events", "stream_all_events"):
            # A stream without an end: its beginning is what can be judged.
            with requests.Session() as session:
                session.headers.update(self.headers)
                response = session.request(stream=True, **case.as_transport_kwargs(headers=self.headers))
                assert response.status_code in (200, 400, 404, 410)
                response.close()
            return
        options: dict[str, Any] = {"headers": self.headers, "timeout": PATIENCE, "allow_redirects": False}
        case.call_and_validate(checks=AS_DESCRIBED, **options)


@contextmanager
def daemon(directory: Path) -> Iterator[Host]:
    """A real one, in a process of its own."""
    home = prepared(directory / "home")
    started = process(home, "daemon", "start", "--json")
    assert started.returncode == 0, started.stderr
    yield Host(json.loads(started.stdout)["address"], (home / "token").read_text().strip())
    process(home, "daemon", "stop")


@contextmanager
def functions(directory: Path) -> Iterator[Host]:
    with threaded(directory / "cloud") as made:
        yield Host(made.functions.api_url, TOKEN)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    start: Callable[[Path], Any] = daemon if request.param == DAEMON else functions
    with start(tmp_path_factory.mktemp("described")) as made:
        yield made


# The functions are in a thread of this process, and the chance that they take is not the strategy's.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize(
    ("host", "path", "method", "mode"),
    CASES,
    indirect=["host"],
    ids=lambda part: str(getattr(part, "name", part)),
)
def test_every_operation_answers_as_described(
    request: pytest.FixtureRequest, host: Host, path: str, method: str, mode: GenerationMode
) -> None:
    thread, seen = host.new_thread(), list[Any]()

    @settings(
        max_examples=EXAMPLES[request.node.callspec.params["host"]],
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=host.schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        seen.append(case)
        host.check(case, thread)

    check()
    assert seen
