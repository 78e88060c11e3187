"""Choices: a person's answer to a prompt."""

from __future__ import annotations

from infinity.abc import Store
from infinity.api.errors import Refused
from infinity.api.requests import Selection
from infinity.api.responses import Answer
from infinity.engine.missing import missing
from infinity.errors import AlreadyAnswered, BadRequest

from .outcome import taken
from .runs import Runs

__all__ = ["choose"]


async def choose(runtime: Runs, store: Store, thread: str, choice: str, selection: Selection) -> Answer:
    """409 where the question is over, with what was chosen; 400 where there never was one, 404 where there is no such thread."""
    try:
        outcome = await runtime.choose(thread, choice, selection.selected, user_id=selection.user_id)
    except AlreadyAnswered as error:
        raise Refused(409, error.code, str(error)) from None
    except BadRequest:
        if await store.thread(thread) is None:
            raise await missing(store, thread) from None
        if not await _is_over(store, thread, choice):
            raise
        raise Refused(409, "not_pending", f"{choice} of {thread} is not pending any more") from None
    return taken(outcome)


async def _is_over(store: Store, thread: str, choice: str) -> bool:
    """Whether it names a question about a call of this thread, or of a child of this root, (``choice.<call id>``) that waits for nobody: answered, or its call has ended."""
    found = await store.find_call(choice.partition(".")[2])
    if found is None:
        return False
    asked = found[0].thread
    if asked != thread:
        row = await store.thread(asked)
        if row is None or row.root != thread:
            return False
    return all(prompt.id != choice for prompt in await store.prompts(asked))
