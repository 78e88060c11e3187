"""The API of the functions against its own description: whatever that allows, and what it does not, is answered as it says; and never with a 5xx."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from tests.boundary.cloud.functions import TOKEN, Functions
from tests.boundary.test_openapi_described import AS_DESCRIBED, SECONDS
from tests.contract.postgresql import server_url

from infinity.cloud.api.routes import API
from infinity.local.api.routes import ROUTES

EXAMPLES = 15
OPERATIONS = sorted((route.path, route.method) for route in API if route.path != "/openapi.json")
ONLY_HERE = {("GET", "/v1/threads/{id}/views")}
"""The daemon's stream begins with the views; there is no stream here."""

T = TypeVar("T")


class Api:
    """The functions, in a thread with an event loop of its own."""

    def __init__(self, functions: Functions, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._functions = functions
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        self.run(functions.start())
        self.url = functions.api_url
        self.schema = schemathesis.openapi.from_dict(
            requests.get(f"{self.url}/openapi.json", timeout=SECONDS).json()
        )
        self.schema.config.update(base_url=self.url)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.run(self._functions.stop())

    def new_thread(self) -> str:
        made = requests.post(f"{self.url}/v1/threads", json={}, headers=self.headers, timeout=SECONDS)
        return str(made.json()["id"])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    # The server ends with the thread that starts it.
    server_url()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = Api(Functions(tmp_path_factory.mktemp("described") / "cloud"), loop)
    yield made
    made.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: str(part))
def test_every_operation_answers_as_described(api: Api, path: str, method: str) -> None:
    thread = api.new_thread()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api.schema[path][method].as_strategy())
    def check(case: Any) -> None:
        if "id" in case.path_parameters:
            case.path_parameters["id"] = thread
        options: dict[str, Any] = {"headers": api.headers, "timeout": SECONDS, "allow_redirects": False}
        case.call_and_validate(checks=AS_DESCRIBED, **options)

    check()


def test_the_functions_serve_what_the_daemon_serves_but_for_what_only_one_of_them_can() -> None:
    ours = {(route.method, route.path) for route in API}
    theirs = {(route.method, route.path) for route in ROUTES} | {("GET", "/openapi.json")}
    assert ours - theirs == ONLY_HERE
    moving = {
        (method, path)
        for method, path in theirs
        if path.endswith(("/migrate", "/export")) or "/imports" in path
    }
    assert theirs - ours == moving | {("POST", "/callback/{token}"), ("GET", "/metrics")}
