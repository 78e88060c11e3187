"""What can be known of the models before a conversation asks one is said at the start (I14)."""

from __future__ import annotations

from typing import Any

import pytest

from infinity.cli.keys import missing
from infinity.models.planning import examine
from infinity.models.registry import Models
from infinity.settings import Limits, Settings


def _found(config: dict[str, Any], environment: dict[str, str], **limits: Any) -> list[str]:
    settings = Settings(limits=Limits(**limits))
    return examine(Models(config, environment=environment), settings, named=True)


def test_a_model_that_can_be_used_is_no_problem() -> None:
    assert _found({}, {}) == []
    assert _found({}, {"ANTHROPIC_API_KEY": "sk-ant-something"}, tree_dollars=5.0) == []


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"default": "anthropic/claude-opus-5-5"}, "ANTHROPIC_API_KEY"),
        ({"default": "nowhere/x"}, "no model provider 'nowhere'"),
        ({"default": "nonsense"}, "there is no model 'nonsense'"),
        ({"default": "openai"}, "is a provider and has no default model"),
        (
            {"default": "scripted/default", "providers": {"scripted": {"script": "no.such:thing"}}},
            "cannot be loaded",
        ),
        (
            {"default": "scripted/default", "named": {"big": {"model": "nowhere/x"}}},
            "the model 'big' cannot be used",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_reason(config: dict[str, Any], part: str) -> None:
    (problem,) = _found(config, {})
    assert part in problem


def test_a_limit_in_dollars_needs_prices() -> None:
    (problem,) = _found(
        {"default": "own/x", "providers": {"own": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}},
        {},
        tree_dollars=1.0,
    )
    assert "price is not known" in problem


@pytest.mark.parametrize(
    ("name", "environment", "model"),
    [
        ("anthropic", {"ANTHROPIC_API_KEY": "sk-ant-something"}, "anthropic/"),
        ("scripted", {}, "scripted/default"),
    ],
)
def test_a_bare_provider_means_its_default(name: str, environment: dict[str, str], model: str) -> None:
    assert Models({}, environment=environment).resolve(name)[1].name.startswith(model)


def test_a_key_that_the_daemon_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models({}, environment={})
    said = {"default": models.default, "problems": [], "notice": models.notice, "keys": models.keys()}
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert missing(said) is None
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-something")
    found = missing(said)
    assert found is not None and "ANTHROPIC_API_KEY" in found and "sk-ant" not in found
    assert missing({**said, "notice": None}) is None
