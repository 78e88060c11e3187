"""Questions that functions have asked users (CHO-1): on record with their answers, so that a restart
neither asks twice nor loses an answer.

Each has a secret name that is part of its ``response_url``; anyone who knows the name may answer. A
function that runs again after a crash asks the same again, and finds the question, or its answer, that
it had before: the n-th time that a run asks the same question is one place on record.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from infinity.functions.failure import ToolError

from .call import Invocation, Key
from .result import encode
from .store import PendingCallback, ServerStore, add_callback, state_of


class Asked(NamedTuple):
    """A question on record.

    ``answer``: the index of the choice, where it is known already; ``callback``: the question to
    deliver, where it is a new one.
    """

    name: str
    answer: int | None
    callback: PendingCallback | None


class Questions:
    """All questions of one server."""

    def __init__(self, store: ServerStore) -> None:
        """Begin with nobody waiting.

        Args:
            store: where questions and answers are on record; open before ``ask`` is called.
        """
        self._store = store
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._counts: dict[Key, Counter[str]] = {}

    def begin(self, key: Key) -> None:
        """The call's function runs from its beginning: its first question is the first one again.

        Args:
            key: the call that asks.
        """
        self._counts[key] = Counter()

    def end(self, key: Key) -> None:
        """The call's function has ended. Its questions stay on record until the invocation is forgotten.

        Args:
            key: the call.
        """
        self._counts.pop(key, None)

    async def ask(self, invocation: Invocation, message: Mapping[str, Any], url: str) -> Asked | None:
        """Put a question on record, or find it there.

        Args:
            invocation: the call that asks.
            message: the fields of the ``user_choice``.
            url: where answers go; the question's name is put behind it.

        Returns:
            ``None`` if the call is over.
        """
        what = hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()[:32]
        counts = self._counts.get(invocation.key)
        # Only functions that begin anew ask by number; a generator goes on where it was.
        if counts is not None:
            counts[what] += 1
            what = f"{what}.{counts[what]}"
        name = secrets.token_urlsafe(18)
        fields = {"group_id": invocation.group_id, "call_id": invocation.call_id, **message}
        body = encode({**fields, "response_url": f"{url}/{name}", "event_id": name})

        def write(database: sqlite3.Connection) -> Asked | None:
            # A call that is over asks nobody: its answer would find no one.
            if state_of(database, invocation.key) not in ("accepted", "active"):
                return None
            found = database.execute(
                "SELECT name, answer FROM questions WHERE thread = ? AND id = ? AND what = ? AND used = 0",
                (*invocation.key, what),
            ).fetchone()
            if found is not None:
                return Asked(found[0], found[1], None)
            database.execute(
                "INSERT INTO questions (name, thread, id, what, choices) VALUES (?, ?, ?, ?, ?)",
                (name, *invocation.key, what, len(message["choices"])),
            )
            return Asked(name, None, add_callback(database, invocation, body))

        return await self._store.write(write)

    async def answer_to(self, asked: Asked, key: Key) -> int:
        """Wait for the answer, as long as it takes.

        Args:
            asked: from ``ask``.
            key: the call that asked.

        Raises:
            ToolError: the runtime refused to ask.
        """
        if asked.answer is not None:
            answer = asked.answer
        else:
            waiting = self._waiting.setdefault(asked.name, asyncio.get_running_loop().create_future())
            try:
                # What came between the look at the record and now.
                recorded = await self._recorded(asked.name)
                answer = await waiting if recorded is None else recorded
            finally:
                self._waiting.pop(asked.name, None)
        if key not in self._counts:
            # A generator goes on where it was instead of beginning again: an answer is for one question of
            # it.
            await self._use("UPDATE questions SET used = 1 WHERE name = ?", asked.name)
        return answer

    async def answered(self, name: str, call_id: Any, selected: Any) -> bool:
        """Record an answer; durable when this returns.

        Args:
            name: the question's secret name, from the path.
            call_id: as the body has it; any JSON.
            selected: as the body has it; any JSON.

        Returns:
            False if nobody asked that, it is not an answer to it, or another answer came first (CHO-3). The
            same answer again is fine.
        """
        if isinstance(selected, bool) or not isinstance(selected, int):
            return False

        def write(database: sqlite3.Connection) -> bool:
            query = "SELECT id, choices, answer FROM questions WHERE name = ?"
            found = database.execute(query, (name,)).fetchone()
            if found is None or found[0] != call_id or not 0 <= selected < found[1]:
                return False
            database.execute(
                # The first answer stays (CHO-3).
                "UPDATE questions SET answer = coalesce(answer, ?) WHERE name = ?",
                (selected, name),
            )
            return found[2] is None or bool(found[2] == selected)

        accepted = await self._store.write(write)
        waiting = self._waiting.get(name)
        if accepted and waiting is not None and not waiting.done():
            waiting.set_result(selected)
        return accepted

    async def refused(self, name: str, status: int) -> None:
        """The runtime did not take the question, so that no answer will come.

        Args:
            name: of the question.
            status: with which the runtime refused it.
        """
        # One that was answered all the same keeps its answer.
        await self._use("DELETE FROM questions WHERE name = ? AND answer IS NULL", name)
        waiting = self._waiting.get(name)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ToolError(f"the runtime refused to ask the user (HTTP {status})"))

    async def _recorded(self, name: str) -> int | None:
        query = "SELECT answer FROM questions WHERE name = ?"
        row = await self._store.write(lambda database: database.execute(query, (name,)).fetchone())
        return None if row is None else row[0]

    async def _use(self, change: str, name: str) -> None:
        await self._store.write(lambda database: database.execute(change, (name,)))
