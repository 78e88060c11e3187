"""Names of models, and what is behind them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from infinity.abc.model import Model, ModelInfo, ModelRequest, Part
from infinity.errors import ConfigError
from infinity.models import registry
from infinity.models.anthropic import AnthropicModel
from infinity.models.registry import Models
from infinity.models.script import Script
from infinity.models.scripted import ScriptedModel

WITH_KEY = {"ANTHROPIC_API_KEY": "sk-ant-secret"}
NOTHING: dict[str, str] = {}


class Parrot:
    """A third party's provider."""

    def __init__(self, table: Mapping[str, Any] = {}, environment: Mapping[str, str] = {}) -> None:
        self.table = table
        self.closed = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        raise NotImplementedError
        yield

    async def list(self) -> list[ModelInfo]:
        return []

    async def close(self) -> None:
        self.closed += 1


def a_script() -> Script:
    return Script().otherwise().say("mine")


def test_with_a_key_claude_is_the_default() -> None:
    models = Models(environment=WITH_KEY)
    model, info = models.resolve("")
    assert isinstance(model, AnthropicModel)
    assert info.name == models.default == "anthropic/claude-sonnet-5-5"
    assert models.notice is None


@pytest.mark.parametrize("environment", [NOTHING, {"ANTHROPIC_API_KEY": ""}])
def test_without_a_key_the_script_answers_and_the_user_is_told(environment: dict[str, str]) -> None:
    models = Models(environment=environment)
    model, info = models.resolve("")
    assert isinstance(model, ScriptedModel)
    assert info.name == "scripted/default"
    assert models.notice is not None and "ANTHROPIC_API_KEY" in models.notice


def test_a_configured_default_wins_and_needs_no_notice() -> None:
    models = Models({"default": "scripted/default"}, environment=WITH_KEY)
    assert models.default == "scripted/default" and models.notice is None


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("sonnet", "claude-sonnet-5-5"),
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic/claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic/claude-opus-99", "claude-opus-99"),
        ("anthropic/a-gateway/model", "a-gateway/model"),
    ],
)
def test_claude_goes_by_many_names(name: str, id: str) -> None:
    model, info = Models(environment=WITH_KEY).resolve(name)
    assert isinstance(model, AnthropicModel)
    assert (info.provider, info.id) == ("anthropic", id)


def test_one_provider_serves_all_its_models() -> None:
    models = Models(environment=WITH_KEY)
    assert models.resolve("sonnet")[0] is models.resolve("haiku")[0]


def test_a_named_model_has_what_the_user_set_and_the_rest_of_its_model() -> None:
    config = {"default": "fast", "named": {"fast": {"model": "haiku", "output_limit": 1000, "images": False}}}
    models = Models(config, environment=WITH_KEY)
    info = models.resolve("")[1]
    assert (info.name, info.id, info.output_limit, info.images) == ("fast", "claude-haiku-5-5", 1000, False)
    assert info.context_window == 1_000_000
    assert info in models.known()


@pytest.mark.parametrize(
    ("config", "name", "complaint"),
    [
        (
            {},
            "gpt",
            "there is no model 'gpt'; write provider/id or one of: opus, sonnet, haiku, anthropic/claude",
        ),
        (
            {},
            "nobody/x",
            "there is no model provider 'nobody'; there are: anthropic, anthropic-sdk, bedrock, openai, scripted",
        ),
        ({}, "scripted/", "there is no model"),
        ({"named": {"a": {"model": "b"}, "b": {"model": "sonnet"}}}, "a", "is a named model, too"),
        ({"named": {"a": {"model": "nope"}}}, "a", "there is no model 'nope'"),
        ({"providers": {"anthropic": {"base_url": "nonsense"}}}, "sonnet", "base URL"),
        ({"providers": {"scripted": {"script": "no.such:thing"}}}, "scripted/x", "cannot be loaded"),
        ({"providers": {"scripted": {"script": "os:getcwd"}}}, "scripted/x", "does not return a Script"),
    ],
)
def test_what_cannot_be_resolved_says_what_there_is(
    config: dict[str, Any], name: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Models(config, environment=WITH_KEY).resolve(name)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"defualt": "x"}, "Settings of this section: default, named, providers"),
        ({"named": {"a": {}}}, "model"),
        ({"named": {"a": {"model": "x", "window": 1}}}, "window"),
        ({"default": 3}, "default"),
        ({"providers": {"anthropic": {"api_key": ["sk-secret"]}}}, "api_key"),
    ],
)
@pytest.mark.trap("S9")
def test_a_wrong_setting_is_named_and_its_value_is_not(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Models(config, environment=NOTHING)
    assert complaint in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_claude_without_a_key_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="set ANTHROPIC_API_KEY"):
        Models(environment=NOTHING).resolve("sonnet")


def test_a_gateway_may_need_no_key() -> None:
    config = {"providers": {"anthropic": {"base_url": "http://127.0.0.1:9"}}}
    assert isinstance(Models(config, environment=NOTHING).resolve("sonnet")[0], AnthropicModel)


def test_keys_may_come_from_another_variable_or_the_file() -> None:
    elsewhere = {"providers": {"anthropic": {"api_key_env": "OTHER"}}}
    assert Models(elsewhere, environment={"OTHER": "sk"}).default.startswith("anthropic/")
    assert Models(elsewhere, environment=WITH_KEY).default == "scripted/default"
    assert Models({"providers": {"anthropic": {"api_key": "sk"}}}, environment=NOTHING).default.startswith(
        "anthropic/"
    )
    assert Models(environment={"ANTHROPIC_AUTH_TOKEN": "t"}).default.startswith("anthropic/")


def test_a_script_of_ones_own_can_be_configured() -> None:
    config = {"providers": {"scripted": {"script": f"{__name__}:a_script"}}}
    assert isinstance(Models(config, environment=NOTHING).resolve("scripted/x")[0], ScriptedModel)


async def test_ready_made_providers_are_used_and_closed_once() -> None:
    parrot = Parrot()
    models = Models(providers={"parrot": parrot}, environment=NOTHING)
    model, info = models.resolve("")
    assert model is parrot and info.name == "parrot/default" and models.notice is None
    await models.close()
    await models.close()
    assert parrot.closed == 1


def test_third_parties_are_found_by_their_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.metadata.EntryPoint("parrot", f"{Parrot.__module__}:Parrot", "infinity.models")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [found] if group == registry.ENTRY_POINTS else []
    )
    models = Models({"providers": {"parrot": {"loud": True}}}, environment=NOTHING)
    model: Model = models.resolve("parrot/small")[0]
    assert isinstance(model, Parrot)
    assert model.table == {"loud": True}
    assert models.resolve("parrot/small")[1].id == "small"


@pytest.mark.parametrize(
    "module", ["infinity.models.registry", "infinity.models.scripted", "infinity.models.script"]
)
def test_importing_costs_neither_the_sdk_nor_the_http_client(module: str) -> None:
    code = f"import {module}, sys; print([m for m in ('anthropic', 'aiohttp', 'httpx', 'httpx2', 'pydantic', 'email') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"
