"""What bounds an agent, as frozen values that every layer may read.

``infinity.config`` fills them from infinity.toml, ``Agent`` from Python; the defaults here are those of
both. Counts are counts, times are seconds, sizes are bytes unless a name says otherwise. Nothing in
this module reads a file or the environment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts and sizes that bound one agent (G2, I15).

    Reaching a limit tells the model and the user what was hit; nothing loops and nothing is lost.
    """

    rounds: int = 50
    """Completions one slice may make."""
    depth: int = 8
    """Ancestors a thread may have."""
    children: int = 1_000
    """Children of one thread that are not closed."""
    tree_threads: int = 1_000
    """Threads below one root that are not closed.

    Slices of one tree that run at the same moment count each for itself.
    """
    subscriptions: int = 100
    """Active subscriptions of one thread."""
    calls_per_turn: int = 64
    """Tool calls that the model may make in one turn; further ones are answered with an error."""
    message_bytes: int = 1 << 20
    """Body of one message or API call."""
    callback_bytes: int = 8 << 20
    """Body of one callback; on AWS Lambda not more than the platform passes, about 6 MB.

    What the model sees of a result is ``result_chars``.
    """
    event_bytes: int = 1 << 20
    """Body of a callback that is a subscription event."""
    view_bytes: int = 1 << 20
    """Body of a callback that is a view."""
    result_chars: int = 100_000
    """Text of one result that the model gets; a longer one is cut to its head and tail."""
    turn_share: float = 0.5
    """Share of the model's window for what one turn is told for the first time: results, events and user
    text together. What is larger is cut to its head and tail.
    """
    tree_tokens: int = 0
    """Tokens that a root thread and all its descendants may use; 0: no limit."""
    tree_dollars: float = 0.0
    """The same in dollars, by the prices configured for the models; 0: no limit."""
    functions: int = 64
    """Plain functions of this process (``@tool``) that run at once, each in a thread of its own; one that
    takes long makes room.
    """
    slow_functions: int = 256
    """Those that run beside them: annotated ``longRunning``, or at it for some seconds."""
    requests_per_minute: int = 0
    """Requests to one model, over all threads; more wait their turn. 0: no limit."""
    compact_above: float = 0.75
    """Share of the model's window that a context may fill before its older part is summarised."""
    queued_messages: int = 10_000
    """Messages one thread may have waiting."""
    concurrent_slices: int = 512
    """Slices that run at once in one process."""
    hot_threads: int = 512
    """Threads kept in memory between slices."""
    view_types: int = 100
    """Views that one thread keeps, one of each type."""
    kept_view_bytes: int = 4 << 20
    """All views of one thread together; each client that connects gets them."""
    slice_bytes: int = 192 << 20
    """Memory for slices that run at once: their histories and the requests made of them.

    Large threads wait for room, small ones never.
    """
    event_streams: int = 1_000
    """Event streams that one host serves at once; further clients are told to come back later."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the runtime waits, in seconds."""

    call: float = 3_600.0
    """A tool call's deadline; tools annotated ``longRunning`` have none.

    It stands still while a question or sign-in of the call is open.
    """
    prompt: float = 604_800.0
    """How long a question or sign-in of a tool waits for the user; then a question sends its default, and
    a sign-in fails its call. 0: for ever. The runtime's own question, whether a call may leave, has no
    limit.
    """
    completion: float = 1_800.0
    """One completion in all, retries included."""
    short_wait: float = 20.0
    """Waits for the model up to this long are spent in the slice; longer ones end it and set a timer."""
    dispatch_first: float = 0.5
    """Back-off after the first failed try to reach a tool server; it doubles with each try, with jitter."""
    dispatch_longest: float = 60.0
    """The longest back-off between two tries to reach a tool server."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often something is tried before the runtime gives up and says so."""

    completion: int = 4
    """Tries of one completion within a slice; the budget is never refilled by partial answers (R5)."""
    slices: int = 8
    """Slices that a timer wakes to try the model again before giving up."""
    dispatch: int = 8
    """Tries to reach a tool server with one call (INV-5)."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is closed is kept."""

    closed_days: float = 0.0
    """Days after which a closed conversation is deleted for good, counted from its last change; at the
    latest a day later. 0: never.
    """

    def __post_init__(self) -> None:
        """Refuse what is not a number of days: data could be deleted that is to be kept, or kept for ever.

        Raises:
            ValueError: ``closed_days`` is negative, infinite, NaN or no number.
        """
        days: object = self.closed_days
        if isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 <= days < math.inf:
            raise ValueError(f"closed_days is {days!r}; it must be a number of days, 0 or more")


@dataclass(frozen=True, slots=True)
class Policy:
    """Consent per tool name or annotation: ``allow``, ``ask`` or ``deny``.

    A tool's own name wins, then the strictest of its annotations (DISC-9), then ``default``.
    """

    tools: dict[str, str] = field(default_factory=dict)
    """By the name of a tool."""
    annotations: dict[str, str] = field(default_factory=dict)
    """By annotation: ``readOnly``, ``idempotent``, ``longRunning``, ``requiresAuth``, ``destructive``."""
    destructive: str = "ask"
    """The same as ``annotations["destructive"]``, which wins."""
    default: str = "allow"
    """For every other tool."""
    edit: dict[str, bool] = field(default_factory=dict)
    """Whether a person who is asked may change a call's arguments, by the name of a tool; ``default`` is for
    every other tool, which may unless it says otherwise.
    """


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the runtime needs to know of an agent, apart from its tools. One value per host."""

    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    policy: Policy = field(default_factory=Policy)
    retention: Retention = field(default_factory=Retention)
    instructions: str = ""
    """What the agent is for; part of the system prompt of every thread."""
    default_model: str = ""
    """The name of the model of new threads; empty takes the default of the configured models."""
    timezone: str = "UTC"
    """The zone in which the agent is told the time: with each text of a user, event and wake.

    Empty: it is told nothing.
    """
