"""The models that a Messages API says it has (``GET /v1/models``), each with what the built-in table knows
of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from infinity.abc.model import ModelInfo

from . import claude

_MOST_PAGES = 20
"""Pages that are read: an endpoint that always says that there is more must end, too (I15)."""


class _Listed(msgspec.Struct):
    id: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _Page(msgspec.Struct):
    data: list[_Listed]
    has_more: bool = False
    last_id: str | None = None


_page = msgspec.json.Decoder(_Page).decode


async def listed(get: Callable[[str], Awaitable[bytes]]) -> list[ModelInfo]:
    """The models of an API, each with what the built-in table knows of it.

    Args:
        get: the body behind a path and query.

    Raises:
        msgspec.DecodeError: the answer is not a list of models.
        ModelError: whatever ``get`` raises.
    """
    models: list[ModelInfo] = []
    after = ""
    for _ in range(_MOST_PAGES):
        page = _page(await get(f"/v1/models?limit=1000{after}"))
        models += [_info(model) for model in page.data]
        if not page.has_more or not page.last_id:
            break
        after = f"&after_id={page.last_id}"
    return models


def _info(model: _Listed) -> ModelInfo:
    known = claude.info(model.id)
    return replace(
        known,
        # What the API says itself wins over the table.
        context_window=model.max_input_tokens or known.context_window,
        output_limit=model.max_tokens or known.output_limit,
    )
