"""Both hosts, asked the same: what one answers, the other must."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.boundary.cloud.functions import Functions
from tests.boundary.daemons import Answer, Running
from tests.crash.history import undated

from infinity.stamps import is_stamp

SAME_HEADERS = ("Allow", "Location", "Retry-After", "WWW-Authenticate")
TIMES = frozenset({"at", "created_at", "updated_at", "accepted_at", "since", "until"})

CURSOR = re.compile(r"\b\d{13}:")
"""The time in the cursor of a listing."""


class Both:
    def __init__(self, daemon: Running, cloud: Functions) -> None:
        self.daemon = daemon
        self.cloud = cloud

    async def same(self, method: str, path: str, **options: Any) -> Answer:
        """The one answer; ids of calls, messages and times aside."""
        theirs = await self.daemon.ask(method, path, **options)
        ours = await self.cloud.ask(method, path, **options)
        compare(theirs, ours, (method, path, options))
        return ours

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.same("POST", path, json=body, **options)

    async def thread(self, id: str, text: str | None = None) -> str:
        """A thread of this id on either host, in which this was said."""
        await self.post("/v1/threads", {"id": id})
        if text is not None:
            await self.post(f"/v1/threads/{id}/messages", {"content": text}, headers={"Idempotency-Key": "k"})
        return id


def compare(theirs: Answer, ours: Answer, asked: object, names: Mapping[str, str] | None = None) -> None:
    """``names``: what the daemon calls something, and what the functions call it."""
    what = repr(asked)[:200]
    expected = json.dumps(_timeless(undated(theirs.body)), sort_keys=True)
    for daemon_name, cloud_name in (names or {}).items():
        expected = expected.replace(daemon_name, cloud_name)
    assert (ours.status, _timeless(undated(ours.body))) == (theirs.status, json.loads(expected)), what
    for name in SAME_HEADERS:
        assert ours.headers.get(name) == theirs.headers.get(name), (what, name)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [_timeless(each) for each in value if not (isinstance(each, dict) and is_stamp(each))]
    if isinstance(value, str):
        return CURSOR.sub("TIME:", value)
    return value
