"""A model that does anything and fails in any way; who asks in vain is counted (I12)."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from tests.slice.scenes import Replies

from infinity.abc import Turn, Usage
from infinity.errors import ModelUnavailable, Overloaded
from infinity.testing.replies import Json, Reply, call, say, texts
from infinity.testing.simulator import model as simulated

if TYPE_CHECKING:
    from tests.property.played import PlayedWorld


TROUBLES = {name: trouble for name, trouble in simulated.TROUBLES.items() if name != "it hangs"}
"""Here nobody waits for what hangs."""


class AnyModel(Replies):
    """Does anything a model may do, as the seed has it, once its troubles are over."""

    def __init__(self, seed: int, world: PlayedWorld) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._world = world
        self.troubles: deque[str] = deque()

    def _reply(self, body: Json) -> Reply:
        reply = TROUBLES[self.troubles.popleft()]() if self.troubles else self._any(body)
        self._world.purchases.asked(reply)
        return reply

    def _any(self, body: Json) -> Reply:
        last = texts(body["messages"][-1])
        if "begin" in last.splitlines():
            return call(("slow", {}), ("watch", {}))
        if "Summarise the conversation" in last:
            return self._random.choice([say("a summary"), say("a summary"), Turn([])])
        names = [tool["name"] for tool in body["tools"]]
        choice = self._random.random()
        if choice < 0.45:
            return say(f"reply {len(self.requests)}")
        if choice < 0.75:
            wanted = self._random.choices(
                ("slow", "slow", "watch", "nothing_like_it"), k=self._random.randint(1, 3)
            )
            return call(*((name, {}) for name in wanted), text=self._random.choice(("", "calling")))
        if choice < 0.80:
            return call(
                ("spawn_thread", {"instructions": "do a part"}), *[("slow", {})] * self._random.randint(0, 1)
            )
        if choice < 0.84:
            return call(("report_to_parent", {"report": "a report"}))
        if choice < 0.87:
            return call(("sleep", {"seconds": self._random.choice((0, 60))}))
        if choice < 0.90:
            return call(("sleep_until_event_or_input", {}))
        if choice < 0.92 and "thread_ancestors" not in names:
            return (
                call(("close_thread", {})) if "child thread" in str(body["messages"]) else say("not closing")
            )
        if choice < 0.95:
            return Turn([])
        return self._random.choice(
            [Overloaded("busy"), ModelUnavailable("gone"), Turn([], usage=Usage(10, 0))]
        )
