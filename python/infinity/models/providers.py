"""The built-in providers: from their settings to a ``Model``, each imported when it is first used.

``registry`` calls them by ``BUILT_IN``; packages add others by entry points with the same signature
(``Factory``). Keys come from the environment unless the settings name another place.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from infinity.abc.model import Model
from infinity.errors import ConfigError

from .settings import (
    AnthropicSettings,
    BedrockSettings,
    DialectSettings,
    OpenAISettings,
    ScriptedSettings,
    read,
)

if TYPE_CHECKING:
    from .access import Access, ModelTimeouts
    from .bedrock import AwsIdentity
    from .keys import KeySource
    from .script import Script

Table = Mapping[str, Any]
Environment = Mapping[str, str]
Factory = Callable[[Table, Environment], Model]
"""What an entry point of the group ``infinity.models`` names: settings table and environment in, provider
out.
"""


def anthropic(table: Table, environment: Environment) -> Model:
    """The Messages API, spoken directly.

    Args:
        table: ``[models.providers.anthropic]``.
        environment: where keys are.

    Raises:
        ConfigError: there is no key, or a setting is wrong.
    """
    from .anthropic import AnthropicModel

    return _rekeyed(table, environment, AnthropicModel)


def _rekeyed(table: Table, environment: Environment, make: Callable[[Access, ModelTimeouts], Model]) -> Model:
    """The provider; where its key comes from a file or a command, one that reads it again when it is
    refused.
    """
    settings = read(AnthropicSettings, table, "models.providers.anthropic")
    source = _source(settings, "[models.providers.anthropic]")
    if source is None:
        return make(*_anthropic_access(table, environment))
    from .access import BASE_URL, Access
    from .keys import Rekeyed

    url = settings.base_url or environment.get("ANTHROPIC_BASE_URL") or BASE_URL
    return Rekeyed(source, lambda key: make(Access(key, base_url=url), _timeouts(settings)))


def _source(settings: AnthropicSettings | OpenAISettings, where: str) -> KeySource | None:
    from .keys import KeySource

    file, command = settings.api_key_file, settings.api_key_command
    if sum(each is not None for each in (settings.api_key, file, command)) > 1:
        raise ConfigError(f"{where}: only one of api_key, api_key_file and api_key_command can be set")
    return None if file is None and command is None else KeySource(where, file, command)


def anthropic_sdk(table: Table, environment: Environment) -> Model:
    """The Messages API through Anthropic's SDK; the same settings.

    Args:
        table: as for ``anthropic``.
        environment: where keys are.
    """
    from .anthropic_sdk import AnthropicSdkModel

    return _rekeyed(table, environment, AnthropicSdkModel)


def openai(table: Table, environment: Environment) -> Model:
    """OpenAI, or an endpoint that copies its API.

    Args:
        table: ``[models.providers.openai]``, or one of ``kind = "openai"``.
        environment: where keys are.

    Raises:
        ConfigError: the SDK is not installed, there is no key, or a setting is wrong.
    """
    from .openai import Api, OpenAIModel, OpenAIOptions

    _installed("openai", "OpenAI", "openai")
    settings = read(OpenAISettings, table, "models.providers.openai")
    api = Api(settings.api) if settings.api else None
    dialect = DialectSettings(row=settings.dialect) if isinstance(settings.dialect, str) else settings.dialect
    options = OpenAIOptions(api, settings.effort, settings.summary, dialect)
    source = _source(settings, "[models.providers.openai]")
    if source is None:
        return OpenAIModel(_openai_access(settings, environment), _timeouts(settings), options)
    from .access import Access
    from .keys import Rekeyed
    from .openai_models import BASE_URL

    url = settings.base_url or environment.get("OPENAI_BASE_URL") or BASE_URL
    return Rekeyed(
        source,
        lambda key: OpenAIModel(Access(key, base_url=url, provider="OpenAI"), _timeouts(settings), options),
    )


def bedrock(table: Table, environment: Environment) -> Model:
    """Claude on Amazon Bedrock.

    Args:
        table: ``[models.providers.bedrock]``.
        environment: region, keys and a bearer token, where the settings have none.

    Raises:
        ConfigError: boto3 is not installed, there is no region, or a setting is wrong.
    """
    from .access import Access
    from .bedrock import BedrockModel, endpoint

    _installed("boto3", "Bedrock", "bedrock")
    settings = read(BedrockSettings, table, "models.providers.bedrock")
    identity = _aws_identity(settings, environment)
    token = None if settings.profile else environment.get("AWS_BEARER_TOKEN_BEDROCK") or None
    address = settings.base_url or environment.get("ANTHROPIC_BEDROCK_BASE_URL") or endpoint(identity.region)
    return BedrockModel(identity, Access(token, base_url=address, provider="Bedrock"), _timeouts(settings))


def scripted(table: Table, environment: Environment) -> Model:
    """The scripted model.

    Args:
        table: ``[models.providers.scripted]``.
        environment: not used.

    Raises:
        ConfigError: the script cannot be loaded.
    """
    from .scripted import ScriptedModel

    settings = read(ScriptedSettings, table, "models.providers.scripted")
    script = _script(settings.script) if settings.script is not None else None
    return ScriptedModel(script, pace=settings.pace)


BUILT_IN: dict[str, Factory] = {
    "anthropic": anthropic,
    "anthropic-sdk": anthropic_sdk,
    "bedrock": bedrock,
    "openai": openai,
    "scripted": scripted,
}
"""By the name of the provider, or its ``kind``."""


def has_anthropic_key(table: Table, environment: Environment) -> bool:
    """Whether Claude can be asked, as far as the settings and the environment say; nothing is read.

    Args:
        table: ``[models.providers.anthropic]``.
        environment: where keys are.
    """
    settings = read(AnthropicSettings, table, "models.providers.anthropic")
    source = settings.api_key_file is not None or settings.api_key_command is not None
    return source or _secrets(settings, environment) != (None, None)


def _secrets(settings: AnthropicSettings, environment: Environment) -> tuple[str | None, str | None]:
    """Key and token; the environment's empty strings count as unset."""
    return (
        settings.api_key or environment.get(settings.api_key_env) or None,
        settings.auth_token or environment.get(settings.auth_token_env) or None,
    )


def _anthropic_access(table: Table, environment: Environment) -> tuple[Access, ModelTimeouts]:
    from .access import BASE_URL, Access

    settings = read(AnthropicSettings, table, "models.providers.anthropic")
    api_key, auth_token = _secrets(settings, environment)
    base_url = settings.base_url or environment.get("ANTHROPIC_BASE_URL") or BASE_URL
    # A gateway may need no key; Anthropic does.
    if api_key is None and auth_token is None and base_url == BASE_URL:
        raise ConfigError(
            f"there is no key for Anthropic: set {settings.api_key_env} in the environment of the daemon or the functions, "
            "or choose the model scripted/default"
        )
    return Access(api_key, auth_token, base_url), _timeouts(settings)


def _openai_access(settings: OpenAISettings, environment: Environment) -> Access:
    from .access import Access
    from .openai_models import BASE_URL

    # The key for OpenAI goes to no other address that a file names (S7).
    name = settings.api_key_env or ("OPENAI_API_KEY" if settings.base_url is None else None)
    key = settings.api_key or (environment.get(name) if name else None) or None
    base_url = settings.base_url or environment.get("OPENAI_BASE_URL") or BASE_URL
    if key is None and (settings.api_key_env or base_url == BASE_URL):
        raise ConfigError(
            f"there is no key for OpenAI: set {name} in the environment of the daemon or the functions, "
            "or give [models.providers.openai] the base_url of an endpoint that needs none"
        )
    return Access(key, base_url=base_url, provider="OpenAI")


def _aws_identity(settings: BedrockSettings, environment: Environment) -> AwsIdentity:
    import boto3  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    from .bedrock import AwsIdentity

    region = settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    try:
        region = region or boto3.Session(profile_name=settings.profile).region_name
    except BotoCoreError as error:
        raise ConfigError(f"[models.providers.bedrock]: {error}") from error
    if not region:
        raise ConfigError(
            "[models.providers.bedrock] region: there is none; write one, such as 'us-east-1', or set AWS_REGION"
        )
    keys = (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"))
    if settings.profile or environment.get("AWS_BEARER_TOKEN_BEDROCK") or not all(keys):
        return AwsIdentity(region, settings.profile)
    return AwsIdentity(region, None, *keys, environment.get("AWS_SESSION_TOKEN") or None)


def _timeouts(settings: AnthropicSettings | BedrockSettings | OpenAISettings) -> ModelTimeouts:
    from .access import ModelTimeouts

    defaults = ModelTimeouts()
    return ModelTimeouts(
        connect=settings.connect_timeout or defaults.connect,
        stall=settings.stall_timeout or defaults.stall,
        total=settings.total_timeout or defaults.total,
    )


def _installed(package: str, provider: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{provider} needs the package {package}, which is not installed: pip install 'infinity-runtime[{extra}]'"
        )


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
