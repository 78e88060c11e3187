"""What ``infinity doctor`` asks: an examination of everything, and how the models stand."""

from __future__ import annotations

import re

from aiohttp import web

from infinity.api import examination
from infinity.models.planning import examine
from infinity.stores.sqlite.store import JournalStore

from .answers import answer, respond
from .backend import BACKEND

__all__ = ["get_examination", "get_models"]

_DAMAGED = re.compile(r"(?:entries: .*\bof )?thread ([^\s:]+)")
"""A finding of the journal that names the thread whose history is damaged."""


async def get_examination(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    found = (
        examine(backend.models, backend.runtime.settings, named=True) if backend.models is not None else []
    )
    store = backend.store
    kept, repaired = await store.examine() if isinstance(store, JournalStore) else (None, None)
    for problem in kept or ():
        if (named := _DAMAGED.match(problem)) is not None:
            backend.runtime.damage.setdefault(named[1], problem)
    servers = await backend.toolsets()
    return respond(await examination.examine(backend.runtime, store, servers, found, kept, repaired=repaired))


async def get_models(request: web.Request) -> web.Response:
    """The default model, what keeps it from being used, and which keys the daemon has: names and yes or no, never a key."""
    backend = request.app[BACKEND]
    models = backend.models
    if models is None:
        return answer({"default": None, "problems": [], "notice": None, "keys": {}})
    settings = backend.runtime.settings
    return answer(
        {
            "default": settings.default_model or models.default,
            "problems": examine(models, settings, named=False),
            "notice": models.notice,
            "keys": models.keys(),
        }
    )
