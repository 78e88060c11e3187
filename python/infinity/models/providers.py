"""The built-in providers: from their settings to a ``Model``, each imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from infinity.abc.model import Model
from infinity.errors import ConfigError

from .settings import AnthropicSettings, ScriptedSettings, read

if TYPE_CHECKING:
    from .access import Access, ModelTimeouts
    from .script import Script

Table = Mapping[str, Any]
Environment = Mapping[str, str]
Factory = Callable[[Table, Environment], Model]
"""What an entry point of the group ``infinity.models`` names: settings table and environment in, provider out."""


def anthropic(table: Table, environment: Environment) -> Model:
    from .anthropic import AnthropicModel

    return AnthropicModel(*_anthropic_access(table, environment))


def anthropic_sdk(table: Table, environment: Environment) -> Model:
    from .anthropic_sdk import AnthropicSdkModel

    return AnthropicSdkModel(*_anthropic_access(table, environment))


def scripted(table: Table, environment: Environment) -> Model:
    from .scripted import ScriptedModel

    settings = read(ScriptedSettings, table, "models.providers.scripted")
    script = _script(settings.script) if settings.script is not None else None
    return ScriptedModel(script, pace=settings.pace)


BUILT_IN: dict[str, Factory] = {"anthropic": anthropic, "anthropic-sdk": anthropic_sdk, "scripted": scripted}


def has_anthropic_key(table: Table, environment: Environment) -> bool:
    settings = read(AnthropicSettings, table, "models.providers.anthropic")
    return _secrets(settings, environment) != (None, None)


def _secrets(settings: AnthropicSettings, environment: Environment) -> tuple[str | None, str | None]:
    """Key and token; the environment's empty strings count as unset."""
    return (
        settings.api_key or environment.get(settings.api_key_env) or None,
        settings.auth_token or environment.get(settings.auth_token_env) or None,
    )


def _anthropic_access(table: Table, environment: Environment) -> tuple[Access, ModelTimeouts]:
    from .access import BASE_URL, Access, ModelTimeouts

    settings = read(AnthropicSettings, table, "models.providers.anthropic")
    api_key, auth_token = _secrets(settings, environment)
    base_url = settings.base_url or environment.get("ANTHROPIC_BASE_URL") or BASE_URL
    if api_key is None and auth_token is None and base_url == BASE_URL:
        raise ConfigError(
            f"there is no key for Anthropic: set {settings.api_key_env} in the environment of the daemon, "
            "or choose the model scripted/default"
        )
    defaults = ModelTimeouts()
    timeouts = ModelTimeouts(
        connect=settings.connect_timeout or defaults.connect,
        stall=settings.stall_timeout or defaults.stall,
        total=settings.total_timeout or defaults.total,
    )
    return Access(api_key, auth_token, base_url), timeouts


def _script(reference: str) -> Script:
    from .script import Script

    module, _, name = reference.partition(":")
    try:
        script = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"[models.providers.scripted] script: {reference!r} cannot be loaded: {error}"
        ) from error
    if not isinstance(script, Script):
        raise ConfigError(f"[models.providers.scripted] script: {reference!r} does not return a Script")
    return script
