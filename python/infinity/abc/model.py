"""A model: one streamed completion.

A provider's adapter translates at its edge and raises the typed errors of ``infinity.errors``. The
engine (``engine/slice/complete.py``) is the only caller of ``Model.stream``; retries, budgets and rate
limits are its own. An adapter keeps no state of a conversation: the request holds all of it.
"""

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

    ``takes`` of a provider names those that its API has; any other is a ``ConfigError``.
    """

    temperature: float | None = None
    """Randomness of the choice of tokens, in the range that the API takes."""
    top_p: float | None = None
    """Share of probability from which tokens are chosen."""
    stop: tuple[str, ...] = ()
    """Texts at which the model ends its turn."""
    seed: int | None = None
    """Asks for repeatable output where the API has that."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of a tool."""
    parallel_tool_calls: bool | None = None
    """Whether one turn may hold several tool calls."""
    effort: str | None = None
    """How much the model reasons, in the API's own words."""
    reasons: bool | None = None
    """``False`` turns reasoning off where the API can."""
    cache: str | None = None
    """How long a cached prefix lives: ``5m`` or ``1h``."""
    prompt_cache_key: str | None = None
    """Groups requests that share a prefix, where the API routes by such a key."""
    service_tier: str | None = None
    """The API's own name of a class of service."""
    extra_body: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Put into the request's JSON as it is."""
    extra_headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Sent with each request, by name."""

    def asked_for(self) -> set[str]:
        """Which options are set.

        Returns:
            Their names, as the fields of this class are called.
        """
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
    """Tokens of a request and its answer together."""
    output_limit: int = 8_192
    """The most tokens of one answer."""
    images: bool = True
    """Whether it sees images; otherwise each is replaced by a text (RES-2)."""
    thinking: int = 0
    """Budget for reasoning tokens; 0 turns it off."""
    price: tuple[float, float, float, float] | None = None
    """Input, output, cache read, cache write; ``None`` if it is not known.

    Four zeros say that the model is free.
    """
    options: Options | None = None
    """What the user has set for it."""
    sized: bool = True
    """Whether its sizes are known; else they are what most models have, and its endpoint may tell better."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one completion. ``input`` excludes what was read from or written to the cache, as the
    Messages API counts.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


def _unheard(_: Usage) -> None:
    """Nobody asks."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One completion to make.

    ``system`` is plain text; ``tools`` and ``messages`` are UTF-8 JSON arrays in the shape of the
    Messages API, ready to send; ``max_tokens`` bounds the answer. An adapter must not change the bytes
    that it is given: they are shared with the prompt cache (G4).
    """

    model: ModelInfo
    system: str
    tools: bytes
    messages: bytes
    max_tokens: int
    counted: Callable[[Usage], None] = field(default=_unheard, compare=False, repr=False)
    """Called by a provider that knows, while it streams, what has been used so far. A completion that
    breaks off is charged by the last call (I12).
    """


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of visible text, live. It is retracted if the stream breaks (M5)."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of reasoning, live."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call has begun, live; its arguments are not complete yet."""

    id: str
    tool: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A complete tool call as the provider sent it.

    ``id`` is the provider's and not unique (L9). ``arguments`` is ``None`` when they were not one JSON
    object; ``problem`` says why, and reaches the model as the result of the call (M1).
    """

    id: str
    tool: str
    arguments: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A completed turn: the last part of a stream.

    ``blocks`` are assistant content blocks in order (text, thinking with signature, redacted_thinking,
    tool_use with the provider's ids), with strings exactly as received; bad arguments stand as ``{}``
    in the block. ``calls`` match the tool_use blocks one to one. ``stop_reason`` is ``end_turn``,
    ``tool_use``, ``max_tokens``, ``refusal``, ``pause_turn`` or another one of the Messages API;
    adapters translate theirs.
    """

    blocks: list[dict[str, Any]]
    calls: tuple[ModelCall, ...] = ()
    stop_reason: str = "end_turn"
    usage: Usage = field(default_factory=Usage)


Part = Text | Reasoning | ToolUse | Turn
"""What ``Model.stream`` yields: live parts, then one ``Turn``."""


class Model(Protocol):
    """A provider. One instance serves all its models and all threads at once."""

    def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        """Make one completion.

        It never retries: the engine does, and counts the tries. Closing the iterator, or cancelling it,
        stops the request at once.

        Args:
            request: everything that goes into it.

        Returns:
            Live parts, then exactly one ``Turn``.

        Raises:
            ModelError: one of its classes, whenever no ``Turn`` can be given. Time-outs (to connect,
                between two events) are the adapter's own and raise ``ModelUnavailable``.
        """
        ...

    async def list(self) -> list[ModelInfo]:
        """The models that this provider offers or is configured with.

        Raises:
            ModelError: the provider was asked and did not answer.
        """
        ...

    async def close(self) -> None:
        """Release connections. No stream is open any more."""
        ...


class Models(Protocol):
    """The models that are configured, by the names that users write."""

    def resolve(self, name: str) -> tuple[Model, ModelInfo]:
        """The provider of a model, and what is known of it.

        Args:
            name: ``provider/model`` or an alias; empty is the default.

        Raises:
            ConfigError: there is no such model; the text lists those there are.
        """
        ...

    def fallback_of(self, name: str) -> Sequence[str]:
        """The models that stand in for this one while it cannot be used.

        Args:
            name: as for ``resolve``.

        Returns:
            Names in the order in which they are tried; empty if nothing stands in.
        """
        return ()

    def keep_in(self, store: Store) -> None:
        """Keep in this store what is learnt of endpoints, so that a restart does not learn it again.

        Args:
            store: open, and open for as long as the models are used.
        """
        return
