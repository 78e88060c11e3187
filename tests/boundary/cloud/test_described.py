"""The API of the functions against its own description: whatever that allows, and what it does not, is answered as it says; and never with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from tests.boundary.cloud.functions import TOKEN
from tests.boundary.cloud.threaded import threaded
from tests.boundary.test_openapi_described import AS_DESCRIBED, SECONDS

from infinity.api.backend import Part
from infinity.api.routes import routes_of

EXAMPLES = 15
OPERATIONS = sorted((route.path, route.method) for route in routes_of(Part.API))
CASES = [
    (path, method, mode)
    for path, method in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path not in ("/healthz", "/openapi.json")
]
ONLY_HERE = {("GET", "/v1/threads/{id}/views")}
"""The daemon's stream begins with the views; there is no stream here."""


class Api:
    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        described = requests.get(f"{url}/openapi.json", timeout=SECONDS).json()
        self.schema = schemathesis.openapi.from_dict(described)
        self.schema.config.update(base_url=url)

    def new_thread(self) -> str:
        made = requests.post(f"{self.url}/v1/threads", json={}, headers=self.headers, timeout=SECONDS)
        return str(made.json()["id"])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with threaded(tmp_path_factory.mktemp("described") / "cloud") as made:
        yield Api(made.functions.api_url)


# The functions are in a thread of this process, and the chance that they take is not the strategy's.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize(
    ("path", "method", "mode"), CASES, ids=lambda part: str(getattr(part, "value", part))
)
def test_every_operation_answers_as_described(api: Api, path: str, method: str, mode: GenerationMode) -> None:
    thread = api.new_thread()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api.schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if "id" in case.path_parameters:
            case.path_parameters["id"] = thread
        options: dict[str, Any] = {"headers": api.headers, "timeout": SECONDS, "allow_redirects": False}
        case.call_and_validate(checks=AS_DESCRIBED, **options)

    check()


def test_the_functions_serve_what_the_daemon_serves_but_for_what_only_one_of_them_can() -> None:
    ours, theirs = (
        {(route.method, route.path) for route in routes_of(part)} for part in (Part.API, Part.DAEMON)
    )
    assert ours - theirs == ONLY_HERE
    moving = {
        (method, path)
        for method, path in theirs
        if path.endswith(("/migrate", "/export")) or "/imports" in path
    }
    assert theirs - ours == moving | {
        ("POST", "/callback/{token}"),
        ("GET", "/metrics"),
        # What `infinity doctor` asks a daemon; a deployment is examined by `infinity cloud`.
        ("GET", "/v1/examination"),
        ("GET", "/v1/models"),
    }
