"""Keys from files and commands, read again when they are refused; one rule for proxies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infinity import errors
from infinity.abc.model import Model, ModelInfo, ModelRequest, Turn
from infinity.models.proxies import proxy_of
from infinity.models.registry import Models
from infinity.testing.model_server import ModelServer
from infinity.testing.openai_server import OpenAIServer
from infinity.testing.script import Reply

OLD, NEW = "sk-old-0123456789", "sk-new-0123456789"
SERVERS: dict[str, Any] = {"openai": OpenAIServer, "anthropic": ModelServer, "anthropic-sdk": ModelServer}


def source(kind: str, file: Path) -> dict[str, Any]:
    if kind == "file":
        return {"api_key_file": str(file)}
    return {"api_key_command": [sys.executable, "-c", f"print(open({str(file)!r}).read())"]}


async def asked(model: Model, info: ModelInfo) -> Turn:
    request = ModelRequest(info, "", b"[]", msgspec.json.encode([{"role": "user", "content": "hello"}]), 100)
    last = [part async for part in model.stream(request)][-1]
    assert isinstance(last, Turn)
    return last


@pytest.mark.parametrize("provider", SERVERS)
@pytest.mark.parametrize("kind", ["file", "command"])
async def test_a_key_that_was_replaced_is_read_again_when_it_is_refused(
    provider: str, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(OLD + "\n")
    async with SERVERS[provider](lambda _: Reply().say("x"), api_key=OLD) as server:
        table = {"kind": provider, "base_url": server.url, **source(kind, file)}
        models = Models({"providers": {"mine": table}}, environment={})
        model, info = models.resolve("mine/claude-haiku-5-5")
        await asked(model, info)
        server.api_key = NEW
        with pytest.raises(errors.ModelAuthentication):
            await asked(model, info)
        refused = server.effects.refused
        assert refused == 1, "the same key is not sent again"
        file.write_text(NEW)
        await asked(model, info)
        await asked(model, info)
        assert server.effects.refused == refused + 1
        await models.close()


@pytest.mark.trap("S9")
@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"api_key_file": "/nowhere/key"}, "api_key_file: /nowhere/key cannot be read: No such file"),
        ({"api_key_command": ["/nowhere/program"]}, "cannot be run"),
        (
            {"api_key_command": [sys.executable, "-c", "print('sk-secret'); raise SystemExit(3)"]},
            "ended with 3",
        ),
        ({"api_key_command": [sys.executable, "-c", ""]}, "no key in it"),
        ({"api_key_command": []}, "is empty"),
        ({"api_key": OLD, "api_key_file": "/x"}, "only one of"),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_key_that_cannot_be_read_is_a_configuration_error(
    provider: str, table: dict[str, Any], complaint: str
) -> None:
    models = Models({"providers": {provider: table}}, environment={})
    with pytest.raises(errors.ConfigError, match=complaint) as caught:
        await asked(*models.resolve(f"{provider}/x"))
    assert "sk-" not in str(caught.value)


NO_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"all_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"all_proxy": "http://proxy:3128", "no_proxy": "models.example"}, None),
        ({"all_proxy": "socks5://proxy:1080", "no_proxy": "models.example"}, None),
    ],
)
def test_the_environments_proxy_is_used(
    environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of("https://models.example/v1") == expected


@pytest.mark.parametrize("provider", SERVERS)
def test_a_proxy_that_cannot_be_used_is_a_configuration_error(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://proxy:1080")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "socksio" else object())
    table = {"kind": provider, "base_url": "https://models.example", "api_key": OLD}
    with pytest.raises(errors.ConfigError, match="socks5"):
        Models({"providers": {"mine": table}}, environment={}).resolve("mine/x")


@pytest.mark.parametrize("provider", SERVERS)
async def test_requests_go_through_the_proxy(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SERVERS[provider](lambda _: Reply().say("x")) as server:
        # A proxy for http gets whole addresses, and a server takes those: it is one.
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        suffix = "/v1" if provider == "openai" else ""
        table = {"kind": provider, "base_url": f"http://models.example{suffix}", "api_key": OLD}
        models = Models({"providers": {"mine": table}}, environment={})
        await asked(*models.resolve("mine/claude-haiku-5-5"))
        assert server.requests[0].headers["host"] == "models.example"
        await models.close()
