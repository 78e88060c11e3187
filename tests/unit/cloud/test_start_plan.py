"""What keeps a model from being used is said by a function's cold start as by every other start (I14)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from infinity.cli.cloud_config import _read
from infinity.cloud.host import _describe

CONFIG = """
[models]
default = "nobody/model"

[limits]
tree_dollars = 1.0
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "infinity.toml"
    file.write_text(CONFIG)
    return {"INFINITY_CONFIG": str(file), "AWS_REGION": "eu-central-1"}


async def test_a_cold_start_says_what_the_check_of_its_settings_says(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "infinity.cloud"):
        _describe(environment, calls_tools=True)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "the default model 'nobody/model' cannot be used" in text] == said != []
    problems, _ = await _read(environment)
    assert set(said) <= set(problems)


def test_a_function_that_asks_no_model_looks_for_none(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    _describe(environment, calls_tools=False)
    assert caplog.records == []
