"""Which threads a listing shows: by activity or by need, and what people look for that no index of the stores has.

A filter over what only a thread's record or its explanation says looks at a bounded number of threads for a page. Such a page may have fewer than ``limit``
threads, and none at all, and a ``next``: the search goes on from there. A thread whose record cannot be read is never left out by what it cannot say (I8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from infinity.abc import Header, ThreadRow, read_header
from infinity.engine.memo import noted
from infinity.errors import BadRequest, DamagedStore, NewerStore, UnknownThread
from infinity.ids import is_id
from infinity.models.registry import Models

from .backend import Backend, Part
from .requests import ATTENTION, LONGEST_TITLE, STATES, STATUSES, check_cursor, page_size

__all__ = ["EXPLAINED", "LOOKED_AT", "find"]

LOOKED_AT = 5_000
"""Threads that are looked at for one page of a filtered listing."""
EXPLAINED = 500
"""Threads that are explained for one page, where ``state`` is asked for."""
READ = 500
"""Threads that are read at once."""
_ENDED = frozenset(("closed", "stopped"))


class Sought(NamedTuple):
    """``text``: the beginning of an id, or words that are all in the title or the first words; ``states``: of the explanation."""

    text: str
    model: str
    states: frozenset[str]


class Search:
    """The filters of one request, and how much was looked at for it."""

    def __init__(self, backend: Backend, sought: Sought) -> None:
        self._backend = backend
        self._sought = sought
        self._words = sought.text.casefold().split()
        self.looked_at = 0
        self.explained = 0

    @property
    def filters(self) -> bool:
        return any(self._sought)

    @property
    def ended(self) -> bool:
        """Whether a page may look no further."""
        return self.looked_at >= LOOKED_AT or self.explained >= EXPLAINED

    async def takes(self, row: ThreadRow) -> bool:
        """Whether a thread is one of those that are looked for."""
        self.looked_at += 1
        if not self.filters:
            return True
        header = _header(row)
        if header is not None and not (self._says(row, header) and self._answered_by(header)):
            return False
        return not self._sought.states or await self._is_in(row)

    def _says(self, row: ThreadRow, header: Header) -> bool:
        text = self._sought.text
        if not text or row.id.startswith(text):
            return True
        named = f"{row.title}\n{noted(header).face.opening}".casefold()
        return all(word in named for word in self._words)

    def _answered_by(self, header: Header) -> bool:
        return self._sought.model in ("", header.model or self._default())

    def _default(self) -> str:
        settings, models = self._backend.runtime.settings, self._backend.runtime.models
        return settings.default_model or (models.default if isinstance(models, Models) else "")

    async def _is_in(self, row: ThreadRow) -> bool:
        states, backend = self._sought.states, self._backend
        if row.status in _ENDED:
            return row.status in states
        if not states - _ENDED:
            return False
        # What runs and is queued is known to a daemon's own process; a deployment has many.
        if row.status == "idle" and backend.part is not Part.API and not backend.runtime.busy(row.id):
            return "idle" in states
        self.explained += 1
        try:
            return (await backend.explain(row.id)).state in states
        except (DamagedStore, NewerStore):
            return True
        except UnknownThread:
            return False


def _header(row: ThreadRow) -> Header | None:
    try:
        header = read_header(row)
        noted(header)
    except (DamagedStore, NewerStore, msgspec.DecodeError):
        return None
    return header


async def find(backend: Backend, query: Mapping[str, str]) -> tuple[list[ThreadRow], str | None]:
    """A page of threads, newest activity first or with ``attention`` those that have needed a person for longest, and the cursor of the next page.

    Args:
        backend: of the host.
        query: of the request.

    Raises:
        BadRequest: for a query that makes no sense.
    """
    search = Search(backend, _sought(query))
    return await (
        _needing(search, backend, query) if "attention" in query else _by_activity(search, backend, query)
    )


def _sought(query: Mapping[str, str]) -> Sought:
    text, states = query.get("q", "").strip(), query.get("state", "")
    if len(text) > LONGEST_TITLE:
        raise BadRequest(f"'q' is longer than {LONGEST_TITLE} characters")
    wanted = frozenset(states.split(",")) if states else frozenset[str]()
    if wanted - set(STATES):
        raise BadRequest(f"'state' must be one or more of {', '.join(STATES)}, separated by commas")
    return Sought(text, query.get("model", ""), wanted)


async def _by_activity(
    search: Search, backend: Backend, query: Mapping[str, str]
) -> tuple[list[ThreadRow], str | None]:
    limit, status, after = page_size(query), query.get("status"), query.get("after", "")
    if status is not None and status not in STATUSES:
        raise BadRequest(f"'status' must be one of {', '.join(STATUSES)}")
    if after:
        check_cursor(after)
    size = max(limit, READ) if search.filters else limit
    found: list[ThreadRow] = []
    while True:
        rows = await backend.store.threads(
            root=query.get("root"), parent=query.get("parent"), status=status, after=after, limit=size
        )
        for row in rows:
            after = row.cursor
            if await search.takes(row):
                found.append(row)
            if len(found) == limit or (search.filters and search.ended):
                return found, after
        if len(rows) < size:
            return found, None


async def _needing(
    search: Search, backend: Backend, query: Mapping[str, str]
) -> tuple[list[ThreadRow], str | None]:
    wanted, limit, after = query["attention"], page_size(query), _place(query.get("after", ""))
    if wanted not in ATTENTION:
        raise BadRequest(f"'attention' must be one of {', '.join(ATTENTION)}")
    if unfit := [name for name in ("status", "parent") if name in query]:
        raise BadRequest(f"'{unfit[0]}' does not go with 'attention'")
    found: dict[str, ThreadRow] = {}
    while rows := await backend.store.attention(root=query.get("root"), after=after, limit=limit):
        for row in rows:
            after = row.place
            if wanted not in ("any", row.reason) or row.thread in found:
                continue
            if (thread := await backend.store.thread(row.thread)) is not None and await search.takes(thread):
                found[row.thread] = thread
            if len(found) == limit or (search.filters and search.ended):
                return list(found.values()), ":".join(map(str, after))
        if len(rows) < limit:
            break
    return list(found.values()), None


def _place(cursor: str) -> tuple[int, str, str] | None:
    """What ``_needing`` gave as the cursor of the next page."""
    if not cursor:
        return None
    since, *names = cursor.split(":")
    if len(names) != 2 or not (
        since.isascii() and since.isdigit() and len(since) <= 18 and all(map(is_id, names))
    ):
        raise BadRequest("'after' must be the 'next' of an earlier response")
    return int(since), names[0], names[1]
