"""A model: one streamed completion. A provider's adapter translates at its edge and raises the typed errors of ``infinity.errors``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from infinity.abc.store import Store


@dataclass(frozen=True, slots=True)
class Options:
    """What requests to a model ask for beside the conversation. ``None``, or empty: as the API has it.

    A provider's ``takes`` names those that its API has.
    """

    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of a tool."""
    parallel_tool_calls: bool | None = None
    effort: str | None = None
    """How much the model reasons, in the API's own words."""
    reasons: bool | None = None
    """``False`` turns reasoning off where the API can."""
    cache: str | None = None
    """How long a cached prefix lives: ``5m`` or ``1h``."""
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Put into the request's JSON as it is."""
    extra_headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    def asked_for(self) -> set[str]:
        """The names of those that are set."""
        return {each.name for each in fields(self) if getattr(self, each.name) != _default(each)}


def _default(option: Field[Any]) -> Any:
    return option.default_factory() if callable(option.default_factory) else option.default


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the runtime must know of a model. Sizes in tokens, prices in dollars per million tokens."""

    name: str
    """The name users configure, ``provider/model`` or an alias."""
    provider: str
    id: str
    """The provider's own name for it."""
    context_window: int = 200_000
    output_limit: int = 8_192
    images: bool = True
    thinking: int = 0
    """Budget for reasoning tokens; 0 turns it off."""
    price: tuple[float, float, float, float] | None = None
    """Input, output, cache read, cache write; ``None`` if it is not known. Four zeros say that the model is free."""
    options: Options | None = None
    """What the user has set for it."""
    sized: bool = True
    """Whether its sizes are known; else they are what most models have, and its endpoint may tell better."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens. ``input`` excludes what was read from or written to the cache, as the Messages API counts."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


def _unheard(_: Usage) -> None:
    """Nobody asks."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One completion to make. ``system``: plain text; ``tools`` and ``messages``: JSON arrays in the Messages API's shape, ready to send."""

    model: ModelInfo
    system: str
    tools: bytes
    messages: bytes
    max_tokens: int
    counted: Callable[[Usage], None] = field(default=_unheard, compare=False, repr=False)
    """Called by a provider that knows, while it streams, what has been used so far: a completion that breaks off is charged by it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of visible text, live."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of reasoning, live."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call has begun (its arguments are not complete yet), live."""

    id: str
    tool: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A complete tool call as the provider sent it. ``arguments`` is ``None`` when they were not one JSON object; ``problem`` says why."""

    id: str
    tool: str
    arguments: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A completed turn: the last part of a stream.

    ``blocks``: assistant content blocks in order (text, thinking with signature, redacted_thinking, tool_use with the provider's ids); strings
    exactly as received. Bad arguments stand as ``{}`` in the block. ``calls`` match the tool_use blocks one to one.
    ``stop_reason``: ``end_turn``, ``tool_use``, ``max_tokens``, ``refusal``, ``pause_turn``, ….
    """

    blocks: list[dict[str, Any]]
    calls: tuple[ModelCall, ...] = ()
    stop_reason: str = "end_turn"
    usage: Usage = field(default_factory=Usage)


Part = Text | Reasoning | ToolUse | Turn


class Model(Protocol):
    """A provider. One instance serves all its models and all threads at once."""

    def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        """Live parts, then exactly one ``Turn``, or a ``ModelError``. Closing the iterator (or cancelling) stops the request at once.

        Never retries: the engine does. Time-outs (connect, stall between events) are the adapter's and raise ``ModelUnavailable``.
        """
        ...

    async def list(self) -> list[ModelInfo]:
        """The models that this provider offers or is configured with."""
        ...

    async def close(self) -> None: ...


class Models(Protocol):
    """The models that are configured."""

    def resolve(self, name: str) -> tuple[Model, ModelInfo]:
        """The provider and what is known of the model; an empty name is the default. ``ConfigError`` lists what there is."""
        ...

    def fallback_of(self, name: str) -> Sequence[str]:
        """The models that stand in for this one, in their order."""
        return ()

    def keep_in(self, store: Store) -> None:
        """Keep in this store what is learnt of endpoints."""
        return
