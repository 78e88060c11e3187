"""A provider of someone else's, installed as packages are: found by its entry point, and under the same contract."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infinity.errors import ConfigError
from infinity.models.registry import Models
from infinity.testing.provider_contract import ProviderContract, Subject
from infinity.testing.script import Reply

MODULE = """
from infinity.abc.model import ModelInfo
from infinity.models.scripted import ScriptedModel
from infinity.testing.script import Reply, Script

class Parrot(ScriptedModel):
    def __init__(self, table, environment):
        super().__init__(Script().otherwise().answer(lambda prompt: self.reply))
        self.reply = Reply().say(environment.get("PARROT_WORD", "polly"))
        self.table = table

    async def list(self):
        return [ModelInfo("parrot/small", "parrot", "small")]
"""
METADATA = "Metadata-Version: 2.1\nName: parrot-models\nVersion: 1.0\n"
ENTRY_POINTS = "[infinity.models]\nparrot = parrot_models:Parrot\nbroken = parrot_models:Missing\n"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "parrot_models.py").write_text(MODULE)
    info = tmp_path / "parrot_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("parrot_models", None)


class TestThirdParty(ProviderContract):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Subject]:
        models = Models({"default": "parrot/small"}, environment={})
        model, info = models.resolve("")

        def answer(reply: Reply) -> None:
            model.reply = reply  # type: ignore[attr-defined]

        yield Subject(model, info, answer)
        await models.close()


async def test_it_gets_its_settings_and_the_environment() -> None:
    models = Models({"providers": {"parrot": {"loud": True}}}, environment={"PARROT_WORD": "hello"})
    model, info = models.resolve("parrot/small")
    assert (info.name, info.provider, info.id) == ("parrot/small", "parrot", "small")
    assert model.table == {"loud": True}  # type: ignore[attr-defined]
    assert [info.name for info in await models.offered("parrot")] == ["parrot/small"]


async def test_it_can_be_there_twice() -> None:
    models = Models({"providers": {"second": {"kind": "parrot", "loud": False}}}, environment={})
    model, info = models.resolve("second/small")
    assert (info.name, info.provider) == ("second/small", "second")
    assert model.table == {"loud": False}  # type: ignore[attr-defined]
    assert model is not models.resolve("parrot/small")[0]
    assert [info.name for info in await models.offered("second")] == ["second/small"]


def test_it_is_named_among_the_providers_that_there_are() -> None:
    with pytest.raises(ConfigError, match="parrot"):
        Models(environment={}).resolve("nobody/x")


def test_a_provider_that_cannot_be_loaded_says_which_and_why() -> None:
    with pytest.raises(ConfigError, match=r"broken.*parrot_models:Missing"):
        Models(environment={}).resolve("broken/x")
