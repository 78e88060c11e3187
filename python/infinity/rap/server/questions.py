"""Questions that functions have asked users and wait for: each under a secret name that is part of its ``response_url`` (CHO-1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .call import ToolError


class _Open(NamedTuple):
    call_id: str
    choices: int
    answer: asyncio.Future[int]


class Questions:
    """Those that are open in this process."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    @contextmanager
    def asked(self, call_id: str, choices: int) -> Iterator[tuple[str, asyncio.Future[int]]]:
        """A new question's name, and where its answer will be."""
        question = secrets.token_urlsafe(18)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._open[question] = _Open(call_id, choices, answer)
        try:
            yield question, answer
        finally:
            del self._open[question]

    def answer(self, question: str, call_id: Any, selected: Any) -> bool:
        """False if nobody asked that, or it is no answer to it."""
        found = self._open.get(question)
        if (
            found is None
            or found.call_id != call_id
            or isinstance(selected, bool)
            or not isinstance(selected, int)
        ):
            return False
        if found.answer.done():
            return found.answer.exception() is None and found.answer.result() == selected
        if not 0 <= selected < found.choices:
            return False
        found.answer.set_result(selected)
        return True

    def refuse(self, question: str, status: int) -> None:
        """The runtime did not take the question, so that no answer will come."""
        found = self._open.get(question)
        if found is not None and not found.answer.done():
            found.answer.set_exception(ToolError(f"the runtime refused to ask the user (HTTP {status})"))
