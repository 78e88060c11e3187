"""The models that are configured: from a name that users write to a provider and what is known of the
model.

Names: ``provider/id``; an alias or a Claude id alone (``sonnet``, ``claude-opus-5-5``); a name from
``[models.named]``. Nothing of a provider is imported before one of its models is resolved. The engine
resolves a thread's model anew each time, so that what its endpoint has taught counts from the next
request on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infinity.abc.model import Model, ModelInfo
from infinity.errors import ConfigError

from . import claude, options
from .lessons import Lessons, Store
from .providers import BUILT_IN, Factory, has_anthropic_key
from .settings import ModelsSection, read

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "infinity.models"
SCRIPTED = "scripted/default"

NO_KEY = (
    "No model provider is configured, so the scripted model answers: it echoes and calls tools on command, nothing more. "
    "Set ANTHROPIC_API_KEY and start again to talk to Claude, or name another provider's model as default in [models]."
)


class Models:
    """The configured models. Implements ``abc.Models``."""

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        providers: Mapping[str, Model] | None = None,
    ) -> None:
        """Read the configuration; no provider is made yet.

        Args:
            config: the ``[models]`` table.
            environment: where keys are; the process's own if not given.
            providers: ready-made ones by name, before all others. A single one is the default.

        Raises:
            ConfigError: a setting is wrong.
        """
        self._section = read(ModelsSection, config or {}, "models")
        self._environment = os.environ if environment is None else environment
        self._made: dict[str, Model] = dict(providers or {})
        self.lessons = Lessons()
        """What endpoints have taught."""
        self._third_parties: dict[str, EntryPoint] | None = None
        # What users should know of the choice that was made for them.
        self.notice: str | None = None
        self.default = self._section.default or self._choose()

    def resolve(self, name: str) -> tuple[Model, ModelInfo]:
        info = self._info(name or self.default)
        provider = self._provider(info.provider)
        # A provider of somebody else need not say what it takes; then its API decides.
        if info.options is not None and (takes := getattr(provider, "takes", None)) is not None:
            options.check(info.name, info.options, takes, info.provider)
        return provider, info

    def keep_in(self, store: Store) -> None:
        """Keep what endpoints teach in this store.

        Args:
            store: open for as long as the models are used.
        """
        self.lessons.keep_in(store)

    def known(self) -> list[ModelInfo]:
        """Named models, then those of the built-in table; providers take other ids, too."""
        named = [self._info(name) for name in self._section.named]
        return [*named, *claude.MODELS, self._info(SCRIPTED)]

    @property
    def named(self) -> list[str]:
        """Names of ``[models.named]``."""
        return list(self._section.named)

    def fallback_of(self, name: str) -> tuple[str, ...]:
        """The models that stand in for a named one, in their order.

        Args:
            name: as for ``resolve``.
        """
        named = self._section.named.get(name or self.default)
        return () if named is None else named.fallback

    def keys(self) -> dict[str, bool]:
        """Variables that providers take their keys from, and whether they are set here."""
        names = {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"}
        for table in self._section.providers.values():
            names.update(str(table[name]) for name in ("api_key_env", "auth_token_env") if table.get(name))
        return {name: bool(self._environment.get(name)) for name in sorted(names)}

    def names(self) -> list[str]:
        """Names that can be written as they are, for errors and completion."""
        return [*self._section.named, *claude.ALIASES, *(info.name for info in claude.MODELS), SCRIPTED]

    async def offered(self, provider: str) -> list[ModelInfo]:
        """What a provider says it has, under names that ``resolve`` takes.

        Args:
            provider: its name.

        Raises:
            ModelError: it cannot be asked.
            ConfigError: there is no such provider.
        """
        models = await self._provider(provider).list()
        return [replace(info, name=f"{provider}/{info.id}", provider=provider) for info in models]

    async def close(self) -> None:
        """Close all providers that were made; the first error of one is raised when all are closed."""
        # A second call closes nothing twice.
        made, self._made = list(self._made.values()), {}
        results = await asyncio.gather(*(model.close() for model in made), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            raise errors[0]

    def _choose(self) -> str:
        """Claude where there is a key, else the script (and ``notice`` says so).

        A single ready-made provider is meant to be used.
        """
        if len(self._made) == 1:
            return f"{next(iter(self._made))}/default"
        if has_anthropic_key(self._section.providers.get("anthropic", {}), self._environment):
            return claude.DEFAULT
        self.notice = NO_KEY
        return SCRIPTED

    def _info(self, name: str) -> ModelInfo:
        named = self._section.named.get(name)
        if named is not None:
            if named.model in self._section.named:
                raise ConfigError(
                    f"[models.named.{name}] model: {named.model!r} is a named model, too; write provider/id"
                )
            return self._as_told(named.apply(name, self._info(named.model)))
        # In this order: what the user named, what we named, what a provider alone means.
        full = name if "/" in name else claude.ALIASES.get(name) or self._default_of(name) or name
        if "/" not in full and full.startswith("claude-"):
            full = f"{claude.PROVIDER}/{full}"
        provider, _, model_id = full.partition("/")
        if "/" not in full and (provider in BUILT_IN or provider in self._section.providers):
            raise ConfigError(
                f"{provider!r} is a provider and has no default model; write {provider}/ID, or name one of its models in [models.named]"
            )
        if not provider or not model_id:
            raise ConfigError(
                f"there is no model {name!r}; write provider/id or one of: {', '.join(self.names())}"
            )
        if provider in ("anthropic", "anthropic-sdk"):
            return claude.info(model_id, provider)
        describe = getattr(self._provider(provider), "info", None)
        try:
            known = describe(model_id) if describe is not None else ModelInfo(full, provider, model_id)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the model provider {provider!r} cannot describe {model_id!r} ({type(error).__name__}: {error})"
            ) from error
        return self._as_told(replace(known, name=full, provider=provider))

    def _as_told(self, info: ModelInfo) -> ModelInfo:
        """The same with what the model's endpoint has told of it: smaller sizes than were known, a price
        where there was none.
        """
        # Only of a provider that is there: nobody is asked, or imported, to answer this.
        told_of = getattr(self._made.get(info.provider), "told", None)
        if told_of is None:
            return info
        told = told_of(info.id)
        changes: dict[str, Any] = {}
        if told.window is not None and (told.window < info.context_window or not info.sized):
            changes["context_window"] = told.window
        if told.output is not None and told.output < info.output_limit:
            changes["output_limit"] = told.output
        if told.price is not None and info.price is None:
            changes["price"] = told.price
        return replace(info, **changes) if changes else info

    def _default_of(self, provider: str) -> str | None:
        """A bare provider's name means its default: the model that is its own, or the only one that is
        named.
        """
        if "/" in provider:
            return None
        if provider in self._made and provider not in BUILT_IN:
            return f"{provider}/default"
        own = {"anthropic": claude.DEFAULT, "scripted": SCRIPTED}.get(provider)
        if own is not None:
            return claude.ALIASES.get(own, own)
        models = {named.model for named in self._section.named.values()}
        mine = [model for model in models if model.partition("/")[0] == provider and "/" in model]
        return mine[0] if len(mine) == 1 else None

    def _provider(self, name: str) -> Model:
        model = self._made.get(name)
        if model is None:
            table = dict(self._section.providers.get(name, {}))
            kind = str(table.pop("kind", name))
            factory = BUILT_IN.get(kind) or self._third_party(kind)
            try:
                model = factory(table, self._environment)
            except ConfigError:
                raise
            except Exception as error:
                raise ConfigError(
                    f"the model provider {name!r} cannot be made ({type(error).__name__}: {error}); check [models.providers.{name}]"
                ) from error
            # Made once: it has a pool of connections.
            self._made[name] = model
            if (taught_by := getattr(model, "taught_by", None)) is not None:
                taught_by(self.lessons)
        return model

    def _third_party(self, name: str) -> Factory:
        if self._third_parties is None:
            from importlib.metadata import entry_points

            self._third_parties = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
        entry = self._third_parties.get(name)
        if entry is None:
            known = ", ".join(
                sorted({*BUILT_IN, *self._third_parties, *self._made, *self._section.providers} - {name})
            )
            raise ConfigError(f"there is no model provider {name!r}; there are: {known}")
        try:
            factory: Factory = entry.load()
        except Exception as error:
            raise ConfigError(
                f"the model provider {name!r} cannot be loaded from {entry.value}: {error}; reinstall the package that brings it"
            ) from error
        return factory
