"""Models that a test holds up."""

from __future__ import annotations

import asyncio
from typing import Any

from infinity.models.prompt_view import read_prompt
from infinity.models.script import Reply


class Held:
    """Uses the tool ``a``, then says that all is done. The first ``times`` answers stop half way, each until its own event in ``go_on`` is set."""

    def __init__(self, times: int = 1) -> None:
        self.go_on = [asyncio.Event() for _ in range(times)]
        self.asked = 0

    def __call__(self, request: dict[str, Any]) -> Reply:
        self.asked += 1
        reply = Reply().say("half of it, ")
        if self.asked <= len(self.go_on):
            reply = reply.pause(self.go_on[self.asked - 1])
        reply = reply.say("and then the rest. ")
        return reply.say("all done") if read_prompt(request).results else reply.call("a", n=1)
