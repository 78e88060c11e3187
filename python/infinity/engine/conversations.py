"""What people and programs do with threads: begin one, speak to it, and control it.

Behind ``infinity.runtime.Runtime``, which has the documentation of each. Whatever is said goes through the inbox; nothing in here runs a slice.
"""

from __future__ import annotations

import logging

import msgspec

from infinity._core import Thread
from infinity.abc import BUDGET, FORK, Accepted, Problem, Status, pages, read_header
from infinity.characters import whole
from infinity.engine import budget, forks, prompts
from infinity.engine.content import check_content
from infinity.engine.held_back import HeldBack
from infinity.engine.idempotency import fingerprint
from infinity.engine.inbox import Inbox
from infinity.engine.loop import Loop
from infinity.engine.missing import known
from infinity.engine.reopening import reopened
from infinity.engine.services import Services
from infinity.engine.slice.commit import Committed
from infinity.engine.slices import Slices
from infinity.engine.trees import Trees
from infinity.errors import BadRequest, Conflict, LimitReached, NoFork, StoreError
from infinity.ids import is_id
from infinity.message import Action, Block, Control, UserText, encode, text_blocks

__all__ = ["Conversations"]

log = logging.getLogger("infinity.engine")


class Conversations:
    def __init__(
        self, services: Services, inbox: Inbox, slices: Slices, loop: Loop, trees: Trees, held_back: HeldBack
    ) -> None:
        self._services = services
        self._inbox = inbox
        self._slices = slices
        self._loop = loop
        self._trees = trees
        self._held_back = held_back

    async def create(self, model: str | None, title: str, given: str | None) -> str:
        if given is not None and not is_id(given):
            raise BadRequest("a thread's id is 1 to 128 of A-Z a-z 0-9 _ . : @ + -")
        name = model if model is not None else self._services.settings.default_model
        self._services.models.resolve(name)
        thread_id = given or self._services.ids.mint("thread")
        seed = msgspec.json.encode(text_blocks(prompts.root_seed(thread_id)))
        thread = Thread.create(
            thread_id, now=self._services.clock.now(), model=name, title=whole(title), seed=seed
        )
        delta = thread.delta(self._services.clock.now())
        try:
            messages = await self._services.store.commit(delta)
        except Conflict:
            if given is None:
                raise
            return thread_id
        self._slices.follow(Committed(delta, messages))
        return thread_id

    async def fork(
        self, thread: str, at: int, model: str | None, title: str, tools: str, given: str | None
    ) -> str:
        services = self._services
        row = await known(services.store, thread)
        root = row if row.root == row.id else await known(services.store, row.root)
        if root.status == "closed":
            raise _closed(root.id)
        if model is not None:
            services.models.resolve(model)
        made = given or services.ids.mint(FORK)
        delta = await forks.begun(
            services.store,
            row,
            at,
            made,
            now=services.clock.now(),
            model=model,
            title=whole(title),
            tools=tools,
        )
        try:
            messages = await services.store.commit(delta)
        except Conflict:
            if given is None or await services.store.thread(made) is None:
                raise
            return made
        self._slices.follow(Committed(delta, messages))
        if (await known(services.store, root.id)).status == "closed":
            # It closed meanwhile, and its closing did not see the fork.
            await self.control(made, Action.CLOSE, key=f"close.{made}")
            raise _closed(root.id)
        return made

    async def send(
        self, thread: str, content: str | list[Block], key: str | None, user_id: str | None
    ) -> Accepted:
        blocks = text_blocks(content) if isinstance(content, str) else content
        blocks = check_content(blocks)
        body = UserText(content=blocks, user_id=user_id)
        size, limit = len(encode(body)), self._services.settings.limits.message_bytes
        if size > limit:
            raise LimitReached(f"the message has {size} bytes, more than limits.message_bytes ({limit})")
        message_id = self._inbox.keyed("message", key)
        self._check_queue(thread)
        if key is not None:
            body = msgspec.structs.replace(body, print=fingerprint(body))
        accepted = await self._inbox.tell(thread, message_id, body)
        if accepted.status is Status.DISCARDED and await self.reopen(thread):
            accepted = await self._inbox.tell(thread, message_id, body)
        return accepted

    async def reopen(self, thread: str) -> bool:
        """Open a root thread again that its model closed under an earlier version (THR-4); whether it is open now."""
        delta = await reopened(self._services.store, thread, self._services.clock.now())
        if delta is None:
            return False
        try:
            messages = await self._services.store.commit(delta)
        except Conflict:
            return True  # Somebody else has opened it meanwhile, or it is gone: the next try says which.
        self._slices.follow(Committed(delta, messages))
        return True

    async def control(
        self, thread: str, action: Action, argument: str | None = None, key: str | None = None
    ) -> Accepted:
        if action is Action.MODEL:
            self._services.models.resolve(argument or "")
        if action is Action.RESUME:
            await self._lift_budget(thread)
        body = Control(action=action, argument=argument)
        # The action is part of the id: a key that was used for another request of the API says nothing of this one.
        accepted = await self._inbox.tell(thread, self._inbox.keyed(f"control.{action}", key), body)
        if action is Action.RESUME and await self._held_back.remove(thread):
            await self._trees.let_go_on([thread])
        if action in (Action.INTERRUPT, Action.STOP, Action.CLOSE) and accepted.message is not None:
            self._slices.interrupt(thread, action)
        return accepted

    async def resume_all(self, problem: str | None = None) -> list[str]:
        """Resume every thread that rests with a problem; ``problem``: its code, and only those. Stopped threads stay stopped. Their ids."""
        resumed: list[str] = []
        async for rows in pages(self._services.store, troubled=True):
            for row in rows:
                if row.status in ("closed", "stopped"):
                    continue
                try:
                    found = Problem.read(read_header(row).problem)
                except StoreError as error:
                    log.warning("%s is not resumed: %s", row.id, error)
                    continue
                if found is not None and problem in (None, found.code):
                    await self.control(row.id, Action.RESUME)
                    resumed.append(row.id)
        return resumed

    def _check_queue(self, thread: str) -> None:
        """``limits.queued_messages``: a person who says more is told to wait. What tools and threads send is bounded by calls."""
        most = self._services.settings.limits.queued_messages
        waiting = self._loop.waiting.get(thread, 0) + self._held_back.queued[thread]
        queued = self._services.mailbox.queued(thread) + waiting
        if queued >= most:
            raise LimitReached(
                f"{thread} has {queued} messages waiting (limits.queued_messages); try again when it has read some"
            )

    async def _lift_budget(self, thread: str) -> None:
        header = read_header(await known(self._services.store, thread))
        problem = Problem.read(header.problem)
        if problem is not None and problem.code == BUDGET:
            await budget.lift(self._services.store, header.root)


def _closed(root: str) -> NoFork:
    return NoFork(f"conversation {root} is closed, and a fork would belong to it")
