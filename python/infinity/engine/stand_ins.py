"""Stand-ins: the models of ``fallback`` that answer in place of a thread's own while that cannot (an overload, an outage, a refused key or request).

The switch is on record as an event ``fallback``, and every turn names the model that made it. What keeps the thread's own model from answering stands as
a cause (``engine/probes.py``): while it does, stand-ins are asked at once; when its probe is due, the thread's own model is asked, and goes on if it
answers. Attempts of all of them count as attempts, and what they cost counts against the budgets.
"""

from __future__ import annotations

from collections.abc import Sequence

from infinity.engine.memo import glance, recall, remember
from infinity.engine.probes import CauseKind
from infinity.engine.slice.state import Slice, Why
from infinity.errors import (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

__all__ = ["has_any", "recorded", "switch", "takes_over"]

_HELPED = (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)
"""Errors that another model may not have. A context that is too long is compacted, and what one vendor does not answer is not taken to another."""


def has_any(current: Slice) -> bool:
    return bool(_names(current))


def _names(current: Slice) -> Sequence[str]:
    return current.services.models.fallback_of(current.thread.model)


def switch(current: Slice, why: str) -> bool:
    """Let the next model answer that can be asked; false if there is none (any more): then the slice is its thread's own again."""
    names = _names(current)
    probes = current.services.probes
    for name in names[names.index(current.stand_in) + 1 if current.stand_in in names else 0 :]:
        try:
            provider, model = current.services.models.resolve(name)
        except ConfigError:
            continue
        if probes.standing(model, name) is None and not (current.limits.tree_dollars and model.price is None):
            current.stand_in, current.provider, current.model = name, provider, model
            _tell(current, why)
            return True
    current.stand_in = None
    return False


async def takes_over(current: Slice, error: ModelError | ConfigError) -> bool:
    """Whether another model is asked after the one that was asked has failed. What failed it is a cause from now on."""
    if (
        not isinstance(error, _HELPED)
        or current.signal is not None
        or current.out_of_time
        or not has_any(current)
    ):
        return False
    failed, model, probes = current.asks, current.model, current.services.probes
    own = current.stand_in is None
    switched = switch(current, str(error))
    if switched or not own:
        cause = probes.cause_of(error, model, failed)
        if cause is None and isinstance(error, ModelError) and error.retryable:
            cause = CauseKind.MODEL.key(failed)
        if cause is not None:
            await probes.failed(cause, error.code, str(error), probe=True)
    if not switched and not own:
        current.provider, current.model = current.services.models.resolve(current.thread.model)
    if switched:
        current.why &= ~Why.PROBE
    return switched


def _tell(current: Slice, why: str) -> None:
    """Once for each switch, not for each completion."""
    if glance(current.thread).stand_in != current.stand_in:
        memo = recall(current.thread)
        memo.stand_in = current.stand_in
        remember(current.thread, memo)
        current.note("fallback", model=current.stand_in, instead_of=_own(current), text=why[:500])


def recorded(current: Slice) -> None:
    """A turn was bought. When it is the thread's own model that answers again, that is on record, too."""
    before = glance(current.thread).stand_in
    if before is not None and current.stand_in is None:
        memo = recall(current.thread)
        memo.stand_in = None
        remember(current.thread, memo)
        current.note("fallback", model=_own(current), instead_of=before, text="it answers again")


def _own(current: Slice) -> str:
    return current.thread.model or "the default model"
