"""The ``[models]`` section of the configuration.

::

    [models]
    default = "fast"

    [models.providers.anthropic]
    base_url = "https://gateway.example/anthropic"

    [models.named.fast]
    model = "anthropic/claude-haiku-5-5"
    output_limit = 16000
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from infinity.abc.model import ModelInfo, Options
from infinity.errors import ConfigError


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration; a setting that it does not know is an error."""


_OPTIONS = tuple(option.name for option in fields(Options) if option.name != "reasons")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset({"authorization", "content-length", "content-type", "host", "x-api-key"})


class Named(Section):
    """A model under a name of the user's choice. What is not set is as the provider's model has it."""

    model: str
    """The provider's model, as ``provider/model``."""
    context_window: int | None = None
    """Tokens of the model's context window."""
    output_limit: int | None = None
    """Tokens of one answer, at most."""
    images: bool | None = None
    """Whether the model takes images."""
    thinking: int | None = None
    """Tokens for reasoning before an answer; 0 turns it off."""
    price: tuple[float, float, float, float] | None = None
    """Dollars for a million tokens: input, output, cache read, cache write."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    """Sampling temperature."""
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Nucleus sampling."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""
    seed: int | None = None
    """Seed for sampling."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of a tool."""
    parallel_tool_calls: bool | None = None
    """Whether one turn may have several calls."""
    effort: str | None = None
    """How much the model reasons, in the API's own words."""
    cache: Literal["5m", "1h"] | None = None
    """How long the provider keeps cached prompts."""
    prompt_cache_key: str | None = None
    """A key that groups requests in the provider's cache."""
    service_tier: str | None = None
    """The provider's class of service."""
    extra_body: dict[str, Any] = {}
    """Further members of the request, as the API has them."""
    extra_headers: dict[str, str] = {}
    """Further headers of the request."""
    fallback: tuple[str, ...] = ()
    """Models that answer while this one cannot, the first that can."""

    def __post_init__(self) -> None:
        for name, value in self.extra_headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
                raise ValueError(f"extra_headers: {name!r} cannot be set here")
            if not value.isprintable() or not value.isascii():
                raise ValueError(f"extra_headers: the value of {name!r} holds characters that no header has")
        for name in ("messages", "input", "model", "stream", "system", "tools"):
            if name in self.extra_body:
                raise ValueError(f"extra_body: {name!r} is made by the runtime")

    def apply(self, name: str, info: ModelInfo) -> ModelInfo:
        """A model with what is set for it.

        Args:
            name: of the section.
            info: what the provider's model has.
        """
        changes: dict[str, Any] = {
            field: value
            for field in ("context_window", "output_limit", "images", "thinking", "price")
            if (value := getattr(self, field)) is not None
        }
        if self.cache == "1h" and self.price is None and info.price is not None:
            # Entries that live for an hour cost twice the input to write; prices in tables are of five
            # minutes.
            changes["price"] = (*info.price[:3], max(info.price[3], 2 * info.price[0]))
        reasons = None if self.thinking is None else self.thinking > 0
        options = Options(**{field: getattr(self, field) for field in _OPTIONS}, reasons=reasons)
        return replace(
            info,
            name=name,
            sized=info.sized or self.context_window is not None,
            options=options if options.asked_for() else None,
            **changes,
        )


class ModelsSection(Section):
    """``[models]``."""

    default: str = ""
    """The model of new threads: ``provider/model``, or one of ``named``."""
    providers: dict[str, dict[str, Any]] = {}
    """Each provider's own settings; the provider reads them.

    ``kind`` in one names the provider that it is another of.
    """
    named: dict[str, Named] = {}
    """Models under names of your choice: ``[models.named.NAME]``."""


class AnthropicSettings(Section):
    """``[models.providers.anthropic]``. Keys come from the environment unless they stand here."""

    api_key: str | None = None
    """The key itself. Keep it out of files that others read."""
    api_key_file: str | None = None
    """A file with the key."""
    api_key_command: tuple[str, ...] | None = None
    """A command that prints the key."""
    api_key_env: str = "ANTHROPIC_API_KEY"
    """The variable with the key."""
    auth_token: str | None = None
    """A bearer token in place of a key."""
    auth_token_env: str = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105
    """The variable with the bearer token."""
    base_url: str | None = None
    """The address of the API, or of a gateway."""
    connect_timeout: float | None = None
    """How long a connection may take."""
    stall_timeout: float | None = None
    """How long an answer may be silent."""
    total_timeout: float | None = None
    """How long one answer may take in all."""


class DialectSettings(Section):
    """``dialect`` as a table: what an endpoint wants other than its row in the table of dialects says.

    What stands here is never learned otherwise.
    """

    row: str = ""
    call_ids: Literal["any", "nine"] | None = None
    user_after_result: bool | None = None
    result_names: bool | None = None
    single_calls: bool | None = None
    instructions: Literal["system", "developer", "user"] | None = None
    limit: Literal["max_tokens", "max_completion_tokens", ""] | None = None
    usage: bool | None = None
    content: Literal["parts", "text"] | None = None
    empty_content: bool | None = None
    reasoning: Literal["optional", "none", "reasoning_content", "reasoning"] | None = None
    reasoning_kept: Literal["always", "calls"] | None = None
    signatures: bool | None = None
    without: tuple[str, ...] | None = None

    def said(self) -> dict[str, Any]:
        """What is set."""
        return {
            name: value
            for name in self.__struct_fields__
            if name != "row" and (value := getattr(self, name)) is not None
        }


class OpenAISettings(Section):
    """``[models.providers.openai]``, and any provider with ``kind = "openai"``.

    The key from ``OPENAI_API_KEY`` goes to OpenAI, or to the address in ``OPENAI_BASE_URL``. A
    ``base_url`` in a file names its own key.
    """

    api_key: str | None = None
    """The key itself. Keep it out of files that others read."""
    api_key_env: str | None = None
    """The variable with the key."""
    api_key_file: str | None = None
    """A file with the key."""
    api_key_command: tuple[str, ...] | None = None
    """A command that prints the key."""
    base_url: str | None = None
    """The address of the API, or of a gateway."""
    api: Literal["responses", "chat"] | None = None
    """The API to use: Responses or Chat Completions."""
    dialect: str | DialectSettings | None = None
    """The row of the table of dialects that the endpoint follows, or a table with what it wants."""
    effort: str | None = None
    """How much the model reasons, in the API's own words."""
    summary: str | None = None
    """Which summary of its reasoning the model gives."""
    connect_timeout: float | None = None
    """How long a connection may take."""
    stall_timeout: float | None = None
    """How long an answer may be silent."""
    total_timeout: float | None = None
    """How long one answer may take in all."""


class BedrockSettings(Section):
    """``[models.providers.bedrock]``. Credentials are found as all AWS tools find them."""

    region: str | None = None
    """The AWS region."""
    profile: str | None = None
    """The profile of the AWS configuration."""
    base_url: str | None = None
    """Another endpoint of the service."""
    connect_timeout: float | None = None
    """How long a connection may take."""
    stall_timeout: float | None = None
    """How long an answer may be silent."""
    total_timeout: float | None = None
    """How long one answer may take in all."""


class ScriptedSettings(Section):
    """``[models.providers.scripted]``. ``script``: ``module:name`` of a function that makes a ``Script``."""

    script: str | None = None
    """``module:name`` of a function that makes a ``Script``."""
    pace: float = 0.0
    """Seconds between two parts of an answer."""


S = TypeVar("S", bound=Section)


def read(section: type[S], table: Mapping[str, Any], path: str) -> S:
    """A table of the configuration as its class.

    Args:
        section: the class.
        table: as TOML has it.
        path: of the table, for the error.

    Raises:
        ConfigError: names the setting that is wrong, never its value: it may be a key (S9).
    """
    try:
        return msgspec.convert(dict(table), section)
    except msgspec.ValidationError as error:
        known = ", ".join(sorted(section.__struct_fields__))
        raise ConfigError(f"[{path}]: {error}. Settings of this section: {known}") from None
