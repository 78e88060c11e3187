"""A person's answers to what they are asked: the question is looked up, in the thread or in its tree, and is answered once (CHO-1, CHO-4)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from infinity.abc import Accepted, Catalogs, PromptRow, Status, Store, read_header
from infinity.engine.inbox import Inbox
from infinity.errors import AlreadyAnswered, BadRequest
from infinity.message import ALLOW, Chosen

__all__ = ["Choices"]

ANSWERS_REMEMBERED = 1_024
ANSWER_TAIL = 1_000
"""Events at the end of a thread's stream in which the answer to a question is looked up."""


class Earlier(NamedTuple):
    """An answer that a question has already: the choice, by whom and when (ms since the epoch), where that is known."""

    choice: str
    user_id: str | None = None
    at: int | None = None
    arguments: dict[str, Any] | None = None
    """With which a call was allowed, where they were changed and that was lately."""

    def __str__(self) -> str:
        by = f" by {self.user_id}" if self.user_id is not None else ""
        on = (
            f" at {datetime.fromtimestamp(self.at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
            if self.at is not None
            else ""
        )
        return f"{self.choice!r} was chosen{by}{on}"


class Choices:
    def __init__(self, store: Store, inbox: Inbox, catalogs: Catalogs) -> None:
        self._store = store
        self._catalogs = catalogs
        self._inbox = inbox
        self._chosen: dict[tuple[str, str], Earlier] = {}
        """Answers that were accepted lately, which no slice may have folded in yet."""

    async def choose(
        self,
        thread: str,
        choice_id: str,
        selected: int | None,
        *,
        user_id: str | None = None,
        reason: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Accepted:
        row = await self._prompt(thread, choice_id)
        thread = row.thread
        prompt = msgspec.json.decode(row.body)
        choices = prompt.get("choices")
        if not choices:
            raise BadRequest(f"{choice_id} is not a question with choices; follow its link instead")
        index = prompt["default"] if selected is None else selected
        if not 0 <= index < len(choices):
            raise BadRequest(f"selected must be 0 to {len(choices) - 1}, the index of a choice")
        if reason and (row.kind != "consent" or index == ALLOW):
            raise BadRequest("'reason' says why a call is not allowed; leave it out for any other answer")
        if arguments is not None:
            if row.kind != "consent" or index != ALLOW:
                raise BadRequest(
                    "'arguments' are those with which a call is allowed; leave them out for any other answer"
                )
            await self._check(row, prompt, arguments)
        body = Chosen(
            choice_id=choice_id,
            call_id=prompt["call_id"],
            prompt_kind=row.kind,
            selected=index,
            response_url=prompt.get("response_url", ""),
            user_id=user_id,
            reason=reason or "",
            arguments=arguments,
        )
        accepted = await self._inbox.tell(thread, f"chosen.{prompt['message_id']}", body)
        if accepted.status is Status.DUPLICATE:
            chosen = self._chosen.get((thread, choice_id)) or await self._chosen_before(thread, choice_id)
            if chosen is None or (chosen.choice, chosen.arguments) != (choices[index], arguments):
                raise _answered(choice_id, thread, chosen)
        elif accepted.status is Status.ACCEPTED:
            assert accepted.message is not None, "what is accepted has its message"
            self._chosen[thread, choice_id] = Earlier(
                choices[index], user_id, accepted.message.accepted_at, arguments
            )
            while len(self._chosen) > ANSWERS_REMEMBERED:
                del self._chosen[next(iter(self._chosen))]
        return accepted

    async def _check(self, row: PromptRow, prompt: dict[str, Any], arguments: dict[str, Any]) -> None:
        """Whether the call may be allowed with these arguments."""
        thread = await self._store.thread(row.thread)
        offer = (await self._catalogs.of(thread.root)).find(prompt["tool"]) if thread is not None else None
        if offer is None:
            raise BadRequest(
                f"no tool server that is configured offers {prompt['tool']} now, so that nothing can be checked"
            )
        if not prompt.get("editable", False):
            raise BadRequest(f"the arguments of {prompt['tool']} cannot be changed here (policy.edit)")
        if problems := offer.problems(arguments):
            raise BadRequest(f"{prompt['tool']} does not take these arguments: {'; '.join(problems)}")

    async def _prompt(self, thread: str, prompt_id: str) -> PromptRow:
        for rows in (await self._store.prompts(thread), await self._store.prompts(root=thread)):
            for row in rows:
                if row.id == prompt_id:
                    return row
        asked = await self._asked_in(thread, prompt_id)
        chosen = await self._chosen_before(asked, prompt_id)
        if chosen is not None:
            raise _answered(prompt_id, asked, chosen)
        raise BadRequest(f"no prompt {prompt_id} is pending in {thread}; it may have been answered already")

    async def _asked_in(self, thread: str, prompt: str) -> str:
        """The thread of a prompt that is over: this one, or one of its tree."""
        found = await self._store.find_call(prompt.partition(".")[2])
        row = await self._store.thread(found[0].thread) if found is not None else None
        return row.id if row is not None and row.root == thread else thread

    async def _chosen_before(self, thread: str, prompt_id: str) -> Earlier | None:
        """What was chosen when the question was last asked, if the end of the thread's stream still says so."""
        row = await self._store.thread(thread)
        if row is None:
            return None
        after = read_header(row).feed - 1 - ANSWER_TAIL
        selected: int | None = None
        closed: dict[str, Any] = {}
        choices: list[str] = []
        for event in await self._store.feed(thread, max(after, -1), ANSWER_TAIL + 1):
            if event.kind not in ("prompt", "prompt_closed"):
                continue
            data = msgspec.json.decode(event.body)
            if data["id"] == prompt_id and event.kind == "prompt":
                choices, selected = data.get("choices", []), None
            elif data["id"] == prompt_id:
                selected, closed = data["selected"], data
        if selected is None:
            return None
        choice = choices[selected] if selected < len(choices) else f"choice {selected}"
        return Earlier(choice, closed.get("user_id"), closed.get("at"))

    def forget(self, threads: Collection[str]) -> None:
        self._chosen = {key: value for key, value in self._chosen.items() if key[0] not in threads}


def _answered(prompt_id: str, thread: str, chosen: Earlier | None) -> AlreadyAnswered:
    what = chosen if chosen is not None else "the thread's events say what was chosen"
    return AlreadyAnswered(f"{prompt_id} of {thread} has been answered already: {what}")
