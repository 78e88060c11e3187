"""About: what a client must know of the host before it shows anything, asked for once."""

from __future__ import annotations

import time

from infinity.models.registry import Models

from .backend import Backend, Part
from .requests import Request
from .responses import About, Amount, KnownModel, Response, respond

__all__ = ["get_about"]


async def get_about(backend: Backend, _: Request) -> Response:
    """The version, the models that can be chosen, what the policy and the limits are."""
    settings, models = backend.runtime.settings, backend.runtime.models
    found = [
        KnownModel(info.name, info.context_window, list(info.price) if info.price is not None else None)
        for info in (models.known() if isinstance(models, Models) else [])
    ]
    default = settings.default_model or (models.default if isinstance(models, Models) else "")
    limits = settings.limits
    return respond(
        About(
            version=backend.version,
            host="cloud" if backend.part is Part.API else "local",
            stream=backend.part is not Part.API,
            now=time.time_ns() // 1_000_000,
            default_model=default,
            models=found,
            policy=settings.policy.default,
            budget=Amount(limits.tree_tokens, limits.tree_dollars),
        )
    )
