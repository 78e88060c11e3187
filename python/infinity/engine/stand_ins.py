"""Stand-ins: the models of ``fallback`` that answer in place of a thread's own while that cannot (an overload, an outage, a refused key or request).

The switch is on record as an event ``fallback``, and every turn names the model that made it. What keeps the thread's own model from answering stands as
a cause (``engine/probes.py``): while it does, stand-ins are asked at once; when its probe is due, the thread's own model is asked, and goes on if it
answers. Attempts of all of them count as attempts, and what they cost counts against the budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infinity.engine.memo import glance, recall, remember
from infinity.errors import (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

if TYPE_CHECKING:
    from infinity.engine.work import Slice

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


def has_any(slice: Slice) -> bool:
    return bool(_names(slice))


def _names(slice: Slice) -> Sequence[str]:
    return slice.services.models.fallback_of(slice.thread.model)


def switch(slice: Slice, why: str) -> bool:
    """Let the next model answer that can be asked; false if there is none (any more): then the slice is its thread's own again."""
    names = _names(slice)
    probes = slice.services.probes
    for name in names[names.index(slice.stand_in) + 1 if slice.stand_in in names else 0 :]:
        try:
            provider, model = slice.services.models.resolve(name)
        except ConfigError:
            continue
        if probes.standing(model, name) is None and not (slice.limits.tree_dollars and model.price is None):
            slice.stand_in, slice.provider, slice.model = name, provider, model
            _tell(slice, why)
            return True
    slice.stand_in = None
    return False


async def takes_over(slice: Slice, error: ModelError | ConfigError) -> bool:
    """Whether another model is asked after the one that was asked has failed. What failed it is a cause from now on."""
    if not isinstance(error, _HELPED) or slice.signal is not None or slice.out_of_time or not has_any(slice):
        return False
    failed, model, probes = slice.asks, slice.model, slice.services.probes
    own = slice.stand_in is None
    switched = switch(slice, str(error))
    if switched or not own:
        cause = probes.cause_of(error, model, failed)
        if cause is None and isinstance(error, ModelError) and error.retryable:
            cause = f"model {failed}"
        if cause is not None:
            await probes.failed(cause, error.code, str(error), probe=True)
    if not switched and not own:
        slice.provider, slice.model = slice.services.models.resolve(slice.thread.model)
    slice.probing = slice.probing and not switched
    return switched


def _tell(slice: Slice, why: str) -> None:
    """Once for each switch, not for each completion."""
    if glance(slice.thread).stand_in != slice.stand_in:
        memo = recall(slice.thread)
        memo.stand_in = slice.stand_in
        remember(slice.thread, memo)
        slice.note("fallback", model=slice.stand_in, instead_of=_own(slice), text=why[:500])


def recorded(slice: Slice) -> None:
    """A turn was bought. When it is the thread's own model that answers again, that is on record, too."""
    before = glance(slice.thread).stand_in
    if before is not None and slice.stand_in is None:
        memo = recall(slice.thread)
        memo.stand_in = None
        remember(slice.thread, memo)
        slice.note("fallback", model=_own(slice), instead_of=before, text="it answers again")


def _own(slice: Slice) -> str:
    return slice.thread.model or "the default model"
